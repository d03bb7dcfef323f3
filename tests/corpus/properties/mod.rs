//! What must hold of every input: one function per parser, which panics at a
//! counterexample. The fuzzers (`scripts/fuzz`) look for one; the tests replay what they have
//! found.

#![expect(clippy::missing_panics_doc, reason = "panics are what they have to say")]

mod icmp_quote;
mod ipv4;
mod range;
mod segment;
mod target;
mod targets_file;

pub use icmp_quote::icmp_quote;
pub use ipv4::ipv4;
pub use range::range;
pub use segment::segment;
pub use target::target;
pub use targets_file::targets_file;

/// Every message is one line that a terminal, a log and NRPE (1 KiB) pass on.
fn assert_fit_for_a_line(message: &str) {
    assert!(message.len() <= 1024, "{} bytes: {message}", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
}
