//! The packages that `scripts/package` builds: what is in them, and how they are installed
//! on a clean machine and removed. `scripts/test package` builds them and the machine first.

mod arm64;
mod by_hand;
mod deb;
mod distributions;
mod documents;
mod machine;
mod prometheus;
mod requirements;
mod resident;
mod rpm;
mod server;
