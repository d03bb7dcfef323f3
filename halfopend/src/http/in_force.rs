//! `/config`: the configuration in force.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::reply::{self, Response};
use super::shared::Shared;

/// The configuration in force, as text.
pub struct InForce(Mutex<Arc<str>>);

impl InForce {
    pub(super) fn new(text: Arc<str>) -> Self {
        Self(Mutex::new(text))
    }

    /// Shows another one from now on.
    pub fn set(&self, text: Arc<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn text(&self) -> Arc<str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn show(_request: &Parts, shared: &Shared) -> Response {
    reply::text(StatusCode::OK, &*shared.in_force.text())
}
