//! The files alone, and what halfopend exposes.

use std::collections::BTreeSet;
use std::process::Command;

use lab::{Lab, Namespace};

use super::{PACKAGING, packaged};
use crate::daemon::{Files, SERVERS, pool, wait_until};
use crate::http::{HERE, curl, files, start};

fn promtool(words: &[&str]) {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(format!("{PACKAGING}/prometheus"));
    let outcome = Namespace::new().outcome(command);
    assert_eq!((outcome.code, &*outcome.stderr), (0, ""), "{}", outcome.stdout);
}

#[test]
fn promtool_accepts_the_configuration_and_the_alerts() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "halfopend-alerts.yml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    promtool(&["test", "rules", "tests/alerts.yml"]);
    let tests = packaged("prometheus/tests/alerts.yml");
    for alert in names_after("- alert: ", &packaged("prometheus/halfopend-alerts.yml")) {
        // Once with alerts, once without.
        let cases = tests
            .split("- eval_time")
            .filter(|case| case.lines().any(|line| line.trim() == format!("alertname: {alert}")));
        let (fires, silent): (Vec<_>, Vec<_>) = cases.partition(|case| case.contains("exp_alerts"));
        assert!(!fires.is_empty() && !silent.is_empty(), "{alert}");
    }
}

fn names_after<'a>(start: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim().strip_prefix(start))
}

#[test]
fn promtool_accepts_the_exposition() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SERVERS[0].parse().expect("an endpoint"));
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let ready = format!("http://{HERE}/-/ready");
    wait_until("every target has been checked", || curl(&lab.client, &[&ready]).0 == "200");
    let mut command = Command::new("sh");
    command.args(["-c", "curl --silent --fail http://$0/metrics | promtool check metrics", HERE]);
    let outcome = lab.client.outcome(command);
    let said = (&*outcome.stdout, &*outcome.stderr);
    assert_eq!((outcome.code, said), (0, ("", "")));
}

/// Returns the names of metrics of halfopend in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("halfopen_") || word.starts_with("process_")).collect()
}

#[test]
fn every_metric_that_alerts_and_the_dashboard_name_is_there() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let (_, exposition) = curl(&lab.client, &[&format!("http://{HERE}/metrics")]);
    let families: BTreeSet<_> = names_after("# TYPE ", &exposition).collect();
    let has = |name: &str| {
        let is = |kind: &str, name: &str| families.contains(&*format!("{name} {kind}"));
        let of_histogram = |end| name.strip_suffix(end).is_some_and(|name| is("histogram", name));
        is("gauge", name)
            || is("counter", name)
            || ["_bucket", "_sum", "_count"].into_iter().any(of_histogram)
    };
    for file in ["prometheus/halfopend-alerts.yml", "grafana/halfopend.json"] {
        let text = packaged(file);
        let names = metrics_in(&text);
        assert!(names.len() > 5, "{names:?}");
        let missing: Vec<_> = names.into_iter().filter(|name| !has(name)).collect();
        assert_eq!(missing, [""; 0], "{file}");
    }
}

#[test]
fn metrics_of_targets_are_left_out_if_nobody_wants_them() {
    let lab = Lab::new();
    let files = Files::new(&format!("target_metrics = false\n{}", pool()));
    let _daemon = start(&lab, &files, &[]);
    let (_, exposition) = curl(&lab.client, &[&format!("http://{HERE}/metrics")]);
    let of_targets: Vec<_> = exposition.lines().filter(|line| line.contains("target=")).collect();
    assert_eq!(of_targets, [""; 0]);
    assert!(exposition.contains("\nhalfopen_pool_targets{pool=\"web\"} 3\n"), "{exposition}");
    assert!(
        exposition.contains("\nhalfopen_round_trip_seconds_count{pool=\"web\"} "),
        "{exposition}"
    );
}
