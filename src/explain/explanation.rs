//! What an explainer tells.

use super::Cause;

/// Why a target is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The cause, as far as the evidence tells.
    pub cause: Cause,
    /// What was seen, a fact each.
    pub evidence: Vec<String>,
}

impl Explanation {
    /// Returns that of a target about which nothing could be asked.
    pub(super) fn unknown() -> Self {
        Self { cause: Cause::Unknown, evidence: Vec::new() }
    }
}
