//! Lines of the text formats.

use std::fmt::Display;
use std::io::Write;

use super::encoder::{Encoder, Kind, Label, Value};
use crate::histogram::Histogram;

/// A text that grows.
pub(super) struct Text {
    is_open_metrics: bool,
    lines: Vec<u8>,
    /// The family that is written.
    name: String,
}

impl Text {
    pub(super) fn new(is_open_metrics: bool) -> Self {
        Self { is_open_metrics, lines: Vec::with_capacity(1 << 16), name: String::new() }
    }

    fn line(&mut self, suffix: &str, labels: &[u8], value: impl Display) {
        self.lines.extend_from_slice(self.name.as_bytes());
        self.lines.extend_from_slice(suffix.as_bytes());
        if !labels.is_empty() {
            self.lines.push(b'{');
            self.lines.extend_from_slice(&labels[1..]); // without the comma
            self.lines.push(b'}');
        }
        let _ = writeln!(self.lines, " {value}");
    }

    fn bucket(&mut self, labels: &[u8], bound: &str, count: u64) {
        let mut labels = labels.to_vec();
        self.append_label(("le", bound), &mut labels);
        self.line("_bucket", &labels, count);
    }
}

impl Encoder for Text {
    fn begin(&mut self, name: &str, kind: Kind, help: &str, is_continued: bool) {
        name.clone_into(&mut self.name);
        if is_continued {
            return;
        }
        // OpenMetrics has the suffix on the lines alone.
        let name = name.strip_suffix("_total").filter(|_| self.is_open_metrics).unwrap_or(name);
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.lines, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn append_label(&self, (name, content): Label<'_>, labels: &mut Vec<u8>) {
        labels.push(b',');
        labels.extend_from_slice(name.as_bytes());
        labels.extend_from_slice(b"=\"");
        escape(content, labels);
        labels.push(b'"');
    }

    fn value(&mut self, labels: &[u8], value: Value) {
        self.line("", labels, value);
    }

    fn histogram(&mut self, labels: &[u8], times: &Histogram) {
        for (bound, below) in times.buckets() {
            self.bucket(labels, &bound.as_secs_f64().to_string(), below);
        }
        self.bucket(labels, "+Inf", times.count());
        self.line("_sum", labels, times.sum().as_secs_f64());
        self.line("_count", labels, times.count());
    }

    fn end(&mut self) {}

    fn finish(mut self: Box<Self>, is_last: bool) -> Vec<u8> {
        if is_last && self.is_open_metrics {
            self.lines.extend_from_slice(b"# EOF\n");
        }
        self.lines
    }
}

/// Appends the content of a label.
fn escape(content: &str, text: &mut Vec<u8>) {
    if !content.contains(['\\', '"', '\n']) {
        return text.extend_from_slice(content.as_bytes());
    }
    for byte in content.bytes() {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'"' => text.extend_from_slice(b"\\\""),
            b'\n' => text.extend_from_slice(b"\\n"),
            byte => text.push(byte),
        }
    }
}
