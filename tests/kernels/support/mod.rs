//! What tests of several files share.

pub(crate) mod client;
pub(crate) mod helper;
pub(crate) mod modules;

#[path = "../../namespaces/support/chance.rs"]
pub(crate) mod chance;
#[path = "../../namespaces/support/crowd.rs"]
#[expect(dead_code, reason = "the tests of pools use the rest")]
pub(crate) mod crowd;
#[path = "../../namespaces/support/process.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
pub(crate) mod process;

pub(crate) const ENGINES: [&str; 2] = ["raw", "connect"];
