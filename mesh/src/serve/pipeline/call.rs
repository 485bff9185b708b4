//! A call on its way: what has come of its message, and what is to become its answer.

use super::super::body::{Buffered, Limited};
use bytes::Bytes;
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

/// The message of a call, as far as it is there.
pub(super) enum Received {
    Whole(Bytes),
    Coming(Limited),
}

impl Received {
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Whole(message) => Body::new(Buffered(Some(message))),
            Self::Coming(body) => Body::new(body),
        }
    }
}
