//! Whether the trail is kept, and what that means for new sign-ins.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh::clock::Clock;

use crate::error::Error;

/// How long a caller waits who meets a trail that can't be kept.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Whether entries come into the trail. Clones share one answer.
///
/// An entry that can't be written yet is durable in the store, so that payments under way go on whatever the
/// trail's disk does. But what can't be audited must not go on for ever: once entries have waited too
/// long, nobody begins a sign-in any more, and with the last session's end nothing more is added to what waits.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Since when, by the clock's elapsed time, entries could not be written; `None` where they can.
    failing_since: Option<Duration>,
    /// How long they may wait.
    wait_max: Duration,
    /// Nothing was written since the start, though something waits.
    closed: bool,
}

impl Standing {
    /// Entries may wait so long.
    #[must_use]
    pub fn new(wait_max: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { wait_max, ..State::default() })))
    }

    /// Whether a sign-in may begin.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while entries have waited too long for the trail.
    pub fn admits(&self, clock: &dyn Clock) -> Result<(), Error> {
        let state = self.state();
        let waited = state.failing_since.map(|since| clock.elapsed().saturating_sub(since));
        let too_long = state.closed || waited.is_some_and(|waited| waited >= state.wait_max);
        if too_long { Err(Error::Overloaded(RETRY_AFTER)) } else { Ok(()) }
    }

    /// For how long entries could not be written; zero where they can.
    #[must_use]
    pub fn lag(&self, clock: &dyn Clock) -> Duration {
        self.state().failing_since.map_or(Duration::ZERO, |since| clock.elapsed().saturating_sub(since))
    }

    /// Entries were written, or none waits.
    pub(crate) fn works(&self) {
        let mut state = self.state();
        (state.failing_since, state.closed) = (None, false);
    }

    /// Entries could not be written.
    pub(crate) fn fails(&self, clock: &dyn Clock) {
        let mut state = self.state();
        state.failing_since = state.failing_since.or(Some(clock.elapsed()));
    }

    /// Entries could not be written at the start. For how long that had been so before, nobody knows: no sign-in
    /// begins until they can.
    pub(crate) fn fails_at_the_start(&self, clock: &dyn Clock) {
        self.fails(clock);
        self.state().closed = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
