//! `/metrics`, for Prometheus.

use std::iter;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;

use super::body::Body;
use super::reply::{self, Response};
use super::shared::Shared;
use crate::metrics::{Exposition, Format};

pub(super) fn metrics(request: &Parts, shared: &Shared) -> Response {
    let accepts = request.headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let format = accepts.map(Format::accepted_by).max().unwrap_or(Format::Classic);
    let mut exposition = Exposition::new(format, shared.has_target_metrics);
    let live = Arc::clone(&shared.live);
    let pieces = iter::from_fn(move || exposition.next(&live.read()).map(Bytes::from));
    let body = Body::Chunks(Box::new(pieces));
    reply::of_type(format.content_type(), StatusCode::OK, body)
}
