//! Accepts connections, and gives each its bounds.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::request::Request;
use super::router;
use super::shared::Shared;

/// How long a client may take to send the head of a request, and be idle between requests.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of a request.
const HEAD: usize = 16 << 10;

/// The most headers of a request.
const HEADERS: usize = 64;

/// How long to wait if no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of all listeners.
#[derive(Default)]
pub(super) struct Connections {}

/// Accepts connections, and serves them.
pub(super) async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    shared: Arc<Shared>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime has I/O");
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let _ = &connections;
                tokio::spawn(serve(stream, client, Arc::clone(&shared)));
            }
            Err(error) if is_of_the_connection(&error) => {}
            // Without descriptors or memory, the next attempt would fail at once.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Returns true if a connection has failed before it was accepted (accept(2)).
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn serve(stream: TcpStream, client: SocketAddr, shared: Arc<Shared>) {
    let client = client.ip().to_canonical();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (head, _) = request.into_parts();
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(router::answer(Request { head, client }, shared).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    builder.max_buf_size(HEAD).max_headers(HEADERS).half_close(true);
    // What a client does wrong is its own business.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}
