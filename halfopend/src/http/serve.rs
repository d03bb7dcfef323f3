//! Serves one connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::Tracked;
use super::connections::Place;
use super::reply::{self, Response};
use super::router;
use super::security::Security;
use super::shared::{Client, Shared};
use super::stream::Stream;

/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take to send the head of a request, and be idle between requests.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How long requests are taken from a connection.
const LIFETIME: Duration = Duration::from_mins(2);

/// How long the last response may take then, if the client reads slowly.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of the head of a request.
const HEAD: usize = 16 << 10;

/// The most headers of a request.
const HEADERS: usize = 64;

/// Serves a client until either side has had enough.
pub(super) async fn serve(stream: TcpStream, address: IpAddr, place: Place, shared: Arc<Shared>) {
    let stream = Arc::new(stream);
    let client = Client { address, stream: Arc::clone(&stream) };
    let stream = Stream(stream);
    let Some(tls) = &shared.security().tls else {
        return serve_http(stream, client, place, shared).await;
    };
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
        serve_http(stream, client, place, shared).await;
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: Client,
    place: Place,
    shared: Arc<Shared>,
) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (busy, client, shared) = (place.busy(), client.clone(), Arc::clone(&shared));
        async move {
            let response = answer(request, client, shared).await;
            Ok::<_, Infallible>(response.map(|body| Tracked::new(body, busy)))
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    builder.max_buf_size(HEAD).max_headers(HEADERS);
    // Some clients say that they send no more, and wait for the answer.
    builder.half_close(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // What a client does wrong is its own business.
    if timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_PATIENCE, connection).await;
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    client: Client,
    shared: Arc<Shared>,
) -> Response {
    let (mut head, body) = request.into_parts();
    let security = shared.security();
    let Security { users, headers, .. } = &*security;
    let passwords = &shared.passwords;
    let mut response =
        if users.is_empty() || passwords.are_right(users, &head.headers, client.address).await {
            head.extensions.insert(client);
            router::answer(head, shared).await
        } else {
            let mut response = reply::text(StatusCode::UNAUTHORIZED, "unauthorized\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
            response
        };
    for (name, value) in headers {
        response.headers_mut().insert(name, value.clone());
    }
    reply::complete(&mut response);
    if !hyper::body::Body::is_end_stream(&body) {
        // Nobody reads it, so nothing can follow it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
