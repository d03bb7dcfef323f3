//! Callers that cannot be installed here: their calling rules, with the examples and wrappers for
//! them.

use serde_json::Value;

use crate::installed::{Installed, replaced, snippet};
use crate::pool::Pool;
use lab::Outcome;

fn run(pool: &Pool, installed: &Installed, words: &[&str]) -> Outcome {
    pool.lab.client.outcome(installed.command(words))
}

/// Any output means up. The exit code is ignored.
#[test]
fn f5_reads_only_the_output() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let printed = |address: &str, port: &str| {
        run(&pool, &installed, &["/usr/lib/halfopen/f5", address, port]).stdout
    };
    for address in ["::ffff:198.18.0.7", "::ffff:198.18.0.7%1", "2001:db8:1::7", "2001:db8:1::7%12"]
    {
        assert_eq!(printed(address, "25"), "up\n", "{address}");
    }
    for (address, port) in [
        ("::ffff:198.18.0.8", "25"),
        ("::ffff:198.18.0.9", "25"),
        ("2001:db8:1::8", "25"),
        ("::ffff:198.18.0.7", "nonsense"),
    ] {
        assert_eq!(printed(address, port), "", "{address} {port}");
    }
}

/// 0 is down, 1 is up.
#[test]
fn relayd_gets_inverted_exit_codes() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let code = |host: &str| run(&pool, &installed, &["/usr/lib/halfopen/relayd-25", host]).code;
    for (host, expected) in [
        ("198.18.0.7", 1),
        ("2001:db8:1::7", 1),
        ("198.18.0.8", 0),
        ("198.18.0.9", 0),
        ("2001:db8:1::8", 0),
        ("not a host", 0),
    ] {
        assert_eq!(code(host), expected, "{host}");
    }
    let configuration = snippet("relayd.conf");
    assert!(configuration.contains("check script \"/usr/lib/halfopen/relayd-25\""));
    assert!(configuration.contains("timeout 2500\n"), "longer than the wrapper's deadline of 2 s");
}

/// With `misc_dynamic`: 0 leaves the weight, 1 is down, 2 to 255 are weights from 0 to 253. There
/// is no 256.
#[test]
fn keepalived_gets_only_weights_that_are_exit_codes() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let code = |weight: &str, limit: &str| {
        let wrapper = ["/usr/lib/halfopen/keepalived-dynamic", weight, "-w", limit];
        run(&pool, &installed, &[&wrapper[..], &["198.18.0.7", "25"]].concat()).code
    };
    for (weight, slow) in [("0", 2), ("1", 3), ("9", 11), ("10", 12), ("199", 201), ("253", 255)] {
        assert_eq!((code(weight, "0.0000001"), code(weight, "10")), (slow, 0), "{weight}");
    }
    for weight in ["254", "255", "256", "1000", "010", "-1", "1.5", "many", ""] {
        assert_eq!((code(weight, "0.0000001"), code(weight, "10")), (1, 1), "{weight}");
    }
}

/// ldirectord treats a command that a signal ends as up.
#[test]
fn ldirectord_notices_a_check_that_was_killed() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let words = ["/usr/lib/halfopen/ldirectord", "198.18.0.1", "25", "198.18.0.7", "25"];
    assert_eq!(run(&pool, &installed, &words).code, 0);
    let killed = installed.write("killed", "#!/bin/sh\nkill -KILL $$\n");
    installed.copy(&killed, "usr/bin/halfopen");
    assert_eq!(run(&pool, &installed, &words).code, 1);
}

/// 0 passes, 1 warns, anything else is critical; 4 KiB of output are kept.
#[test]
fn consul_gets_its_three_states() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let text = snippet("consul.json");
    let outcome = |text: &str| {
        let json: Value = serde_json::from_str(text).expect("JSON");
        let words = json["service"]["check"]["args"].as_array().expect("a list").clone();
        let words: Vec<_> = words.iter().map(|word| word.as_str().expect("text")).collect();
        run(&pool, &installed, &words)
    };
    for (text, code, said) in [
        (text.clone(), 0, "TCP HALF-OPEN OK - 198.18.0.7:25 open in "),
        (replaced(&text, "0.1", "0.0000001"), 1, "TCP HALF-OPEN WARNING - 198.18.0.7:25 open in "),
        (
            replaced(&text, "198.18.0.7", "198.18.0.8"),
            2,
            "TCP HALF-OPEN CRITICAL - 198.18.0.8:25 closed (RST+ACK in ",
        ),
        (
            replaced(&text, "198.18.0.7", "198.18.0.9"),
            2,
            "TCP HALF-OPEN CRITICAL - 198.18.0.9:25 filtered",
        ),
    ] {
        let outcome = outcome(&text);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.stdout.starts_with(said) && outcome.stdout.len() < 4096, "{outcome:?}");
        let is_explained = outcome.stdout.contains("\n(evidence: ");
        assert_eq!(is_explained, code == 2, "{outcome:?}");
    }
}

/// In a container without privileges, which cannot gain capabilities. The kubelet waits half a
/// second longer than the probe.
#[test]
fn a_kubernetes_probe_needs_no_privilege() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let text = snippet("kubernetes.yaml");
    let command =
        text.lines().find_map(|line| line.trim().strip_prefix("command: ")).expect("a command");
    let words: Vec<String> = serde_json::from_str(command).expect("a list that is JSON too");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let nobody: &[&str] = if installed.user("nobody", &[]) == "nobody" {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--no-new-privs",
        ]
    } else {
        &["unshare", "--user", "--map-user=65534", "--map-group=65534", "setpriv", "--no-new-privs"]
    };
    let probe = || run(&pool, &installed, &[nobody, &words].concat());

    let closed = probe();
    assert_eq!(closed.code, 2, "{closed:?}");
    let listener = pool.lab.client.listen("127.0.0.1:25".parse().expect("an address"));
    let open = probe();
    assert_eq!(open.code, 0, "{open:?}");
    drop(listener);
    pool.lab.client.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 25 drop; }; }",
    );
    let silent = probe();
    assert_eq!(silent.code, 2, "{silent:?}");
    let deadline = words.iter().skip_while(|word| **word != "-t").nth(1).expect("a deadline");
    let limit = text.split_once("timeoutSeconds: ").expect("a limit").1;
    let seconds = |text: &str| -> f64 { text.parse().expect("seconds") };
    assert!(seconds(deadline) <= seconds(limit.split(' ').next().expect("a word")) - 0.5);
}
