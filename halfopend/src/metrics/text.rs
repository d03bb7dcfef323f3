//! Lines of the text formats.

use std::fmt::{Display, Write};

use super::Format;
use crate::histogram::Histogram;

/// The beginning of the name of every family.
const PREFIX: &str = "halfopen_";

/// What a family counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// A text that grows.
pub(super) struct Text {
    format: Format,
    text: String,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(1 << 16) }
    }

    /// Writes the lines before those of a family.
    pub(super) fn head(&mut self, name: &str, kind: Kind, help: &str) {
        self.plain_head(&format!("{PREFIX}{name}"), kind, help);
    }

    /// Does the same for a name without our prefix.
    pub(super) fn plain_head(&mut self, name: &str, kind: Kind, help: &str) {
        // OpenMetrics has the suffix on the lines alone.
        let name = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Format::Classic => name,
        };
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Writes a line.
    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed_line(name, "", labels, value);
    }

    /// Writes a line of a family without our prefix and without labels.
    pub(super) fn plain_line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "{name} {value}");
    }

    /// Writes a histogram.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Histogram) {
        for (bound, below) in times.buckets() {
            let bound = bound.as_secs_f64().to_string();
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.suffixed_line(name, "_bucket", &labels, below);
        }
        self.suffixed_line(name, "_bucket", &[labels, &[("le", "+Inf")]].concat(), times.count());
        self.suffixed_line(name, "_sum", labels, times.sum().as_secs_f64());
        self.suffixed_line(name, "_count", labels, times.count());
    }

    /// Ends a text of OpenMetrics.
    pub(super) fn end(&mut self) {
        self.text.push_str("# EOF\n");
    }

    fn suffixed_line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.text.extend([PREFIX, name, suffix]);
        for (index, (label, content)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.extend([label, "=\""]);
            self.escape(content);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn escape(&mut self, content: &str) {
        if !content.contains(['\\', '"', '\n']) {
            return self.text.push_str(content);
        }
        for c in content.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                c => self.text.push(c),
            }
        }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.text
    }
}
