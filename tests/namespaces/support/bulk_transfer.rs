//! A connection of the kernel that transfers as much as it can.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use lab::Lab;

/// A connection between client and server that transfers as much as it can in one direction, until
/// the value is dropped.
pub(crate) struct BulkTransfer {
    ends: [TcpStream; 2],
    threads: [Option<JoinHandle<()>>; 2],
    received: Arc<AtomicU64>,
}

impl BulkTransfer {
    /// From the client to the server.
    pub(crate) fn start(lab: &Lab, server: IpAddr) -> Self {
        let (client, server) = connection(lab, SocketAddr::new(server, 5001));
        Self::from(client, server)
    }

    /// From the server to the client.
    pub(crate) fn back(lab: &Lab, server: IpAddr) -> Self {
        let (client, server) = connection(lab, SocketAddr::new(server, 5002));
        Self::from(server, client)
    }

    fn from(source: TcpStream, sink: TcpStream) -> Self {
        let ends = [&source, &sink].map(|end| end.try_clone().expect("a descriptor"));
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        let threads =
            [thread::spawn(|| send(source)), thread::spawn(move || receive(sink, &count))];
        Self { ends, threads: threads.map(Some), received }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for BulkTransfer {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            let _ = thread.join();
        }
    }
}

/// The client's end and the server's.
fn connection(lab: &Lab, address: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = lab.server.listen(address);
    let client = lab.client.enter(|| TcpStream::connect(address).expect("the server listens"));
    (client, listener.accept().expect("a connection").0)
}

fn send(mut stream: TcpStream) {
    let chunk = vec![0; 65_536];
    while stream.write_all(&chunk).is_ok() {}
}

fn receive(mut stream: TcpStream, received: &AtomicU64) {
    let mut chunk = vec![0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}
