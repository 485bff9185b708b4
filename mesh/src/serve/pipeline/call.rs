//! What is to become the answer to a call.

use http::Response;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;

/// The answer to a request: a refusal that took no work at all, or work.
pub(in crate::serve) enum Answering {
    Now(Option<Response<Body>>),
    /// Boxed, because what runs it moves it about several times, and it is large.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Answering {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        match &mut *self {
            Self::Now(answer) => Poll::Ready(answer.take().expect("invariant: not polled again once it was ready")),
            Self::Later(answer) => answer.as_mut().poll(cx),
        }
    }
}
