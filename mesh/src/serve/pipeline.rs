//! What happens to one request on its way to the handler and back.

use super::RemoteAddr;
use super::body::{End, Guarded, Limited, too_large};
use super::deadline::{self, Deadline};
use super::limits::Limits;
use super::unary::{self, UnaryBytes};
use crate::access::{AccessTable, Admitted, CallKind};
use crate::clock::Entropy;
use crate::identity::Peer;
use crate::status::Refusal;
use crate::telemetry::{Counter, Metrics, TRACEPARENT, TraceContext};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use proto::reason::Reason;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use tracing::Instrument as _;

mod activity;
mod refusals;

pub(super) use activity::Activity;
use activity::InFlight;
use refusals::HandlerRefusals;

/// What a port speaks.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Grpc(Arc<AccessTable>),
    Http,
}

/// Who sends the requests of one connection.
#[derive(Clone)]
pub(super) struct Caller {
    peer: Option<Arc<Peer>>,
    remote: RemoteAddr,
    activity: Arc<Activity>,
    /// As log lines name it; made once for all of the connection's requests.
    name: Arc<str>,
}

/// What a pipeline is made of.
pub(super) struct Parts<'a> {
    pub(super) port: &'static str,
    pub(super) kind: Kind,
    pub(super) mutual: bool,
    pub(super) routes: Routes,
    pub(super) unary: Option<Arc<dyn UnaryBytes>>,
    pub(super) limits: Limits,
    pub(super) metrics: &'a Metrics,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) drain: CancellationToken,
}

/// The steps of a port; clones share its limits and counters.
#[derive(Clone)]
pub(super) struct Pipeline {
    shared: Arc<Shared>,
    routes: Routes,
}

struct Shared {
    port: &'static str,
    kind: Kind,
    mutual: bool,
    limits: Limits,
    entropy: Arc<dyn Entropy>,
    unary: Option<Arc<dyn UnaryBytes>>,
    drain: CancellationToken,
    short: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    answered: Counter,
    handler_refusals: HandlerRefusals,
    refused: Counter,
    shed: Counter,
    late: Counter,
    panicked: Counter,
}

/// What an answer holds until it has been read.
type Held = (Option<OwnedSemaphorePermit>, InFlight);

impl Pipeline {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let labels = [("port", parts.port)];
        let counter = |name, help| parts.metrics.counter(name, help, &labels);
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            routes: parts.routes,
            shared: Arc::new(Shared {
                port: parts.port,
                kind: parts.kind,
                mutual: parts.mutual,
                limits: parts.limits,
                entropy: parts.entropy,
                unary: parts.unary,
                drain: parts.drain,
                short: permits(parts.limits.requests_max),
                streams: permits(parts.limits.streams_max),
                handler_refusals: HandlerRefusals::new(parts.port, parts.metrics),
                answered: counter("bankside_requests_answered_total", "Answered by a handler."),
                refused: counter("bankside_requests_refused_total", "Refused before a handler."),
                shed: counter("bankside_requests_shed_total", "Refused for want of capacity."),
                late: counter("bankside_requests_late_total", "Stopped at their deadline."),
                panicked: counter("bankside_requests_panicked_total", "Handlers that panicked."),
            }),
        }
    }

    /// Answers one request. Nothing that a caller sends makes this fail or panic.
    pub(super) async fn answer(self, request: Request<Incoming>, caller: Caller) -> Response<Body> {
        let in_flight = Activity::begin(&caller.activity);
        let admitted = match self.shared.admit(&request, &caller) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.shared.refused.increment();
                tracing::info!(
                    port = self.shared.port,
                    path = request.uri().path(),
                    peer = %caller.name,
                    reason = refusal.reason().as_wire(),
                    "refused"
                );
                return self.shared.refuse(refusal);
            }
        };
        let permit = match self.shared.take_permit(admitted.kind) {
            Ok(permit) => permit,
            Err(refusal) => {
                self.shared.shed.increment();
                return self.shared.refuse(refusal);
            }
        };
        let trace = self.shared.trace(&request);
        let span = tracing::info_span!(
            "rpc",
            port = self.shared.port,
            rpc = admitted.rpc,
            peer = %caller.name,
            trace = trace.map(|trace| trace.trace_id()),
            order_id = tracing::field::Empty,
        );
        let work = self.run(request, caller, admitted, (permit, in_flight));
        match trace {
            Some(trace) => trace.scope(work.instrument(span)).await,
            None => work.instrument(span).await,
        }
    }

    async fn run(self, request: Request<Incoming>, caller: Caller, admitted: Admitted, held: Held) -> Response<Body> {
        let Self { shared, routes } = self;
        let asked = deadline::requested(request.headers());
        let allowed = asked.unwrap_or(shared.limits.deadline_default.get()).min(shared.limits.deadline_max.get());
        let deadline = Deadline::within(allowed);
        if let Some(service) = shared.unary_for(admitted.rpc) {
            let limit = shared.limits.message_bytes_max;
            let handling = Box::pin(unary::answer(service, admitted.rpc, caller.peer, deadline, request, limit));
            return match shared.contain(handling, deadline, allowed).await {
                Ok(answer) => {
                    shared.answered.increment();
                    answer.into_response(held.1)
                }
                Err(refusal) => shared.refuse(refusal),
            };
        }
        let request = shared.prepare(request, caller, deadline);
        let answer = match shared.contain(Box::pin(routes.oneshot(request)), deadline, allowed).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(refusal) => return shared.refuse(refusal),
        };
        shared.answered.increment();
        shared.handler_refusals.note(&answer);
        let (permit, in_flight) = held;
        let (permit, end) = match admitted.kind {
            // The work is done. What is left is for the caller to read, and a caller that doesn't
            // must not keep others out.
            CallKind::Short => (None, None),
            // A stream has its caller's deadline and no other.
            CallKind::Stream => {
                let deadline = asked.map(|_| deadline);
                (permit, Some(end_of_stream(deadline, shared.drain.clone())))
            }
            CallKind::Open => (None, Some(end_of_stream(None, shared.drain.clone()))),
        };
        let held: Held = (permit, in_flight);
        answer.map(|body| Body::new(Guarded::new(body, held, end, || panicked().into_status())))
    }
}

