//! A clock that stands still until a test moves it.

use super::{Clock, Sleep, truncate};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// A clock for tests: it moves only by [`ManualClock::advance`] and [`ManualClock::set`], and wakes
/// whoever sleeps on it.
#[derive(Debug)]
pub struct ManualClock {
    time: watch::Sender<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: SystemTime,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that reads `start`, cut to milliseconds.
    #[must_use]
    pub fn new(start: SystemTime) -> Self {
        let reading = Reading { wall: truncate(start), elapsed: Duration::ZERO };
        Self { time: watch::Sender::new(reading) }
    }

    /// Moves the wall clock and the monotonic clock forward together.
    pub fn advance(&self, by: Duration) {
        self.time.send_modify(|reading| {
            reading.wall = truncate(reading.wall + by);
            reading.elapsed += by;
        });
    }

    /// Sets the wall clock, forward or back, as an operator or NTP does; [`Clock::elapsed`] stays.
    pub fn set(&self, to: SystemTime) {
        self.time.send_modify(|reading| reading.wall = truncate(to));
    }

    /// How many sleepers wait on this clock now. A test waits for one before it advances.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.time.receiver_count()
    }

    fn wait(&self, done: impl FnMut(&Reading) -> bool + Send + 'static) -> Sleep<'_> {
        let mut receiver = self.time.subscribe();
        Box::pin(async move {
            // The sender lives in `self`, which the future borrows, so waiting cannot fail.
            let _ = receiver.wait_for(done).await;
        })
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.time.borrow().wall
    }

    fn elapsed(&self) -> Duration {
        self.time.borrow().elapsed
    }

    fn sleep_until(&self, deadline: SystemTime) -> Sleep<'_> {
        self.wait(move |reading| reading.wall >= deadline)
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        let end = self.elapsed() + duration;
        self.wait(move |reading| reading.elapsed >= end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_reaches_its_time_and_not_before() {
        let clock = Arc::new(ManualClock::new(UNIX_EPOCH));
        let sleeper = {
            let clock = Arc::clone(&clock);
            tokio::spawn(async move {
                clock.sleep_until(UNIX_EPOCH + Duration::from_secs(10)).await;
                clock.now()
            })
        };
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap(), UNIX_EPOCH + Duration::from_secs(10));
    }

    #[test]
    fn setting_the_wall_clock_back_leaves_elapsed_time_alone() {
        let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(100));
        clock.advance(Duration::from_secs(5));
        clock.set(UNIX_EPOCH);
        assert_eq!(clock.now(), UNIX_EPOCH);
        assert_eq!(clock.elapsed(), Duration::from_secs(5));
    }
}
