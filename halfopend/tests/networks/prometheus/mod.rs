//! Prometheus, with the files of `packaging/prometheus/` and `packaging/grafana/`. The judges are
//! Prometheus itself and promtool.

mod alerts;
mod dashboard;
mod files;
mod native;
mod places;
mod probes;
mod shards;

use std::process::Command;

use lab::{Namespace, Running};
use serde_json::Value;

use crate::daemon::{Files, wait_until};
use crate::http::curl;

/// The packaging folder.
const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");

/// Returns the text of a file of the packaging folder.
fn packaged(path: &str) -> String {
    std::fs::read_to_string(format!("{PACKAGING}/{path}")).expect("a file of the tree")
}

/// A running Prometheus.
struct Prometheus<'a> {
    host: &'a Namespace,
    address: String,
    _running: Running,
}

impl<'a> Prometheus<'a> {
    /// Starts it on a host with the alerts and the configuration of the packages, as modified by
    /// `change`. Only the times differ: it scrapes and evaluates every 250 ms, alerts wait for a
    /// second instead of minutes, and rates are over seconds.
    fn start(host: &'a Namespace, files: &Files, change: impl Fn(String) -> String) -> Self {
        Self::start_as(host, files, 9090, &[], change)
    }

    /// Starts one of several, with more options.
    fn start_as(
        host: &'a Namespace,
        files: &Files,
        port: u16,
        options: &[&str],
        change: impl Fn(String) -> String,
    ) -> Self {
        let alerts = packaged("prometheus/halfopend-alerts.yml");
        let alerts = alerts.lines().map(|line| match line.split_once("for: ") {
            Some((before, _)) if before.trim().is_empty() => format!("{before}for: 1s\n"),
            _ => format!("{}\n", line.replace("5m]", "5s]")), // also 15m
        });
        files.write("halfopend-alerts.yml", &alerts.collect::<String>());
        let configuration = packaged("prometheus/prometheus.yml").replace(": 15s\n", ": 250ms\n");
        let name = format!("prometheus-{port}");
        let configuration = files.write(&format!("{name}.yml"), &change(configuration));
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.tsdb.path={}", files.path(&name).display()));
        command.arg(format!("--web.listen-address={address}")).args(options);
        let prometheus = Self { host, address, _running: host.spawn(command) };
        wait_until("Prometheus is ready", || prometheus.get("/-/ready", &[]).0 == "200");
        prometheus
    }

    fn get(&self, path: &str, parameters: &[String]) -> (String, String) {
        let url = format!("http://{}{path}", self.address);
        let mut words = vec!["--get"];
        words.extend(parameters.iter().flat_map(|it| ["--data-urlencode", it]));
        words.push(&url);
        curl(self.host, &words)
    }

    /// Returns the data of an answer of its API.
    fn ask(&self, path: &str, parameters: &[String]) -> Value {
        let (status, answer) = self.get(&format!("/api/v1/{path}"), parameters);
        assert_eq!(status, "200", "{path} {parameters:?}: {answer}");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["data"].take()
    }

    /// Returns the series of an expression now.
    fn query(&self, expression: &str) -> Vec<Series> {
        let mut data = self.ask("query", &[format!("query={expression}")]);
        let Value::Array(result) = data["result"].take() else { panic!("{expression}: {data}") };
        result.into_iter().map(|mut series| Series(series["metric"].take())).collect()
    }

    /// Waits until an expression has this many series.
    fn until(&self, count: usize, expression: &str) -> Vec<Series> {
        let mut series = Vec::new();
        wait_until(expression, || {
            series = self.query(expression);
            series.len() == count
        });
        series
    }

    /// Waits until such an alert fires, for example `HalfopenTargetDown` with the labels
    /// `pool="web"`.
    fn until_fires(&self, name: &str, labels: &str) -> Vec<Series> {
        self.until(1, &format!(r#"ALERTS{{alertname="{name}", alertstate="firing", {labels}}}"#))
    }
}

/// The labels of a series.
#[derive(Debug)]
struct Series(Value);

impl Series {
    fn label(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }
}
