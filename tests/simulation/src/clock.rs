//! A party's clock: the run's time, and how far the party's wall clock is set off from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh::clock::{Clock, Sleep, truncate};

use crate::{engine::Engine, party::Party};

/// When every run starts: 2026-11-24, some time in the morning. The certificates are made for it.
#[must_use]
pub fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_500_000)
}

/// How long a sleeper trusts the monotonic clock before it looks at the wall clock again, as the machine's clock
/// of `mesh` does.
const SLEEP_SLICE: Duration = Duration::from_secs(30);

/// How far a party's wall clock is set off, in milliseconds. It survives a crash.
#[derive(Debug, Default)]
pub struct Offset(AtomicI64);

impl Offset {
    /// Sets it.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    fn apply(&self, time: SystemTime) -> SystemTime {
        let millis = self.0.load(Ordering::Relaxed);
        let by = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 { time - by } else { time + by }
    }
}

/// The clock of one run of a party's process.
#[derive(Debug)]
pub struct PartyClock {
    engine: Arc<Engine>,
    party: Party,
    offset: Arc<Offset>,
    started: Duration,
}

impl PartyClock {
    /// A clock that starts counting now.
    #[must_use]
    pub fn new(engine: &Arc<Engine>, party: Party, offset: &Arc<Offset>) -> Self {
        Self { engine: Arc::clone(engine), party, offset: Arc::clone(offset), started: engine.now() }
    }
}

impl Clock for PartyClock {
    fn now(&self) -> SystemTime {
        truncate(self.offset.apply(start() + self.engine.now()))
    }

    fn elapsed(&self) -> Duration {
        self.engine.now().saturating_sub(self.started)
    }

    fn sleep_until(&self, deadline: SystemTime) -> Sleep<'_> {
        Box::pin(async move {
            while let Ok(left) = deadline.duration_since(self.now()) {
                if left.is_zero() {
                    return;
                }
                self.engine.sleep(self.party, left.min(SLEEP_SLICE)).await;
            }
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(self.engine.sleep(self.party, duration))
    }
}
