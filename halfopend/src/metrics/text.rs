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

    /// Returns what writes the lines of a family that a target has.
    pub(super) fn family<'a>(&'a mut self, name: &str) -> FamilyText<'a> {
        FamilyText { name: format!("{PREFIX}{name}"), text: &mut self.text }
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
            escape(content, &mut self.text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Writes the lines of a family that has many.
pub(super) struct FamilyText<'a> {
    name: String,
    text: &'a mut String,
}

impl FamilyText<'_> {
    /// Returns the line of what has these labels, from the opening brace on, without the closing
    /// one.
    pub(super) fn line<'b>(&'b mut self, labels: &'b str) -> Line<'b> {
        Line { name: &self.name, labels, text: self.text }
    }
}

/// A line of a target, without its value.
pub(super) struct Line<'a> {
    name: &'a str,
    labels: &'a str,
    text: &'a mut String,
}

impl Line<'_> {
    /// Writes it with this value.
    pub(super) fn end(self, value: impl Display) {
        self.text.extend([self.name, self.labels]);
        let _ = writeln!(self.text, "}} {value}");
    }

    /// Writes it with one label more, whose content needs no escapes.
    pub(super) fn end_with(&mut self, label: &str, content: impl Display, value: impl Display) {
        self.text.extend([self.name, self.labels]);
        let _ = writeln!(self.text, ",{label}=\"{content}\"}} {value}");
    }
}

/// Appends the content of a label.
pub(super) fn escape(content: &str, text: &mut String) {
    if !content.contains(['\\', '"', '\n']) {
        return text.push_str(content);
    }
    for c in content.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.text
    }
}
