//! `/metrics`, for Prometheus.

use std::iter;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use tokio::sync::Semaphore;

use super::body::Body;
use super::reply::{self, Response};
use super::shared::Shared;
use crate::metrics::{Exposition, Format};

/// How many answers at a time may take memory to be fast. Clients may not read theirs, so others
/// take less memory and more CPU.
static FAST: Semaphore = Semaphore::const_new(4);

pub(super) fn metrics(request: &Parts, shared: &Shared) -> Response {
    let accepts = request.headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let format = Format::accepted_by(accepts);
    let mut exposition = Exposition::new(format, shared.has_target_metrics);
    let permit = FAST.try_acquire().ok();
    if permit.is_none() {
        exposition = exposition.in_little_memory();
    }
    let live = Arc::clone(&shared.live);
    let pieces = iter::from_fn(move || {
        let _held = &permit;
        exposition.next(&live.read()).map(Bytes::from)
    });
    let body = Body::Chunks(Box::new(pieces));
    reply::of_type(format.content_type(), StatusCode::OK, body)
}
