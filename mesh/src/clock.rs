//! Time and randomness, both injected: a test that moves a clock by hand needs no sleep, and a run
//! with a seed can be repeated.

mod entropy;
mod manual;
mod trusted;

pub use entropy::{Entropy, EntropyFailed, SeededEntropy, SystemEntropy};
pub use manual::ManualClock;
pub use trusted::{TRUSTED_JUMP_MAX, Trusted};

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A boxed future, so that [`Clock`] can be used as `Arc<dyn Clock>`.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where every role reads the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock, cut to whole milliseconds: a time that was stored and read back compares
    /// equal to the one that was judged.
    fn now(&self) -> SystemTime;

    /// Time since this clock was made. It never goes back, whatever is done to the wall clock, and
    /// is the one to measure durations with.
    fn elapsed(&self) -> Duration;

    /// Waits until the wall clock reads `deadline` or later.
    fn sleep_until(&self, deadline: SystemTime) -> Sleep<'_>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Sleep<'_>;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] counts from now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// The longest a sleeper trusts the monotonic clock before it looks at the wall clock again, so that
/// a wall clock that is set forward ends the sleep soon after.
const SLEEP_SLICE: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        truncate(SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep_until(&self, deadline: SystemTime) -> Sleep<'_> {
        Box::pin(async move {
            while let Ok(left) = deadline.duration_since(SystemTime::now()) {
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLEEP_SLICE)).await;
            }
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Cuts a time to whole milliseconds, towards the past. A time before 1970 becomes 1970.
#[must_use]
pub fn truncate(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::new(since_epoch.as_secs(), since_epoch.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_system_clock_reads_whole_milliseconds() {
        let now = SystemClock::new().now();
        let nanos = now.duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        assert_eq!(nanos % 1_000_000, 0);
    }

    #[test]
    fn truncation_goes_towards_the_past() {
        let time = UNIX_EPOCH + Duration::new(7, 1_999_999);
        assert_eq!(truncate(time), UNIX_EPOCH + Duration::new(7, 1_000_000));
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_does_not_wait() {
        let clock = SystemClock::new();
        clock.sleep_until(UNIX_EPOCH).await;
    }
}
