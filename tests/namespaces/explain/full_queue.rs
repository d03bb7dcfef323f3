//! Listeners whose accept queue is full.

use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use lab::Namespace;

/// A listener that has as many connections as fit into its queue, and ignores more SYNs.
pub(super) struct FullQueue {
    pub(super) listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl FullQueue {
    pub(super) fn new(host: &Namespace, address: SocketAddr, backlog: u16) -> Self {
        host.enter(|| {
            let listener = listen(address, backlog);
            // One more than the backlog fits (`sk_acceptq_is_full()`).
            let waiting = (0..=backlog).map(|_| connect(address)).collect();
            Self { listener, waiting }
        })
    }

    /// The application works again.
    pub(super) fn accept_all(&mut self) {
        for _ in self.waiting.drain(..) {
            self.listener.accept().expect("a connection waits");
        }
    }
}

pub(super) fn listen(address: SocketAddr, backlog: u16) -> TcpListener {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a TCP socket");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(backlog.into()).expect("listens");
    socket.into()
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("room in the queue")
}
