//! Event streams for browsers (HTML, section 9.2, "Server-sent events").
//!
//! The server counts such an answer as a stream: it has no deadline, takes up its room among the streams, and
//! ends when the server drains. A browser opens it again by itself.

use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};
use std::convert::Infallible;
use std::time::Duration;
use tokio_stream::{Stream, StreamExt as _};

pub use axum::response::sse::Event;

/// How often a comment is sent where nothing happens, so that a browser that is gone is noticed and no proxy
/// ends the stream: the usual limit of those is a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The answer that sends these events, each as it comes.
pub fn answer<S>(events: S) -> Response
where
    S: Stream<Item = Event> + Send + 'static,
{
    let events = events.map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // A proxy that gathers an answer before it passes it on would keep the events back.
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
