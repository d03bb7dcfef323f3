//! Single checks on demand: what may be asked for, and how it is answered. Pure: no I/O.
//!
//! The questions and the answers are those of `blackbox_exporter`'s TCP module.

mod answer;
mod request;
mod terms;

pub use self::answer::{Report, debug_text};
pub use self::request::{Host, Refusal, Request, TIMEOUT_HEADER};
pub use self::terms::Terms;
