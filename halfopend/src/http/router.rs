//! Which handler answers which path.

use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ALLOW, HOST, HeaderValue, ORIGIN};
use hyper::http::Method;
use hyper::http::request::Parts;

use super::reply::{self, Response};
use super::shared::Shared;
use super::{health, in_force, metrics, page, probe, reload, targets};

/// Every path.
const ROUTES: &[Route] = &[
    Route::get("/", page::page),
    Route::get("/page.css", page::style),
    Route::get("/page.js", page::script),
    Route::get("/-/healthy", health::healthy),
    Route::get("/-/ready", health::ready),
    Route::get("/api/v1/targets", targets::targets),
    Route::get("/config", in_force::show),
    Route::get("/metrics", metrics::metrics),
    Route::get_later("/probe", |parts, shared| Box::pin(probe::probe(parts, shared))),
    Route::post_later("/-/reload", |_, shared| Box::pin(reload::reload(shared))),
];

/// A response that takes time.
pub(super) type Later = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What answers requests.
#[derive(Clone, Copy)]
enum Handler {
    /// Answers at once.
    Now(fn(&Parts, &Shared) -> Response),
    /// Answers when something has happened.
    Later(fn(Parts, Arc<Shared>) -> Later),
}

/// A path, and what answers requests for it.
struct Route {
    path: &'static str,
    is_post: bool,
    handler: Handler,
}

impl Route {
    const fn get(path: &'static str, handler: fn(&Parts, &Shared) -> Response) -> Self {
        Self { path, is_post: false, handler: Handler::Now(handler) }
    }

    const fn get_later(path: &'static str, handler: fn(Parts, Arc<Shared>) -> Later) -> Self {
        Self { path, is_post: false, handler: Handler::Later(handler) }
    }

    const fn post_later(path: &'static str, handler: fn(Parts, Arc<Shared>) -> Later) -> Self {
        Self { path, is_post: true, handler: Handler::Later(handler) }
    }

    fn takes(&self, method: &Method) -> bool {
        if self.is_post {
            method == Method::POST
        } else {
            [Method::GET, Method::HEAD].contains(method)
        }
    }

    fn allowed(&self) -> HeaderValue {
        HeaderValue::from_static(if self.is_post { "POST" } else { "GET, HEAD" })
    }
}

/// Answers a request. The body of an answer to HEAD is left out later.
pub(super) async fn answer(request: Parts, shared: Arc<Shared>) -> Response {
    match ROUTES.iter().find(|route| route.path == request.uri.path()) {
        None => reply::text(StatusCode::NOT_FOUND, "not found\n"),
        Some(route) if !route.takes(&request.method) => {
            let mut response = reply::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(ALLOW, route.allowed());
            response
        }
        Some(route) if route.is_post && is_from_another_site(&request) => {
            reply::text(StatusCode::FORBIDDEN, "a page of another site may not ask for this\n")
        }
        Some(Route { handler: Handler::Now(handler), .. }) => handler(&request, &shared),
        Some(Route { handler: Handler::Later(handler), .. }) => handler(request, shared).await,
    }
}

/// Returns true if a browser sends a request because a page of another site wants it to (W3C, Fetch
/// Metadata Request Headers). Older browsers do not name the site, but the origin (RFC 6454): for a
/// page of ours, it is the host that is asked.
fn is_from_another_site(request: &Parts) -> bool {
    let headers = &request.headers;
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_ours = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let authority = origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    !headers.get_all(ORIGIN).iter().all(is_ours)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn a_page_of_another_site_is_known_by_its_origin_if_the_browser_does_not_name_the_site() {
        for (host, origin, site, is_other) in [
            ("192.0.2.1:9115", "", "", false),
            ("192.0.2.1:9115", "http://192.0.2.1:9115", "", false),
            ("check.example", "https://check.example", "", false),
            ("Check.Example", "https://check.example", "", false),
            ("[2001:db8::1]:9115", "http://[2001:db8::1]:9115", "", false),
            ("192.0.2.1:9115", "http://other.example", "", true),
            ("192.0.2.1:9115", "http://other.example:9115", "", true),
            ("192.0.2.1:9115", "http://192.0.2.1:9090", "", true),
            ("192.0.2.1:9115", "http://192.0.2.1", "", true),
            ("192.0.2.1:9115", "null", "", true),
            ("null", "null", "", true),
            ("", "http://other.example", "", true),
            // A proxy may have changed the host.
            ("127.0.0.1:9115", "https://check.example", "same-origin", false),
            ("192.0.2.1:9115", "http://192.0.2.1:9115", "cross-site", true),
        ] {
            let mut request = Request::post("/-/reload");
            for (name, value) in [("host", host), ("origin", origin), ("sec-fetch-site", site)] {
                if !value.is_empty() {
                    request = request.header(name, value);
                }
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let about = format!("host {host}, origin {origin}, site {site}");
            assert_eq!(is_from_another_site(&parts), is_other, "{about}");
        }
    }
}
