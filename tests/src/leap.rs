//! The machine's clock, which a test sets forward: what takes minutes is there at once, and everything that
//! waits in real time goes on as it does anywhere.

use std::time::{Duration, Instant, SystemTime};

use mesh::clock::{Clock, Sleep, truncate};
use tokio::sync::watch;

/// The clock.
#[derive(Debug)]
pub struct LeapClock {
    started: Instant,
    ahead: watch::Sender<Duration>,
}

impl LeapClock {
    /// A clock that reads what the machine's does.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), ahead: watch::Sender::new(Duration::ZERO) }
    }

    /// Sets it forward, and wakes whoever waits for a time that has come.
    pub fn leap(&self, by: Duration) {
        self.ahead.send_modify(|ahead| *ahead += by);
    }

    /// Waits until what is left by this measure is nothing.
    async fn wait(&self, left: impl Fn() -> Duration + Send) {
        let mut leaps = self.ahead.subscribe();
        loop {
            let left = left();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                // The sender lives in `self`, so that waiting cannot fail.
                _ = leaps.changed() => {}
            }
        }
    }
}

impl Default for LeapClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for LeapClock {
    fn now(&self) -> SystemTime {
        truncate(SystemTime::now() + *self.ahead.borrow())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed() + *self.ahead.borrow()
    }

    fn sleep_until(&self, deadline: SystemTime) -> Sleep<'_> {
        Box::pin(self.wait(move || {
            // Whole milliseconds, up: the clock reads whole ones, and a shorter wait would spin.
            let left = deadline.duration_since(self.now()).unwrap_or_default();
            if left.is_zero() { left } else { left.max(Duration::from_millis(1)) }
        }))
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        let end = self.elapsed() + duration;
        Box::pin(self.wait(move || end.saturating_sub(self.elapsed())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wait::soon;

    #[tokio::test]
    async fn a_leap_wakes_whoever_waits_for_the_time_that_has_come() {
        let clock = Arc::new(LeapClock::new());
        let deadline = clock.now() + Duration::from_secs(3600);
        let sleeper = {
            let clock = Arc::clone(&clock);
            tokio::spawn(async move {
                tokio::join!(clock.sleep_until(deadline), clock.sleep(Duration::from_secs(1800)));
                clock.now()
            })
        };
        // Whether it waits already or only later, it sees the leap.
        tokio::task::yield_now().await;
        clock.leap(Duration::from_secs(3601));
        assert!(soon("the sleeper", sleeper).await.unwrap() >= deadline);
    }
}
