//! Hooks that print too much, or what no terminal should see.

use halfopend::event::EventKind::Down;

use crate::support::Trial;

#[test]
fn a_flood_of_output_is_cut_and_blocks_nothing() {
    let mut trial = Trial::new("yes out | head -c 1000000; yes err | head -c 1000000 >&2");
    trial.push(Down, "a:1");
    trial.until_logged("hook of pool web, event 1 (down a:1): (1995904 more bytes)");
    let printed: usize = trial.lines.iter().map(String::len).sum();
    assert!(printed < 100_000, "{printed} bytes in the log");
    trial.assert_failures(&[]);
}

#[test]
fn output_cannot_control_the_terminal_of_the_log() {
    let mut trial = Trial::new(r"printf 'a\033[2Jb\rc\0\377\nd\n'; echo e >&2");
    trial.push(Down, "x\u{1b}[31m\n:1");
    trial.until_logged(": e");
    assert!(trial.lines.iter().flat_map(|line| line.chars()).all(|c| !c.is_control()));
    assert!(trial.has_logged(r": a\u{1b}[2Jb\rc\u{0}"), "{:#?}", trial.lines);
    assert!(trial.has_logged(r"(down x\u{1b}[31m\n:1): d"), "{:#?}", trial.lines);
}
