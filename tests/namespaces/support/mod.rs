//! What tests of several files share: hosts, peers, traffic, programs and judgements.

pub(crate) mod bulk_transfer;
pub(crate) mod caller;
pub(crate) mod chance;
pub(crate) mod crowd;
pub(crate) mod exchange;
pub(crate) mod marked_route;
pub(crate) mod names;
pub(crate) mod old_connections;
pub(crate) mod preloaded;
pub(crate) mod process;
pub(crate) mod rejections;
pub(crate) mod scratch;
pub(crate) mod tun;
