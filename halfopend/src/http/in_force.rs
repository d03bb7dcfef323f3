//! `/config`: the configuration in force.

use hyper::StatusCode;

use super::reply::{self, Response};
use super::request::Request;
use super::shared::Shared;

pub(super) fn show(_request: &Request, shared: &Shared) -> Response {
    reply::text(StatusCode::OK, &*shared.in_force())
}
