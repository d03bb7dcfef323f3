//! The programs that call this one, with the examples and wrappers of `packaging/`: the real
//! program if Debian has it, its calling rules otherwise. Runs as root, and as an ordinary user
//! inside `unshare --user --map-root-user`.

mod check_tcp;
mod farmguardian;
mod haproxy;
mod hooks;
mod icinga;
mod icinga_satellite;
mod installed;
mod keepalived;
mod ldirectord;
mod nagios;
mod node_exporter;
mod pool;
mod wrappers;
