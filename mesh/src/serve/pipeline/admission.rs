//! Whether there is room for a call, and whether it is still worth beginning.

use super::super::adaptive::{Adaptive, InHand};
use super::super::addresses::{AddressPlace, Addresses};
use super::super::deadline::Deadline;
use super::super::limits::Limits;
use super::super::queue::Queue;
use super::Kind;
use crate::access::{Admitted, CallKind, Rule};
use crate::status::Refusal;
use crate::telemetry::{Counter, Metrics};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use proto::reason::Reason;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;

/// What stands for the RPC where there are none.
pub(super) const HTTP: &str = "http";

/// After so long a message is slow to come: it is one packet, or 64 KiB at the most, and follows its head at
/// once but for a caller who is out of reach.
const SLOW_TO_COME: Duration = Duration::from_secs(1);

/// The share of the short calls that one address may have without their messages, so that somebody who sends no
/// more than heads keeps nobody else out. A member behind which many others call is not kept out either: what it
/// sends comes with its head, or follows within a few round trips.
const COMING_PER_ADDRESS_DIVISOR: usize = 4;

/// The room on one port, or on one of its threads.
pub(super) struct Admission {
    short: Arc<Semaphore>,
    /// Told to the short calls whose message is slow to come, when others find no room.
    short_is_full: Notify,
    /// The short calls whose message is not there yet, by where they come from.
    coming: Arc<Addresses>,
    streams: Arc<Semaphore>,
    open: Arc<Semaphore>,
    /// The short calls, by RPC; `requests_max` holds for all of them together.
    adaptive: HashMap<&'static str, Arc<Adaptive>>,
    queue: Queue,
    /// What a shed caller is answered, made once: under overload it is said more often than anything else.
    shed_answer: (StatusCode, HeaderMap),
    shed: Counter,
    stale: Counter,
}

/// The room that one call takes up, until it is dropped.
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    in_hand: Option<InHand>,
}

/// Why a call is not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// There is no room for it.
    Shed,
    /// Its caller has stopped waiting.
    Stale,
}

impl Admission {
    /// `forwarded` are the RPCs that are answered as bytes. How long those take is their next hop's affair and
    /// says nothing about us, so that only `requests_max` and the wait for a thread count there. That a next hop
    /// which is slow doesn't use all of it up is for the service to see to: it alone knows where a call goes.
    pub(super) fn new(
        port: &'static str,
        kind: &Kind,
        forwarded: &[&'static str],
        limits: &Limits,
        metrics: &Metrics,
    ) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let counter = |name, help| metrics.counter(name, help, &[("port", port)]);
        let (is_grpc, rpcs) = match kind {
            Kind::Grpc(table) => {
                let short = table.rows().filter(|rule| !rule.is_stream()).map(Rule::path);
                (true, short.filter(|rpc| !forwarded.contains(rpc)).collect())
            }
            Kind::Http => (false, vec![HTTP]),
        };
        let wait = limits.retry_after_shed.get();
        Self {
            short: permits(limits.requests_max),
            short_is_full: Notify::new(),
            coming: Addresses::new(limits.requests_max.div_ceil(COMING_PER_ADDRESS_DIVISOR)),
            streams: permits(limits.streams_max),
            open: permits(limits.open_calls_max),
            adaptive: rpcs.into_iter().map(|rpc| (rpc, Adaptive::new(limits))).collect(),
            queue: Queue::new(limits),
            shed_answer: if is_grpc { shed_in_grpc(wait) } else { shed_in_http(wait) },
            shed: counter("bankside_requests_shed_total", "Refused for want of capacity."),
            stale: counter("bankside_requests_stale_total", "Not begun, because their time was over before."),
        }
    }

    /// Room for a call that has just arrived, and a place in hand for it, as if its message were there: so that
    /// of many that arrive at once those that are too many are refused before anything is read, which is cheapest.
    pub(super) fn room(&self, call: Admitted) -> Result<Room, NotBegun> {
        let in_hand = self.in_hand(call)?;
        let permits = match call.kind {
            CallKind::Short => &self.short,
            CallKind::Stream => &self.streams,
            CallKind::Open => &self.open,
        };
        let permit = Arc::clone(permits).try_acquire_owned().map_err(|_| {
            if call.kind == CallKind::Short {
                self.short_is_full.notify_waiters();
            }
            NotBegun::Shed
        })?;
        Ok(Room { _permit: permit, in_hand })
    }

