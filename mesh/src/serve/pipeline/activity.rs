//! Whether a connection is in use, and whether its use is an abuse.

use super::super::body::Reader;
use super::super::limits::Limits;
use super::super::meter::{Abuse, Meter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A call that its caller takes back this soon was not made to be answered. A caller that gives up at its
/// deadline has waited for longer.
const RAPID: Duration = Duration::from_millis(100);

/// How many of those a connection may have at once, and how many in each second.
const RAPID_BURST: u64 = 200;
const RAPID_PER_SECOND: u64 = 20;

/// The requests of one connection, counted, so that one that asks for nothing can be ended.
pub(in crate::serve) struct Activity {
    state: Mutex<State>,
    meter: Arc<Meter>,
    too_rapid: Notify,
}

struct State {
    in_flight: usize,
    has_asked: bool,
    since: Instant,
    rapid: u64,
    rapid_since: Instant,
}

impl Activity {
    pub(in crate::serve) fn new(meter: Arc<Meter>) -> Self {
        let now = Instant::now();
        let state = State { in_flight: 0, has_asked: false, since: now, rapid: 0, rapid_since: now };
        Self { state: Mutex::new(state), meter, too_rapid: Notify::new() }
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(activity: &Arc<Self>) -> InFlight {
        activity.meter.asked();
        activity.change(|state| {
            state.in_flight += 1;
            state.has_asked = true;
        });
        InFlight { activity: Arc::clone(activity), arrived: Instant::now(), is_answered: false, waits: None }
    }

    /// Waits until no request has been in flight for the time that the limits allow: a short one for
    /// a connection that has never asked for anything, which may be there only to take up a place.
    pub(in crate::serve) async fn idle(&self, limits: &Limits) {
        loop {
            let wait = self.change(|state| {
                let allowed = if state.has_asked { limits.idle.get() } else { limits.first_request.get() };
                if state.in_flight > 0 { allowed } else { allowed.saturating_sub(state.since.elapsed()) }
            });
            if wait == Duration::ZERO {
                return;
            }
            // A request in between changes which limit counts, so neither is slept through.
            let look_again = limits.first_request.get().min(limits.idle.get());
            tokio::time::sleep(wait.min(look_again)).await;
        }
    }

    /// Waits until the caller has taken back too many calls too soon, or left too many without their message.
    pub(in crate::serve) async fn abused(&self) -> Abuse {
        self.too_rapid.notified().await;
        Abuse::Resets
    }

    fn taken_back(&self) {
        let rapid = self.change(|state| {
            let forgiven = state.rapid_since.elapsed().as_secs().saturating_mul(RAPID_PER_SECOND);
            if forgiven > 0 {
                state.rapid = state.rapid.saturating_sub(forgiven);
                state.rapid_since = Instant::now();
            }
            state.rapid += 1;
            state.rapid
        });
        if rapid > RAPID_BURST {
            self.too_rapid.notify_one();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One request in flight, until its answer has been read.
pub(in crate::serve) struct InFlight {
    activity: Arc<Activity>,
    arrived: Instant,
    is_answered: bool,
    /// Since which period of the meter's a part of the answer has been waiting to be read.
    waits: Option<u32>,
}

impl InFlight {
    /// When the request was there.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// There is an answer, and it waits to be read.
    pub(super) fn answered(mut self) -> Self {
        self.is_answered = true;
        self.waits = Some(self.activity.meter.waits());
        self
    }

    /// Its message has not come and is not waited for any more. To us that is the same as a call that is taken back.
    pub(super) fn given_up(&self) {
        self.activity.taken_back();
    }

    /// The answer is a refusal, which goes out with the head alone.
    pub(super) fn refused(mut self) {
        self.is_answered = true;
    }
}

impl Reader for InFlight {
    fn came(&mut self) {
        if let Some(period) = self.waits.take() {
            self.activity.meter.taken(period);
        }
    }

    fn handed(&mut self, bytes: usize) {
        self.activity.meter.handed(bytes);
        self.waits = Some(self.activity.meter.waits());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.came();
        if !self.is_answered && self.arrived.elapsed() < RAPID {
            self.activity.taken_back();
        }
        self.activity.change(|state| {
            state.in_flight -= 1;
            state.since = Instant::now();
        });
    }
}
