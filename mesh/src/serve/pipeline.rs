//! What happens to one request on its way to the handler and back.

use super::RemoteAddr;
use super::body::{Guarded, Reader, too_large};
use super::deadline::{self, Deadline};
use super::limits::Limits;
use super::pause::Pause;
use super::unary::{self, UnaryBytes};
use crate::access::{AccessTable, Admitted, CallKind};
use crate::clock::Entropy;
use crate::identity::Peer;
use crate::status::Refusal;
use crate::telemetry::{Counter, Metrics, TRACEPARENT, TraceContext};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use proto::reason::Reason;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tracing::Instrument as _;

mod activity;
mod admission;
mod call;
mod ends;
mod receive;
mod refusals;

pub(super) use activity::Activity;
use activity::InFlight;
use admission::{Admission, HTTP, NotBegun, Room};
pub(super) use call::Answering;
use ends::{end_of_stream, http_status, late, panicked};
use receive::Received;
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
    pause: Arc<Pause>,
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
    admission: Admission,
    answered: Counter,
    handler_refusals: HandlerRefusals,
    refused: Counter,
    late: Counter,
    panicked: Counter,
}

/// What an answer holds until it has been read.
struct Held {
    /// Given back as soon as there is an answer, where the work is done then.
    _room: Option<Room>,
    in_flight: InFlight,
}

impl Reader for Held {
    fn came(&mut self) {
        self.in_flight.came();
    }

    fn handed(&mut self, bytes: usize) {
        self.in_flight.handed(bytes);
    }
}

/// A call that was let in and waits for its turn.
struct Waiting {
    admitted: Admitted,
    room: Room,
    in_flight: InFlight,
    asked: Option<Duration>,
    allowed: Duration,
    deadline: Deadline,
}

