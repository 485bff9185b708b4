//! Whether a connection is in use.

use super::super::limits::Limits;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The requests of one connection, counted, so that one that asks for nothing can be ended.
pub(in crate::serve) struct Activity {
    state: Mutex<State>,
}

struct State {
    in_flight: usize,
    has_asked: bool,
    since: Instant,
}

impl Activity {
    pub(in crate::serve) fn new() -> Self {
        Self { state: Mutex::new(State { in_flight: 0, has_asked: false, since: Instant::now() }) }
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(activity: &Arc<Self>) -> InFlight {
        activity.change(|state| {
            state.in_flight += 1;
            state.has_asked = true;
        });
        InFlight(Arc::clone(activity))
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

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One request in flight.
pub(in crate::serve) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.in_flight -= 1;
            state.since = Instant::now();
        });
    }
}
