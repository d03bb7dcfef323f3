//! Native histograms: what Prometheus makes of them, against what crossed the wire.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use lab::{Captured, Direction, Lab};

use super::Prometheus;
use crate::daemon::{Files, wait_until};
use crate::http::{HERE, curl, start};

/// An odd number, so that the median is one of them; more than are in a piece of an answer.
const TARGETS: usize = 1025;

/// Each target is checked once, by one SYN.
const POOL: &str = "[pool.web]\n\
     targets = [\"198.18.0.0/22:8025\", \"198.18.4.1:8025\"]\n\
     interval = \"1h\"\ntimeout = \"20s\"\nretries = 0\n";

/// The schema of the buckets: each bound is so many times the one before.
const STEP: f64 = 1.090_507_732_665_257_7;

/// Returns the series of an expression, each with its labels and its value.
fn series(prometheus: &Prometheus, expression: &str) -> BTreeSet<(String, String)> {
    let data = prometheus.ask("query", &[format!("query={expression}")]);
    let series = data["result"].as_array().expect("a list").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("a value").to_owned();
    series.map(|it| (it["metric"].to_string(), text(&it["value"][1]))).collect()
}

/// Returns the value of an expression that has one.
fn value(prometheus: &Prometheus, expression: &str) -> String {
    let series = series(prometheus, expression);
    assert_eq!(series.len(), 1, "{expression}: {series:?}");
    series.into_iter().map(|(_, value)| value).collect()
}

fn number(prometheus: &Prometheus, expression: &str) -> f64 {
    value(prometheus, expression).parse().expect("a number")
}

/// Returns how long each SYN waited for its answer on the wire, the shortest time first.
fn round_trips(segments: &[Captured]) -> Vec<Duration> {
    let mut sent = HashMap::new();
    let mut times = Vec::new();
    for segment in segments {
        match (&*segment.flags, segment.direction) {
            ("SYN", Direction::Out) => drop(sent.insert(segment.destination, segment)),
            // It may come again, if the RST is late.
            ("SYN+ACK", Direction::In) => {
                times.extend(sent.remove(&segment.source).map(|syn| segment.after(syn)));
            }
            _ => {}
        }
    }
    times.sort();
    times
}

/// Gives scrapes of that many targets five seconds, also on a busy machine. One that takes longer
/// than its interval has failed.
#[expect(clippy::needless_pass_by_value, reason = "the shape that Prometheus::start wants")]
fn without_haste(configuration: String) -> String {
    configuration.replace(": 250ms\n", ": 5s\n")
}

#[test]
fn prometheus_has_native_histograms_if_it_asks_for_them_and_the_same_metrics_otherwise() {
    let lab = Lab::new();
    let _listener = lab.server.listen("0.0.0.0:8025".parse().expect("an endpoint"));
    let capture = lab.client.capture("client0");
    let files = Files::new(POOL);
    let _daemon = start(&lab, &files, &[]);
    let ready = format!("http://{HERE}/-/ready");
    wait_until("every target has been checked", || curl(&lab.client, &[&ready]).0 == "200");
    let wire = round_trips(&capture.segments());
    assert_eq!(wire.len(), TARGETS);

    let feature = "--enable-feature=native-histograms";
    let native = Prometheus::start_as(&lab.client, &files, 9090, &[feature], without_haste);
    let text = Prometheus::start_as(&lab.client, &files, 9091, &[], without_haste);
    native.until(TARGETS, "halfopen_target_round_trip_seconds");
    text.until(TARGETS, "halfopen_target_round_trip_seconds");

    // One has the histogram, the other its buckets. Neither has both.
    let name = "halfopen_round_trip_seconds";
    let [count, sum] = ["count", "sum"].map(|it| format!("histogram_{it}({name})"));
    assert_eq!(value(&native, &count), TARGETS.to_string());
    assert_eq!(value(&text, &format!("{name}_count")), TARGETS.to_string());
    assert_eq!(value(&native, &sum), value(&text, &format!("{name}_sum")));
    assert_eq!(native.query(&format!("{name}_bucket")).len(), 0);
    assert_eq!(text.query(name).len(), 0);

    // The median is that of the targets, which have microseconds, and not less than on the wire.
    let median = number(&native, &format!("histogram_quantile(0.5, {name})"));
    let of_targets = number(&native, "quantile(0.5, halfopen_target_round_trip_seconds)");
    let nearby = of_targets / STEP..=(of_targets + 1e-6) * STEP;
    assert!(nearby.contains(&median), "{median}, not {of_targets}");
    let on_wire = wire[TARGETS / 2].as_secs_f64();
    assert!(median >= on_wire / STEP, "{median}, and {on_wire} on the wire");
    let sum = number(&native, &sum);
    assert!(sum >= wire.iter().sum::<Duration>().as_secs_f64(), "{sum}");

    assert_queries_of_the_page_have_a_value(&native);
    assert_other_metrics_are_the_same(&native, &text);
}

fn assert_queries_of_the_page_have_a_value(prometheus: &Prometheus) {
    let page = include_str!("../../../../docs/prometheus.md");
    let queries = page.lines().skip_while(|line| *line != "```promql").skip(1);
    let queries: Vec<_> = queries.take_while(|line| *line != "```").collect();
    assert_eq!(queries.len(), 2);
    for query in queries {
        prometheus.until(1, query);
    }
}

/// Those with classic buckets are among them.
fn assert_other_metrics_are_the_same(native: &Prometheus, text: &Prometheus) {
    let others = r#"{__name__=~"halfopen_.*", __name__!~"halfopen_round_trip_seconds.*"}"#;
    let [native, text] = [native, text].map(|prometheus| {
        // Prometheus writes the bound 1 of a message as 1.0, and leaves those of a text alone.
        let series = series(prometheus, others).into_iter();
        let series = series.map(|(labels, value)| (labels.replace(".0\"", "\""), value));
        series.collect::<BTreeSet<_>>()
    });
    assert!(native.len() > 8 * TARGETS, "{native:?}");
    assert!(native.iter().any(|it| it.0.contains("halfopen_schedule_lag_seconds_bucket")));
    assert_eq!(&native ^ &text, BTreeSet::new());
}
