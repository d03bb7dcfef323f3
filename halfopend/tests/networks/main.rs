//! The daemon on networks that the tests make, next to what it works with: the kernel, `HAProxy`, a
//! service manager. Runs as root, and as an ordinary user inside `unshare --user --map-root-user`.

mod agent;
mod blackbox;
mod browser;
mod causes;
mod daemon;
mod descriptors;
mod faults;
mod haproxy;
mod hooks;
mod hostile;
mod http;
mod https;
mod loss;
mod name_service;
mod names;
mod page;
mod privilege;
mod probe;
mod prometheus;
mod reload;
mod service;

#[path = "../hooks/processes.rs"]
mod processes;
