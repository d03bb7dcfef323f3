//! A request, as handlers see it.

use std::net::IpAddr;

use hyper::http::request::Parts;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Request {
    /// Method, path, query and headers.
    pub(super) head: Parts,
    /// Who asks.
    #[expect(dead_code, reason = "for handlers that share something fairly among clients")]
    pub(super) client: IpAddr,
}

impl Request {
    /// Returns the path, as it was sent.
    pub(super) fn path(&self) -> &str {
        self.head.uri.path()
    }
}