impl Shared {
    fn is_grpc(&self) -> bool {
        matches!(self.kind, Kind::Grpc(_))
    }

    /// The service that takes this call as bytes, if one does.
    fn unary_for(&self, rpc: &str) -> Option<Arc<dyn UnaryBytes>> {
        self.unary.as_ref().filter(|service| service.paths().contains(&rpc)).map(Arc::clone)
    }

    /// Runs a handler to its end, its panic or its deadline.
    async fn contain<F>(
        &self,
        mut handling: Pin<Box<F>>,
        deadline: Deadline,
        allowed: Duration,
    ) -> Result<F::Output, Refusal>
    where
        F: Future + Send + ?Sized,
    {
        // A handler that panics unwinds to here and no further; its future is not polled again.
        let contained =
            std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
                Err(_) => Poll::Ready(Err(())),
            });
        tokio::select! {
            biased;
            answer = contained => answer.map_err(|()| {
                self.panicked.increment();
                panicked()
            }),
            () = deadline.passed() => {
                self.late.increment();
                tracing::info!(allowed_ms = allowed.as_millis(), "stopped at its deadline");
                Err(late())
            }
        }
    }

    fn admit(&self, request: &Request<Incoming>, caller: &Caller) -> Result<Admitted, Refusal> {
        let admitted = match &self.kind {
            Kind::Http => Admitted { rpc: "http", kind: CallKind::Short },
            Kind::Grpc(table) => {
                if self.mutual && caller.peer.is_none() {
                    return Err(Refusal::new(
                        Code::Unauthenticated,
                        Reason::CertificateMissing,
                        "this port is for members, by their certificate",
                    ));
                }
                table.judge(request.uri().path(), caller.peer.as_deref())?
            }
        };
        let announced = request
            .headers()
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or(0);
        let limit = self.limits.message_bytes_max;
        if announced > (limit + super::body::FRAME_BYTES) as u64 {
            return Err(too_large(limit));
        }
        Ok(admitted)
    }

    fn take_permit(&self, kind: CallKind) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let permits = match kind {
            CallKind::Short => &self.short,
            CallKind::Stream => &self.streams,
            CallKind::Open => return Ok(None),
        };
        Arc::clone(permits).try_acquire_owned().map(Some).map_err(|_| {
            Refusal::new(
                Code::ResourceExhausted,
                Reason::Overloaded,
                "the server has as many requests in hand as it takes",
            )
            .retry_after(self.limits.retry_after_shed.get())
        })
    }

    /// Continues the caller's trace, or starts one. Without random bytes a call goes untraced.
    fn trace(&self, request: &Request<Incoming>) -> Option<TraceContext> {
        let parent = request.headers().get(TRACEPARENT).and_then(|value| TraceContext::parse(value.to_str().ok()?));
        match parent {
            Some(parent) => parent.child(&*self.entropy).ok(),
            None => TraceContext::start(&*self.entropy).ok(),
        }
    }

    fn prepare(&self, request: Request<Incoming>, caller: Caller, deadline: Deadline) -> Request<Body> {
        let (limit, is_grpc) = (self.limits.message_bytes_max, self.is_grpc());
        let mut request = request.map(|body| Body::new(Limited::new(body, limit, is_grpc)));
        let extensions = request.extensions_mut();
        if let Some(peer) = caller.peer {
            extensions.insert(peer);
        }
        extensions.insert(caller.remote);
        extensions.insert(deadline);
        request
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        if self.is_grpc() {
            return refusal.into_status().into_http();
        }
        let status = match refusal.code() {
            Code::ResourceExhausted if refusal.reason() == Reason::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    }
}

impl Caller {
    pub(super) fn new(peer: Option<Arc<Peer>>, remote: RemoteAddr, activity: Arc<Activity>) -> Self {
        let name = match &peer {
            Some(peer) => peer.id.to_string(),
            None => format!("device at {}", remote.0.ip()),
        };
        Self { peer, remote, activity, name: name.into() }
    }
}

fn late() -> Refusal {
    Refusal::new(
        Code::DeadlineExceeded,
        Reason::DeadlineExceeded,
        "the call was not finished in time; its outcome is not known, ask again with the same id",
    )
}

fn panicked() -> Refusal {
    // The panic hook has logged the place; the panic's text may hold anything and goes nowhere.
    tracing::error!("a handler panicked");
    Refusal::new(
        Code::Internal,
        Reason::Internal,
        "the server failed; the outcome is not known, ask again with the same id",
    )
}

fn end_of_stream(deadline: Option<Deadline>, drain: CancellationToken) -> End {
    Box::pin(async move {
        let passed = async {
            match deadline {
                Some(deadline) => deadline.passed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.cancelled() => Status::from(Refusal::new(
                Code::Unavailable,
                Reason::Unavailable,
                "the server is about to stop; open the stream again at its cursor",
            )),
            () = passed => late().into_status(),
        }
    })
}
