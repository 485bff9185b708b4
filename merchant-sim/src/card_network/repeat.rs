//! An answer that comes twice in one stream.
//!
//! gRPC's own servers can't do that to a call with one answer, but a broken one can: on the wire nothing tells
//! such a call from one that streams. A handler marks its answer with [`Twice`], and it leaves repeated.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

/// In the extensions of an answer that is to come twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Twice;

/// A service whose marked answers come twice.
#[derive(Clone, Debug)]
pub(super) struct Repeating<S>(S);

impl<S> Repeating<S> {
    pub(super) fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S: NamedService> NamedService for Repeating<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Repeating<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is the one to call.
        let ready = self.0.clone();
        let mut service = std::mem::replace(&mut self.0, ready);
        Box::pin(async move {
            let answer = service.call(request).await?;
            if answer.extensions().get::<Twice>().is_none() {
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            let Ok(body) = body.collect().await else { return Ok(Response::from_parts(head, Body::empty())) };
            let trailers = body.trailers().cloned();
            let message = body.to_bytes();
            let twice = Full::new([&message[..], &message[..]].concat().into());
            let twice = twice.with_trailers(async move { trailers.map(Ok) });
            Ok(Response::from_parts(head, Body::new(twice)))
        })
    }
}
