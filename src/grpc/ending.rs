//! Whether a client has ended its stream, or went away in the midst of it. A handler is told the one like the other: to tonic a
//! stream that is reset has no more messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use http_body_util::BodyExt as _;
use tonic::body::Body;

/// How the stream of one request ended; known once it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// That of this request.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Whether it broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The same request, of whose stream it is noted how it ends.
pub(super) fn watched(request: Request<Body>) -> Request<Body> {
    let ending = Ending::default();
    let noted = ending.clone();
    let mut request = request.map(|body| {
        Body::new(body.map_err(move |error| {
            noted.0.store(true, Ordering::Relaxed);
            error
        }))
    });
    request.extensions_mut().insert(ending);
    request
}
