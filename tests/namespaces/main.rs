//! Everything that needs a network of its own: two namespaces are two hosts, joined by a cable on
//! which packets are captured. Runs as root, and as an ordinary user inside `unshare --user
//! --map-root-user`.

mod addresses;
mod agreement;
mod clock;
mod connect;
mod egress;
mod explain;
mod faults;
mod foreign_traffic;
mod hostile;
mod icmp;
mod lab;
mod local_faults;
mod marks;
mod names;
mod next_hop;
mod nmap;
mod options;
mod overload;
mod pool;
mod privilege;
mod real_servers;
mod routes;
mod samples;
mod shortage;
mod silence;
mod smoltcp_stack;
mod source_ports;
mod stale;
mod stopped;
mod support;
mod surroundings;
mod tun_peer;
mod wire_traffic;