    /// Room for a stream that a short call turned out to be.
    pub(super) fn stream(&self) -> Result<Room, NotBegun> {
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| NotBegun::Shed)?;
        Ok(Room { _permit: permit, in_hand: None })
    }

    /// A place in hand for a call whose message is there at last, where it had given up the first one.
    pub(super) fn take(&self, call: Admitted, room: &mut Room) -> Result<(), NotBegun> {
        if room.in_hand.is_none() {
            room.in_hand = self.in_hand(call)?;
        }
        Ok(())
    }

    fn in_hand(&self, call: Admitted) -> Result<Option<InHand>, NotBegun> {
        let Some(calls) = self.adaptive.get(call.rpc) else { return Ok(None) };
        calls.take(Instant::now()).map(Some).ok_or(NotBegun::Shed)
    }

    /// A place for a call from that address whose message did not come with its head.
    pub(super) fn coming(&self, address: IpAddr) -> Option<AddressPlace> {
        self.coming.place(address)
    }

    /// Waits until a call whose message is slow to come must give its room to others. A caller who sends no
    /// more than a head costs itself nothing, and a few of them would keep everybody else out until their
    /// deadlines.
    pub(super) async fn needed_by_others(&self) {
        tokio::time::sleep(SLOW_TO_COME).await;
        self.short_is_full.notified().await;
    }

    /// Judges a call whose turn has come.
    pub(super) fn begin(&self, kind: CallKind, arrived: Instant, deadline: Deadline) -> Result<(), NotBegun> {
        let waited_too_long = match kind {
            CallKind::Short | CallKind::Stream => self.queue.is_too_late(arrived, Instant::now()),
            // A server that is busy still tells that it lives.
            CallKind::Open => false,
        };
        if deadline.is_over() {
            return Err(NotBegun::Stale);
        }
        if waited_too_long { Err(NotBegun::Shed) } else { Ok(()) }
    }

    /// The answer to a call that is not begun, or the refusal to make one of.
    pub(super) fn refuse(&self, why: &NotBegun) -> Result<Response<Body>, Refusal> {
        match why {
            NotBegun::Shed => {
                self.shed.increment();
                let (status, headers) = self.shed_answer.clone();
                let mut answer = Response::new(Body::empty());
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                Ok(answer)
            }
            NotBegun::Stale => {
                self.stale.increment();
                Err(Refusal::new(
                    Code::DeadlineExceeded,
                    Reason::DeadlineExceeded,
                    "the call's time was over before it was begun; nothing was done",
                ))
            }
        }
    }
}

impl Room {
    /// The message is not there yet. How long that takes is its caller's affair, and a caller who sends slowly
    /// takes up no place of those whose calls can be worked on.
    pub(super) fn put_down(&mut self) {
        if let Some(in_hand) = self.in_hand.take() {
            in_hand.refused();
        }
    }

    /// There is an answer, or a refusal of the handler's. What is left of a stream goes on taking up its room.
    pub(super) fn answered(mut self, is_refusal: bool) -> Self {
        if let Some(in_hand) = self.in_hand.take() {
            if is_refusal { in_hand.refused() } else { in_hand.done() }
        }
        self
    }
}

/// Waits until what is ready to run now has run. A runtime runs a task that was just made before all others,
/// which would make a call that is new wait less than the work that was begun before it, and hide how much
/// of that there is.
pub(super) async fn turn() {
    let mut has_waited = false;
    let at_the_end = |cx: &mut Context<'_>| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself goes to the end of the queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    };
    std::future::poll_fn(at_the_end).await;
}

fn shed_in_grpc(wait: Duration) -> (StatusCode, HeaderMap) {
    let refusal =
        Refusal::new(Code::ResourceExhausted, Reason::Overloaded, "the server has as much in hand as it can answer");
    let answer: Response<Body> = refusal.retry_after(wait).into_status().into_http();
    (answer.status(), answer.headers().clone())
}

fn shed_in_http(wait: Duration) -> (StatusCode, HeaderMap) {
    // Whole seconds are the finest that the header knows (RFC 9110, section 10.2.3).
    let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(seconds))]);
    (StatusCode::SERVICE_UNAVAILABLE, headers)
}
