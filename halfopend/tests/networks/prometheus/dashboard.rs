//! The dashboard for Grafana: each of its queries, as Grafana sends it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lab::Lab;
use serde_json::Value;

use super::{Prometheus, packaged};
use crate::daemon::{SERVERS, wait_for};
use crate::http::{files, start};

/// Returns all objects in a value that have this key.
fn with_key<'a>(key: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key(key) {
                found.push(value);
            }
            fields.values().for_each(|field| with_key(key, field, found));
        }
        Value::Array(elements) => elements.iter().for_each(|it| with_key(key, it, found)),
        _ => {}
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Puts values in the place of variables. A longer name goes first: $job is no part of $jobs.
fn substitute(query: &str, variables: &BTreeMap<String, String>) -> String {
    let query = variables
        .iter()
        .rev()
        .fold(query.to_owned(), |query, (name, value)| query.replace(&format!("${name}"), value));
    assert!(!query.contains('$'), "{query}");
    query
}

/// Returns what "All" means for a variable: all its values as a regular expression, or `None` while
/// there are none.
fn all_of(prometheus: &Prometheus, query: &str) -> Option<String> {
    let words = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (series, label) = words.and_then(|words| words.rsplit_once(", ")).expect("label_values");
    let values = prometheus.ask(&format!("label/{label}/values"), &[format!("match[]={series}")]);
    let values = values.as_array().expect("a list").iter().map(|it| it.as_str().expect("text"));
    let values: Vec<_> = values.map(|it| it.replace('.', "\\\\.")).collect();
    (!values.is_empty()).then(|| format!("({})", values.join("|")))
}

/// Returns true if a query has a value that is a number.
fn has_data(prometheus: &Prometheus, target: &Value, expression: &str) -> bool {
    let query = format!("query={expression}");
    let data = if target["instant"] == true {
        prometheus.ask("query", &[query])
    } else {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
        let now = now.as_secs_f64();
        let [begin, end] = [format!("start={}", now - 60.0), format!("end={now}")];
        prometheus.ask("query_range", &[query, begin, end, "step=1".to_owned()])
    };
    let series = data["result"].as_array().expect("a list").iter();
    let points = series.flat_map(|series| match &series["values"] {
        Value::Array(points) => points.clone(),
        _ => vec![series["value"].clone()],
    });
    points.into_iter().any(|point| point[1] != "NaN")
}

#[test]
fn every_query_of_the_dashboard_returns_data() {
    let lab = Lab::new();
    // One of them is down.
    let _listeners =
        [1, 2].map(|index| lab.server.listen(SERVERS[index].parse().expect("an endpoint")));
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let prometheus = Prometheus::start(&lab.client, &files, |it| it);
    let dashboard: Value = serde_json::from_str(&packaged("grafana/halfopend.json")).expect("JSON");

    let mut variables: BTreeMap<String, String> = [("__rate_interval", "5s"), ("__range", "1m")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let list = dashboard["templating"]["list"].as_array().expect("a list");
    assert_eq!(text(&list[0], "query"), "prometheus", "the data source");
    for variable in &list[1..] {
        let query = substitute(text(variable, "definition"), &variables);
        wait_for(&query, || {
            let all = all_of(&prometheus, &query).ok_or("no values")?;
            variables.insert(text(variable, "name").to_owned(), all);
            Ok::<_, &str>(())
        });
    }

    let mut targets = Vec::new();
    with_key("expr", &dashboard["panels"], &mut targets);
    assert!(targets.len() > 30, "{}", targets.len());
    for target in targets {
        let expression = substitute(text(target, "expr"), &variables);
        wait_for("data", || {
            if has_data(&prometheus, target, &expression) { Ok(()) } else { Err(&expression) }
        });
    }
}

#[test]
fn the_dashboard_needs_no_plug_in_and_no_certain_data_source() {
    let dashboard: Value = serde_json::from_str(&packaged("grafana/halfopend.json")).expect("JSON");
    let mut panels = Vec::new();
    with_key("gridPos", &dashboard["panels"], &mut panels);
    for panel in panels {
        let kind = text(panel, "type");
        assert!(["row", "stat", "table", "timeseries", "heatmap"].contains(&kind), "{kind}");
    }
    let mut sources = Vec::new();
    with_key("datasource", &dashboard, &mut sources);
    for source in sources {
        assert_eq!(source["datasource"]["uid"], "${datasource}");
    }
}
