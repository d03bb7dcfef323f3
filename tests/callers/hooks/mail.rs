//! What is handed to sendmail.

use std::fs;
use std::os::unix::fs::symlink;

use lab::Namespace;
use tempfile::TempDir;

use super::{DOWN, HOSTILE, OF_THE_POOL, Transition, UP};
use crate::installed::here;

struct Post {
    host: Namespace,
    folder: TempDir,
}

impl Post {
    fn new() -> Self {
        let folder = TempDir::new().expect("a place for temporary files");
        symlink(here().join("sendmail"), folder.path().join("sendmail")).expect("its own folder");
        Self { host: Namespace::new(), folder }
    }

    /// Returns the words and the message, if there is one.
    fn send(&self, transition: Transition) -> Option<(String, String)> {
        for name in ["words", "message"] {
            let _ = fs::remove_file(self.folder.path().join(name));
        }
        let words = ["ops@example.org", "night shift@example.org"];
        transition.tell(&self.host, self.folder.path(), "mail", &words);
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).ok();
        Some((read("words")?, read("message")?))
    }
}

#[test]
fn a_transition_is_a_mail() {
    let (words, message) = Post::new().send(DOWN).expect("a mail");
    assert_eq!(words, "-i\n--\nops@example.org\nnight shift@example.org\n");
    let (head, body) = message.split_once("\n\n").expect("an empty line");
    assert!(head.contains("\nSubject: [halfopend] web: 192.0.2.7:443 is down\n"), "{head}");
    assert!(head.starts_with("To: ops@example.org, night shift@example.org\n"), "{head}");
    let expected =
        "web: 192.0.2.7:443 is down\nno answer to 3 SYNs in 1.5 s\n9 of 10 targets are up.\n\n{";
    assert!(body.starts_with(expected), "{body}");
    let object: serde_json::Value =
        serde_json::from_str(body.lines().last().expect("a line")).expect("JSON");
    assert_eq!(object, DOWN.object());
}

#[test]
fn names_add_no_headers() {
    let hostile = Transition { target: HOSTILE, reason: "-x\u{85}\\n%s", ..DOWN };
    let (_, message) = Post::new().send(hostile).expect("a mail");
    let (head, body) = message.split_once("\n\n").expect("an empty line");
    assert!(head.is_ascii(), "{head}");
    let names: Vec<_> = head.lines().map(|line| line.split(": ").next().expect("a name")).collect();
    let expected = [
        "To",
        "Subject",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    assert_eq!(names, expected);
    assert!(body.starts_with(&format!("web: {HOSTILE} is down\n-x\u{85}\\n%s\n")), "{body}");
}

#[test]
fn only_what_somebody_should_read_is_a_mail() {
    let post = Post::new();
    let isolated = Transition { event: "isolated", ..OF_THE_POOL };
    let released = Transition { event: "released", ..OF_THE_POOL };
    for transition in [UP, OF_THE_POOL, isolated, released] {
        assert!(post.send(transition).is_some(), "{}", transition.event);
    }
    let at_start = Transition { from: "unknown", ..UP };
    let held = Transition { event: "held", ..DOWN };
    let added = Transition { event: "added", ..UP };
    for transition in [at_start, held, added, Transition { event: "released", ..UP }] {
        assert_eq!(post.send(transition), None, "{}", transition.event);
    }
}
