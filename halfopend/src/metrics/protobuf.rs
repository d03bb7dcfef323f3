//! Families as messages: `MetricFamily` of
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>,
//! each with its length before it. Numbers are those of its fields.
//!
//! The length of a family is known when all of it is written, so a family in several pieces is as
//! many messages, with the same name. Prometheus accepts that: it reads each message separately.

use std::mem;

use super::encoder::{Encoder, Kind, Label, Value};
use super::wire::Message;
use crate::histogram::{Histogram, NativeBuckets, SCHEMA, ZERO_THRESHOLD};

/// Messages in a row.
#[derive(Default)]
pub(super) struct Protobuf {
    messages: Message,
    /// Where the family that is written begins.
    start: usize,
    is_counter: bool,
    /// True if the family has no metric so far.
    is_empty: bool,
}

impl Protobuf {
    fn metric(&mut self, labels: &[u8], write: impl FnOnce(&mut Message)) {
        self.is_empty = false;
        self.messages.message(4, |metric| {
            metric.fields(labels);
            write(metric);
        });
    }
}

impl Encoder for Protobuf {
    fn begin(&mut self, name: &str, kind: Kind, help: &str, _is_continued: bool) {
        (self.start, self.is_empty) = (self.messages.len(), true);
        self.is_counter = kind == Kind::Counter;
        self.messages.string(1, name);
        self.messages.string(2, help);
        let kind = match kind {
            Kind::Counter => 0,
            Kind::Gauge => 1,
            Kind::Histogram => 4,
        };
        self.messages.unsigned(3, kind);
    }

    fn append_label(&self, (name, content): Label<'_>, labels: &mut Vec<u8>) {
        let mut metric = Message::from(mem::take(labels));
        metric.message(1, |pair| {
            pair.string(1, name);
            pair.string(2, content);
        });
        *labels = metric.into_bytes();
    }

    fn value(&mut self, labels: &[u8], value: Value) {
        let field = if self.is_counter { 3 } else { 2 };
        self.metric(labels, |metric| {
            metric.message(field, |message| message.double(1, value.to_double()));
        });
    }

    fn histogram(&mut self, labels: &[u8], times: &Histogram) {
        self.metric(labels, |metric| {
            metric.message(7, |message| {
                message.unsigned(1, times.count());
                message.double(2, times.sum().as_secs_f64());
                for (bound, below) in times.buckets() {
                    message.message(3, |bucket| {
                        bucket.unsigned(1, below);
                        bucket.double(2, bound.as_secs_f64());
                    });
                }
                if let Some(native) = times.native() {
                    write_native(native, message);
                }
            });
        });
    }

    /// A family without a metric is left out, because readers treat it as an error.
    fn end(&mut self) {
        if self.is_empty {
            self.messages.truncate(self.start);
        } else {
            self.messages.delimit(self.start);
        }
    }

    fn finish(self: Box<Self>, _is_last: bool) -> Vec<u8> {
        self.messages.into_bytes()
    }
}

fn write_native(native: &NativeBuckets, message: &mut Message) {
    message.signed(5, SCHEMA.into());
    message.double(6, ZERO_THRESHOLD);
    message.unsigned(7, native.zero());
    for span in native.spans() {
        message.message(12, |message| {
            message.signed(1, span.offset.into());
            message.unsigned(2, span.length.into());
        });
    }
    for delta in native.deltas() {
        message.signed(13, delta);
    }
}
