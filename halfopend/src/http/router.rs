//! Which handler answers which path.

use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};
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
/// Metadata Request Headers).
fn is_from_another_site(request: &Parts) -> bool {
    let site = request.headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}
