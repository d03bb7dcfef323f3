//! `/-/healthy` and `/-/ready`: whether this process serves, and whether it knows enough.

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::reply::{self, Response};
use super::shared::Shared;

pub(super) fn healthy(_request: &Parts, _shared: &Shared) -> Response {
    reply::text(StatusCode::OK, "healthy\n")
}

pub(super) fn ready(_request: &Parts, shared: &Shared) -> Response {
    if shared.live.read().is_ready() {
        reply::text(StatusCode::OK, "ready\n")
    } else {
        let words = "not ready: not every target has been checked\n";
        reply::text(StatusCode::SERVICE_UNAVAILABLE, words)
    }
}
