//! What a client sees that connects by its kernel: the truth that checks are compared with.

use std::io::ErrorKind;
use std::net::SocketAddr;

use lab::Namespace;
use socket2::{Domain, Socket, Type};

/// Returns the state of a port as a connection from this host finds it. For a silent port that
/// takes as long as the kernel tries.
pub(crate) fn seen_by_a_client(host: &Namespace, address: SocketAddr) -> &'static str {
    seen_through(None, host, address)
}

/// The same for a connection that is bound to an interface.
pub(crate) fn seen_through(
    interface: Option<&str>,
    host: &Namespace,
    address: SocketAddr,
) -> &'static str {
    // Enough for a virtual machine that is held up for seconds.
    host.sysctl("net.ipv4.tcp_syn_retries", "3");
    let connected = host.enter(|| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind_device(interface.map(str::as_bytes))?;
        socket.connect(&address.into())
    });
    match connected.map_err(|error| error.kind()) {
        Ok(()) => "open",
        Err(ErrorKind::ConnectionRefused) => "closed",
        Err(ErrorKind::TimedOut) => "filtered",
        Err(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => "unreachable",
        Err(other) => panic!("{address}: {other}"),
    }
}
