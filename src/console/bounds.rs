//! Stands before every request: a place for it, an end to it, and what every answer says of itself. Forms and looks have
//! places of their own, so that a flood of forms does not blind whoever watches the node.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;
use super::server::{ALIVE, CONSENTS, Desk};
use crate::meter;

/// How long a request waits for its place.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// Looks (readiness, metrics) at once; each asks the store.
const LOOKS_MAX: usize = 4;

/// The place of a request, held by whatever goes on when the request is over.
#[derive(Clone)]
pub(super) struct Place(
    #[expect(dead_code, reason = "held, never read")] Arc<OwnedSemaphorePermit>,
);

/// Places for requests.
pub(super) struct Places {
    forms: Arc<Semaphore>,
    looks: Arc<Semaphore>,
}

impl Places {
    /// So many forms at once.
    pub fn new(forms_max: usize) -> Self {
        Self {
            forms: Arc::new(Semaphore::new(forms_max)),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        }
    }

    async fn take(&self, is_form: bool) -> Option<Place> {
        let places = if is_form { &self.forms } else { &self.looks };
        let place = timeout(PLACE_WAIT, Arc::clone(places).acquire_owned()).await;
        place.ok()?.ok().map(|place| Place(Arc::new(place)))
    }
}

/// Gives the request its place and its time.
pub(super) async fn bounded(
    State(desk): State<Arc<Desk>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_form = path == CONSENTS;
    let mut response = if path == ALIVE {
        // Says only that the process lives, and says it however much there is to do.
        next.run(request).await
    } else if let Some(place) = desk.places.take(is_form).await {
        request.extensions_mut().insert(place);
        let answer = timeout(desk.request_timeout, next.run(request)).await;
        answer.unwrap_or_else(|_| Refusal::timed_out().into_response())
    } else {
        Refusal::busy().into_response()
    };
    if is_form {
        meter::form_requested(response.status().as_u16());
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let value = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value);
    response
}
