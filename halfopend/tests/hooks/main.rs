//! Hooks, run by the helper of the built program. What hooks do and find is judged by files that
//! they write. Those of the whole daemon need root, or `unshare --user --map-root-user`.

mod bounds;
mod contract;
mod daemon;
mod endings;
mod order;
mod support;
