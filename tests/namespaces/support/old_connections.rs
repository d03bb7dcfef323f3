//! Connections that the server still has and the client has forgotten.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use lab::{Lab, patience};

/// Creates connections from these ports to port 80 that the client has forgotten and the server has
/// not. Returns the server's ends.
pub(crate) fn leave_connections(
    lab: &Lab,
    listener: &TcpListener,
    client: IpAddr,
    server: IpAddr,
    ports: &[u16],
) -> Vec<TcpStream> {
    let connect_to_forget = |&port: &u16| {
        let socket = connect(lab, SocketAddr::new(client, port), SocketAddr::new(server, 80));
        // Closing sends an RST and forgets the connection. The rule below drops that RST.
        socket.set_linger(Some(Duration::ZERO)).expect("a socket of ours");
        socket
    };
    let clients: Vec<_> = ports.iter().map(connect_to_forget).collect();
    let servers = ports.iter().map(|_| listener.accept().expect("a connection").0).collect();
    lab.client.nft("table inet forgetful { chain out { type filter hook output priority 0; tcp dport 80 drop; }; }");
    drop(clients);
    wait_until_forgotten(lab);
    lab.client.nft("delete table inet forgetful");
    servers
}

pub(crate) fn connect(lab: &Lab, from: SocketAddr, to: SocketAddr) -> Socket {
    lab.client.enter(|| {
        let socket = Socket::new(Domain::for_address(from), Type::STREAM, None).expect("a socket");
        socket.bind(&from.into()).expect("a free port");
        socket.connect(&to.into()).expect("the server listens");
        socket
    })
}

/// Limits the client's source ports to this range. It must have an even length, because the kernel
/// does not try the last port of an odd one.
pub(crate) fn narrow_source_ports(lab: &Lab, first: u16, last: u16) {
    lab.client.sysctl("net.ipv4.ip_local_port_range", &format!("{first} {last}"));
}

/// A closed socket may still exist: while another test starts a program, the new process has a copy
/// of every descriptor until execve.
fn wait_until_forgotten(lab: &Lab) {
    let patience = Instant::now() + patience();
    while !lab.client.run("ss", &["-Htan"]).is_empty() {
        assert!(Instant::now() < patience, "the client still has its connections");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn established(lab: &Lab) -> usize {
    lab.server.run("ss", &["-Htan", "state", "established"]).lines().count()
}
