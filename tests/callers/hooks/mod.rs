//! The hooks of `packaging/hooks/` for halfopend, run as it runs them: a clean environment, and the
//! event as an object on standard input.

mod haproxy;
mod icinga;
mod ipvsadm;
mod mail;
mod nftables;
mod webhook;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use lab::{Namespace, Outcome};

/// What halfopend tells a hook.
#[derive(Clone, Copy)]
struct Transition<'a> {
    event: &'a str,
    target: &'a str,
    address: &'a str,
    port: &'a str,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
    advertised: &'a str,
}

/// Names and reasons that a shell must not understand.
const HOSTILE: &str = r#"a"b\c$(touch pwned)`touch pwned`'; touch pwned; # é"#;

const DOWN: Transition = Transition {
    event: "down",
    target: "192.0.2.7:443",
    address: "192.0.2.7",
    port: "443",
    from: "up",
    to: "down",
    reason: "no answer to 3 SYNs in 1.5 s",
    advertised: "down",
};

const UP: Transition =
    Transition { event: "up", from: "down", to: "up", reason: "", advertised: "up", ..DOWN };

/// The same target while its pool fails open.
const DOWN_BUT_ADVERTISED: Transition = Transition { advertised: "up", ..DOWN };

/// A pool that begins to fail open.
const OF_THE_POOL: Transition = Transition {
    event: "fail_open",
    target: "",
    address: "",
    port: "",
    from: "",
    to: "",
    reason: "",
    advertised: "",
};

impl Transition<'_> {
    /// Runs a hook at this transition. Programs are also looked for in the folder, where it runs.
    fn run(self, host: &Namespace, folder: &Path, hook: &str, words: &[&str]) -> Outcome {
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/hooks");
        let mut command = Command::new(hooks.join(hook));
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        command.args(words).current_dir(folder).stdin(Stdio::piped());
        command.env_clear().env("PATH", path);
        for (name, value) in [
            ("EVENT", self.event),
            ("POOL", "web"),
            ("TARGET", self.target),
            ("ADDRESS", self.address),
            ("PORT", self.port),
            ("FROM", self.from),
            ("TO", self.to),
            ("STATE", if self.to == "down" { "filtered" } else { "" }),
            ("REASON", self.reason),
            ("SEQUENCE", "41"),
            ("POOL_UP", "9"),
            ("POOL_TARGETS", "10"),
            ("ADVERTISED", self.advertised),
        ] {
            command.env(format!("HALFOPEN_{name}"), value);
        }
        let mut running = host.spawn(command);
        let mut input = running.child.stdin.take().expect("piped above");
        let _ = writeln!(input, "{}", self.object()); // a hook need not read it
        drop(input);
        let outcome = running.wait();
        assert!(!folder.join("pwned").exists(), "a shell has run what is only a name: {outcome:?}");
        outcome
    }

    /// Runs a hook, which must succeed.
    fn tell(self, host: &Namespace, folder: &Path, hook: &str, words: &[&str]) -> Outcome {
        let outcome = self.run(host, folder, hook, words);
        assert_eq!(outcome.code, 0, "{hook} {words:?}: {outcome:?}");
        outcome
    }

    /// What halfopend writes, as far as hooks look at it.
    fn object(self) -> serde_json::Value {
        serde_json::json!({ "event": self.event, "target": self.target, "reason": self.reason })
    }
}
