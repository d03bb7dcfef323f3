//! The environment of a hook.

use crate::event::Event;

/// Where a hook finds programs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns all of the environment of a hook of this pool. What does not apply to the event is
/// empty.
pub(super) fn environment(event: &Event, pool: &str) -> Vec<(String, String)> {
    let target = event.target.as_ref();
    let endpoint = target.and_then(|target| target.endpoint);
    let count = |count: Option<u32>| count.map(|count| count.to_string()).unwrap_or_default();
    let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
    let view = event.pool.as_ref();
    let variables = [
        ("EVENT", event.kind.name().to_owned()),
        ("POOL", pool.to_owned()),
        ("TARGET", name(target.map(|target| &*target.label))),
        ("ADDRESS", endpoint.map(|endpoint| endpoint.ip().to_string()).unwrap_or_default()),
        ("PORT", endpoint.map(|endpoint| endpoint.port().to_string()).unwrap_or_default()),
        ("FROM", name(target.map(|target| target.from.name()))),
        ("TO", name(target.map(|target| target.to.name()))),
        ("STATE", name(target.and_then(|target| target.finding))),
        ("REASON", name(target.and_then(|target| target.reason.as_deref()))),
        ("SEQUENCE", event.sequence.to_string()),
        ("POOL_UP", count(view.map(|pool| pool.up))),
        ("POOL_TARGETS", count(view.map(|pool| pool.targets))),
        ("ADVERTISED", name(target.map(|target| target.advertised.name()))),
    ];
    let ours = variables.map(|(name, value)| (format!("HALFOPEN_{name}"), plain(&value)));
    [("PATH".to_owned(), PATH.to_owned())].into_iter().chain(ours).collect()
}

/// Returns the text without control characters. A variable cannot hold a zero byte, and a line
/// break could add a header to a mail.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::examples::{down, event};

    #[test]
    fn what_does_not_apply_is_empty() {
        let isolated = crate::event::Event {
            kind: crate::event::EventKind::Isolated,
            pool: None,
            target: None,
            ..event(7, down("192.0.2.7:443"))
        };
        let variables = environment(&isolated, "web");
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| variable == name);
            found.expect("always there").1.as_str()
        };
        assert_eq!(value("HALFOPEN_EVENT"), "isolated");
        assert_eq!(value("HALFOPEN_POOL"), "web");
        for name in ["TARGET", "ADDRESS", "PORT", "FROM", "TO", "STATE", "REASON", "POOL_UP"] {
            assert_eq!(value(&format!("HALFOPEN_{name}")), "", "{name}");
        }
    }

    #[test]
    fn no_value_has_control_characters() {
        let mut hostile = event(7, down("192.0.2.7:443"));
        let target = hostile.target.as_mut().expect("a target");
        target.label = "a\0b\nTo: c\u{1b}[2J".into();
        target.reason = Some("x\r\ny\u{85}".to_owned());
        for (name, value) in environment(&hostile, "web") {
            assert!(!value.chars().any(char::is_control), "{name}={value:?}");
        }
    }
}
