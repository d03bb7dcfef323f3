//! Responses, and the headers that all of them have.

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use super::body::Body;

/// A response.
pub(super) type Response = hyper::Response<Body>;

/// What a browser is told of every response, unless its handler says otherwise: it is what it says
/// it is, it needs nothing else, nobody may frame it, and it is old at once.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Returns a response of lines of text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    of_type("text/plain; charset=utf-8", status, text.into())
}

/// Returns a response of this media type.
pub(super) fn of_type(
    media_type: &'static str,
    status: StatusCode,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Adds the headers that every response has, unless it has them already.
pub(super) fn complete(response: &mut Response) {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
}
