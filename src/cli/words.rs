//! Words of the command line that are ignored.

use std::ffi::OsString;

use clap::{Command, CommandFactory};

use super::arguments::Arguments;

/// Returns the words without the empty ones, and without options whose value is empty. The first
/// word is the program's name.
pub(super) fn without_blanks(words: Vec<OsString>) -> Vec<OsString> {
    if !words.iter().any(|word| word.is_empty()) {
        return words;
    }
    let command = Arguments::command();
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_default();
    let mut kept: Vec<OsString> = Vec::new();
    for word in words {
        if word.is_empty() {
            kept.pop_if(|last| last.to_str().is_some_and(|last| wants_value(&command, last)));
        } else {
            kept.push(word);
        }
    }
    kept.insert(0, name);
    kept
}

/// Returns true if `word` is an option, or a group of short ones, whose value is the next word.
fn wants_value(command: &Command, word: &str) -> bool {
    let takes_value = |is_it: &dyn Fn(&clap::Arg) -> bool| {
        command.get_arguments().any(|a| is_it(a) && a.get_action().takes_values())
    };
    if let Some(long) = word.strip_prefix("--") {
        return takes_value(&|argument| argument.get_long() == Some(long));
    }
    let Some(cluster) = word.strip_prefix('-') else { return false };
    let first = cluster.find(|short| takes_value(&|argument| argument.get_short() == Some(short)));
    first.is_some_and(|at| at + 1 == cluster.len())
}
