//! The formats of the answer.

use super::encoder::Encoder;
use super::protobuf::Protobuf;
use super::text::Text;

/// A format of the answer, in ascending order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The classic text format, version 0.0.4.
    Classic,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
    /// The same as protocol buffers, which alone have native histograms.
    Protobuf,
}

impl Format {
    /// Returns the format that a client prefers by the values of its `Accept` headers (RFC 9110
    /// §12.5.1); of formats with equal weights, the best one.
    pub fn accepted_by<'a>(accepts: impl Iterator<Item = &'a str>) -> Self {
        let media = accepts.flat_map(|accept| accept.split(',')).filter_map(weigh);
        let best = media.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map_or(Self::Classic, |(_, format)| format)
    }

    /// Returns the media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    /// Returns an encoder for a piece of an answer.
    pub(super) fn encoder(self) -> Box<dyn Encoder> {
        match self {
            Self::Classic | Self::OpenMetrics => Box::new(Text::new(self == Self::OpenMetrics)),
            Self::Protobuf => Box::<Protobuf>::default(),
        }
    }
}

/// Returns the format of ours that an element of `Accept` names, if it does, and its weight.
fn weigh(element: &str) -> Option<(f32, Format)> {
    let mut words = element.split(';').map(str::trim);
    let media = words.next()?.to_ascii_lowercase();
    let parameters: Vec<_> = words.filter_map(|word| word.split_once('=')).collect();
    let is = |name: &str, value: &str| {
        let mut named = parameters.iter().filter(|it| it.0.eq_ignore_ascii_case(name));
        named.any(|it| it.1.trim_matches('"') == value)
    };
    let format = match &*media {
        "application/vnd.google.protobuf"
            if is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited") =>
        {
            Format::Protobuf
        }
        "application/openmetrics-text" => Format::OpenMetrics,
        "text/plain" | "text/*" | "*/*" => Format::Classic,
        _ => return None,
    };
    let weight = parameters.iter().find(|it| it.0.eq_ignore_ascii_case("q"));
    let weight = weight.and_then(|it| it.1.parse().ok()).unwrap_or(1.0);
    (weight > 0.0).then_some((weight, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 2.42 asks for with native histograms, and without.
    const NATIVE: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited,\
        application/openmetrics-text;version=1.0.0;q=0.8,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const TEXT: &str = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    /// The same of Prometheus 3.
    const NATIVE_3: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn a_client_has_the_format_that_it_prefers() {
        let protobuf = Format::Protobuf.content_type();
        for (accepts, format) in [
            (&[NATIVE][..], Format::Protobuf),
            (&[NATIVE_3], Format::Protobuf),
            (&[TEXT], Format::OpenMetrics),
            (&[], Format::Classic),
            (&["*/*"], Format::Classic),
            (&["text/html, */*;q=0.8"], Format::Classic),
            (&["image/png"], Format::Classic),
            (&["text/plain;version=0.0.4, application/openmetrics-text"], Format::OpenMetrics),
            (&["text/plain", "application/openmetrics-text; Q=0.9"], Format::Classic),
            (&["text/plain;q=0.1", "application/openmetrics-text;q=0"], Format::Classic),
            (&[protobuf], Format::Protobuf),
            (&[&format!("{protobuf};q=0.2"), "text/plain;q=0.3"], Format::Classic),
            (&["application/vnd.google.protobuf;encoding=delimited"], Format::Classic),
            (&[&protobuf.replace("delimited", "text")], Format::Classic),
        ] {
            assert_eq!(Format::accepted_by(accepts.iter().copied()), format, "{accepts:?}");
        }
    }
}
