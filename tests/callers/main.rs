//! The programs that call this one, on the snippets and wrappers of `packaging/`: for real where
//! Debian has them, by their calling rules where it has not. Runs as root, and as an ordinary user
//! inside `unshare --user --map-root-user`.

mod check_tcp;
mod farmguardian;
mod haproxy;
mod icinga;
mod icinga_satellite;
mod installed;
mod keepalived;
mod ldirectord;
mod nagios;
mod node_exporter;
mod pool;
mod wrappers;
