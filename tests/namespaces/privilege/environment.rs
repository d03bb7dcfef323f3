//! The caller's environment does not influence a program with lent privilege: the C library ignores
//! the variables that could (`AT_SECURE`, ld.so(8)).

use std::fs;
use std::sync::mpsc::channel;

use crate::support::caller::Caller;
use crate::support::names::{Names, answer, denial, name_service};
use crate::support::preloaded::Preloaded;
use crate::support::scratch::folder_for_everybody;
use lab::{Lab, SERVER_V4};

/// The library writes to standard error when it is called.
#[test]
fn no_library_is_preloaded() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/attempts.c");
    let said = |caller: &Caller| {
        let command = caller.command(&["-o", "json", &SERVER_V4.to_string(), "81"]);
        let outcome = library.run(&lab, command);
        assert_eq!(outcome.verdict().ending(), (Some("closed"), 2), "{outcome:?}");
        outcome.stderr
    };
    assert!(
        said(&Caller::user(&lab)).ends_with("that is all\n"),
        "it is loaded for who has nothing"
    );
    for caller in Caller::lent(&lab) {
        assert_eq!(said(&caller), "");
    }
}

/// Judged by the questions that reach the name service.
#[test]
fn names_are_looked_up_as_the_machine_has_it() {
    let lab = Lab::new();
    let names = Names::with_hosts("");
    let folder = folder_for_everybody();
    let aliases = folder.path().join("aliases");
    fs::write(&aliases, "server alias.invalid\n").expect("a scratch file");
    let (heard, questions) = channel();
    answer(name_service(&lab), move |question| {
        let _ = heard.send(question.to_vec()); // the test may be over
        denial(question)
    });
    for (variable, value, question) in [
        ("HOSTALIASES", aliases.to_str().expect("plain letters"), "alias.invalid"),
        ("LOCALDOMAIN", "domain.invalid", "server.domain.invalid"),
    ] {
        let asked = |caller: &Caller| {
            let mut command = names.shown_to(&caller.command(&["server", "80"]));
            command.env(variable, value);
            let outcome = lab.client.outcome(command);
            assert_eq!(outcome.code, 2, "{outcome:?}");
            questions.try_iter().map(|question| name_in(&question)).collect::<Vec<_>>()
        };
        let with_nothing = asked(&Caller::user(&lab));
        assert!(with_nothing.iter().any(|asked| asked == question), "{with_nothing:?}");
        for caller in Caller::lent(&lab) {
            let asked = asked(&caller);
            assert!(!asked.is_empty() && !asked.iter().any(|asked| asked == question), "{asked:?}");
        }
    }
}

/// Returns the name that is asked for (RFC 1035 §4.1.2).
fn name_in(question: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    labels.join(".")
}
