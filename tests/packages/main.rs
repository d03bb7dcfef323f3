//! The packages that `scripts/package` builds: what is in them, and how they come to a clean
//! machine and leave it. `scripts/test package` builds them and the machine first.

mod by_hand;
mod deb;
mod documents;
mod machine;
mod rpm;
mod server;