impl Pipeline {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let labels = [("port", parts.port)];
        let counter = |name, help| parts.metrics.counter(name, help, &labels);
        let forwarded = parts.unary.as_ref().map_or(&[][..], |service| service.paths());
        let admission = Admission::new(parts.port, &parts.kind, forwarded, &parts.limits, parts.metrics);
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
                admission,
                handler_refusals: HandlerRefusals::new(parts.port, parts.metrics),
                answered: counter("bankside_requests_answered_total", "Answered by a handler."),
                refused: counter("bankside_requests_refused_total", "Refused before a handler."),
                late: counter("bankside_requests_late_total", "Stopped at their deadline."),
                panicked: counter("bankside_requests_panicked_total", "Handlers that panicked."),
            }),
        }
    }

    /// Begins to answer one request. Nothing that a caller sends makes this, or the answer, fail or panic.
    ///
    /// It is called as soon as the request is there; the answer is polled when a thread is free for it, and
    /// the time in between is what the call has waited.
    pub(super) fn begin(&self, request: Request<Incoming>, caller: &Caller) -> Answering {
        let shared = &self.shared;
        let in_flight = Activity::begin(&caller.activity);
        let admitted = match shared.admit(&request, caller) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                shared.refused.increment();
                // A browser's path names an order or a checkout; a call's path names a method.
                let path = if shared.is_grpc() { request.uri().path() } else { "" };
                let reason = refusal.reason().as_wire();
                tracing::info!(port = shared.port, path, peer = %caller.name, reason, "refused");
                in_flight.refused();
                return Answering::Now(Some(shared.refuse(refusal)));
            }
        };
        let room = match shared.admission.room(admitted) {
            Ok(room) => room,
            Err(why) => {
                in_flight.refused();
                caller.not_begun(&why, admitted, request.version());
                return Answering::Now(Some(shared.not_begun(&why)));
            }
        };
        let asked = deadline::requested(request.headers());
        let allowed = asked.unwrap_or(shared.limits.deadline_default.get()).min(shared.limits.deadline_max.get());
        let deadline = Deadline::since(in_flight.arrived(), allowed);
        let waiting = Waiting { admitted, room, in_flight, asked, allowed, deadline };
        Answering::Later(Box::pin(self.clone().answer(request, caller.clone(), waiting)))
    }

    async fn answer(self, request: Request<Incoming>, caller: Caller, call: Waiting) -> Response<Body> {
        admission::turn().await;
        if let Err(why) = self.shared.admission.begin(call.admitted.kind, call.in_flight.arrived(), call.deadline) {
            call.in_flight.refused();
            caller.not_begun(&why, call.admitted, request.version());
            return self.shared.not_begun(&why);
        }
        let trace = self.shared.trace(&request);
        let span = tracing::info_span!(
            "rpc",
            port = self.shared.port,
            rpc = call.admitted.rpc,
            peer = %caller.name,
            trace = trace.map(|trace| trace.trace_id()),
            order_id = tracing::field::Empty,
        );
        let deadline = call.deadline;
        let work = deadline.scope(self.run(request, caller, call));
        match trace {
            Some(trace) => trace.scope(work.instrument(span)).await,
            None => work.instrument(span).await,
        }
    }

    async fn run(self, request: Request<Incoming>, caller: Caller, mut call: Waiting) -> Response<Body> {
        let Self { shared, routes } = self;
        let (head, body) = request.into_parts();
        let body = match shared.receive(body, &caller, &mut call).await {
            Ok(body) => body,
            Err(answer) => {
                call.in_flight.refused();
                return answer;
            }
        };
        let Waiting { admitted, room, in_flight, asked, allowed, deadline } = call;
        let handled = match (shared.unary_for(admitted.rpc), body) {
            (Some(service), Received::Whole(message)) => {
                let handling = Box::pin(unary::answer(service, admitted.rpc, caller.peer, deadline, message));
                match shared.contain(handling, deadline, allowed).await {
                    Ok(answer) => {
                        shared.answered.increment();
                        room.answered(false);
                        return answer.into_response(in_flight.answered());
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            (_, body) => {
                let request = prepare(Request::from_parts(head, body.into_body()), caller, deadline);
                shared.contain(Box::pin(routes.oneshot(request)), deadline, allowed).await
            }
        };
        let answer = match handled {
            Ok(Ok(answer)) => refusals::in_our_words(answer),
            Ok(Err(never)) => match never {},
            Err(refusal) => {
                in_flight.refused();
                return shared.refuse(refusal);
            }
        };
        shared.answered.increment();
        let room = room.answered(shared.handler_refusals.note(&answer));
        let (room, end) = match admitted.kind {
            CallKind::Short if !shared.is_grpc() && ends::is_event_stream(&answer) => {
                // Browsers ask for a stream as for any page, so that it is counted once it is there.
                let Ok(room) = shared.admission.stream() else {
                    in_flight.refused();
                    return shared.not_begun(&NotBegun::Shed);
                };
                (Some(room), Some(ends::end_of_events(shared.drain.clone())))
            }
            // The work is done. What is left is for the caller to read, and a caller that doesn't
            // must not keep others out.
            CallKind::Short => (None, None),
            // A stream has its caller's deadline and no other.
            CallKind::Stream => {
                let deadline = asked.map(|_| deadline);
                (Some(room), Some(end_of_stream(deadline, shared.drain.clone())))
            }
            CallKind::Open => (Some(room), Some(end_of_stream(None, shared.drain.clone()))),
        };
        let held = Held { _room: room, in_flight: in_flight.answered() };
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
            Kind::Http => Admitted { rpc: HTTP, kind: CallKind::Short },
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

    fn not_begun(&self, why: &NotBegun) -> Response<Body> {
        self.admission.refuse(why).unwrap_or_else(|refusal| self.refuse(refusal))
    }

    /// Continues the caller's trace, or starts one. Without random bytes a call goes untraced.
    fn trace(&self, request: &Request<Incoming>) -> Option<TraceContext> {
        let parent = request.headers().get(TRACEPARENT).and_then(|value| TraceContext::parse(value.to_str().ok()?));
        match parent {
            Some(parent) => parent.child(&*self.entropy).ok(),
            None => TraceContext::start(&*self.entropy).ok(),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        if self.is_grpc() {
            return refusal.into_status().into_http();
        }
        let status = http_status(&refusal);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    }
}

fn prepare(mut request: Request<Body>, caller: Caller, deadline: Deadline) -> Request<Body> {
    let extensions = request.extensions_mut();
    if let Some(peer) = caller.peer {
        extensions.insert(peer);
    }
    extensions.insert(caller.remote);
    extensions.insert(deadline);
    request
}

impl Caller {
    pub(super) fn new(peer: Option<Arc<Peer>>, remote: RemoteAddr, activity: Arc<Activity>, pause: Arc<Pause>) -> Self {
        let name = match &peer {
            Some(peer) => peer.id.to_string(),
            None => format!("device at {}", remote.0.ip()),
        };
        Self { peer, remote, activity, pause, name: name.into() }
    }

    /// A call of this caller's is not begun. Where that is because there are too many short ones, and others may
    /// be right behind it, its connection is read from a little later.
    fn not_begun(&self, why: &NotBegun, call: Admitted, version: Version) {
        if matches!(why, NotBegun::Shed) && call.kind == CallKind::Short && version == Version::HTTP_2 {
            self.pause.set_due();
        }
    }
}
