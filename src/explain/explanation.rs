//! The result of an inquiry.

use super::Cause;

/// Why a target is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The cause, as far as the evidence tells.
    pub cause: Cause,
    /// What was seen, one fact each.
    pub evidence: Vec<String>,
}

impl Explanation {
    /// Returns the explanation of a target about which nothing could be asked.
    pub(super) fn unknown() -> Self {
        Self { cause: Cause::Unknown, evidence: Vec::new() }
    }
}
