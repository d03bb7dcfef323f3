//! What writes families of metrics, in whatever format.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use jiff::Timestamp;

use crate::histogram::Histogram;

/// What a family counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// A value of a gauge or of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Number(u64),
    /// A time in microseconds, in which those of targets are kept.
    Duration(Duration),
    /// A moment, to the second.
    Moment(Timestamp),
}

/// A label with its content.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Writes a piece of an answer.
pub(super) trait Encoder {
    /// Begins a family, whose first metrics are in an earlier piece if `is_continued` is true.
    fn begin(&mut self, name: &str, kind: Kind, help: &str, is_continued: bool);

    /// Appends a label to others, in the form that the other functions take.
    fn append_label(&self, label: Label<'_>, labels: &mut Vec<u8>);

    /// Writes a gauge or a counter with these labels.
    fn value(&mut self, labels: &[u8], value: Value);

    /// Writes a histogram with these labels.
    fn histogram(&mut self, labels: &[u8], times: &Histogram);

    /// Ends the family.
    fn end(&mut self);

    /// Returns the piece, which is the last one if `is_last` is true.
    fn finish(self: Box<Self>, is_last: bool) -> Vec<u8>;
}

impl dyn Encoder + '_ {
    /// Returns some labels, in the form that the other functions take.
    pub(super) fn labels(&self, labels: &[Label<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in labels {
            self.append_label(*label, &mut bytes);
        }
        bytes
    }

    /// Writes a gauge or a counter without labels.
    pub(super) fn plain(&mut self, value: impl Into<Value>) {
        self.value(&[], value.into());
    }

    /// Writes a gauge or a counter that has one label.
    pub(super) fn labelled(&mut self, label: Label<'_>, value: impl Into<Value>) {
        self.value(&self.labels(&[label]), value.into());
    }
}

impl Value {
    /// Returns the number that the text formats write.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
    pub(super) fn to_double(self) -> f64 {
        match self {
            Self::Number(number) => number as f64,
            Self::Duration(time) => time.as_secs_f64(),
            Self::Moment(time) => time.as_second() as f64,
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Duration(time) => write!(f, "{}.{:06}", time.as_secs(), time.subsec_micros()),
            Self::Moment(time) => time.as_second().fmt(f),
        }
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Number(is_so.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Duration(time)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Moment(time)
    }
}
