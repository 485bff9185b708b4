//! Time, and what is due in it. One thing happens at a time, and the next only when all that follows from it has
//! come to rest.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{party::Party, world::World};

/// Something that happens at its time.
pub type Happening = Box<dyn FnOnce(&Arc<World>) + Send>;

/// What is due.
pub enum Due {
    /// A sleeper wakes.
    Wake(Waker),
    /// This happens.
    Happen(Happening),
}

/// One thing that is due, and at whom.
pub struct Entry {
    /// Whose tasks go on because of it.
    pub party: Party,
    /// What it is.
    pub due: Due,
}

/// A place in time: nanoseconds since the start, and the order of those that fall together.
type Place = (u64, u64);

/// The time of a run.
#[derive(Default)]
pub struct Engine(Mutex<State>);

#[derive(Default)]
struct State {
    now: u64,
    number: u64,
    queue: BTreeMap<Place, Entry>,
}

impl Engine {
    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.state().now)
    }

    /// Lets something happen at a party, `after` from now.
    pub fn after(&self, after: Duration, party: Party, happening: impl FnOnce(&Arc<World>) + Send + 'static) {
        let mut state = self.state();
        let place = state.place(after);
        state.queue.insert(place, Entry { party, due: Due::Happen(Box::new(happening)) });
    }

    /// A sleep of a party's.
    #[must_use]
    pub fn sleep(self: &Arc<Self>, party: Party, duration: Duration) -> Sleep {
        let place = self.state().place(duration);
        Sleep { engine: Arc::clone(self), party, place }
    }

    /// Goes on to the next thing that is due, and hands it out.
    pub fn next(&self) -> Option<Entry> {
        let mut state = self.state();
        let ((at, _), entry) = state.queue.pop_first()?;
        state.now = at;
        Some(entry)
    }

    /// Forgets everything that is due.
    pub fn clear(&self) {
        let queue = std::mem::take(&mut self.state().queue);
        // Outside the lock: what is dropped may hold sleeps, which come here.
        drop(queue);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, after: Duration) -> Place {
        self.number += 1;
        (self.now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)), self.number)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// A wait for a time. Dropping it takes it out of the queue.
#[derive(Debug)]
pub struct Sleep {
    engine: Arc<Engine>,
    party: Party,
    place: Place,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.engine.state();
        if state.now >= self.place.0 {
            return Poll::Ready(());
        }
        let entry = Entry { party: self.party, due: Due::Wake(cx.waker().clone()) };
        let before = state.queue.insert(self.place, entry);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let entry = self.engine.state().queue.remove(&self.place);
        drop(entry);
    }
}
