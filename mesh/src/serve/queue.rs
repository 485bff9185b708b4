//! Whether calls wait too long to be begun.
//!
//! A call that has been read waits until a thread is free for it. That wait measures the one thing that an
//! overload is: more work than the threads do. It says nothing about a card network or a store that is
//! slow, as a limit by the whole latency would, which takes a slow neighbour for an overload of its own
//! and sheds calls that would cost it nothing to wait for.
//!
//! A burst may wait for [`Limits::queue_wait_burst`](super::Limits). Once most calls have waited longer
//! than [`Limits::queue_wait`](super::Limits) for a while, the queue doesn't go away by itself, and a call
//! that has waited longer than that is shed when its turn comes: it costs next to nothing then, and those
//! that are begun are answered quickly. It is the controlled delay of Nichols and Jacobson (RFC 8289), in
//! the form that suits a server (Maurer, "Fail at Scale", ACM Queue 13(8), 2015).

use super::limits::Limits;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long most calls must have waited too long until the queue counts as one that stays.
const STANDING_AFTER: Duration = Duration::from_millis(100);

/// The share of calls that waited too long, in 1/65,536. Each call moves it by a sixteenth.
const ONE: u32 = 1 << 16;
const WEIGHT_SHIFT: u32 = 4;

/// No queue stands.
const NEVER: u64 = u64::MAX;

/// The waits of one thread's, or one runtime's, calls.
pub(super) struct Queue {
    usual: Duration,
    burst: Duration,
    origin: Instant,
    /// The share of the latest calls that waited longer than usual.
    share: AtomicU32,
    /// Since when that share has been over a half, in microseconds since the origin.
    since: AtomicU64,
}

impl Queue {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            usual: limits.queue_wait.get(),
            burst: limits.queue_wait_burst.get(),
            origin: Instant::now(),
            share: AtomicU32::new(0),
            since: AtomicU64::new(NEVER),
        }
    }

    /// Notes a call whose turn has come, and says whether it waited too long. Two calls judged at one
    /// moment may overwrite each other's note; of many calls that hides nothing.
    pub(super) fn is_too_late(&self, arrived: Instant, now: Instant) -> bool {
        let waited = now.saturating_duration_since(arrived);
        let share = self.share.load(Ordering::Relaxed);
        let sample = if waited > self.usual { ONE } else { 0 };
        let share = share - (share >> WEIGHT_SHIFT) + (sample >> WEIGHT_SHIFT);
        self.share.store(share, Ordering::Relaxed);
        if share < ONE / 2 {
            self.since.store(NEVER, Ordering::Relaxed);
            return waited > self.burst;
        }
        let micros = u64::try_from(now.saturating_duration_since(self.origin).as_micros()).unwrap_or(NEVER - 1);
        let since = self.since.load(Ordering::Relaxed).min(micros);
        self.since.store(since, Ordering::Relaxed);
        let stands = Duration::from_micros(micros - since) >= STANDING_AFTER;
        waited > if stands { self.usual } else { self.burst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Judges one call each millisecond for as long as the waits last.
    fn judge(queue: &Queue, from: Instant, waits: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let calls = (0u64..).zip(waits);
        calls.map(|(at, wait)| queue.is_too_late(from + ms(at), from + ms(at) + ms(wait))).collect()
    }

    fn queue() -> Queue {
        Queue::new(&Limits::default())
    }

    #[test]
    fn a_burst_is_borne_and_a_queue_that_stays_is_not() {
        let queue = queue();
        let shed = judge(&queue, queue.origin, vec![100; 400]);
        assert!(shed[..100].iter().all(|shed| !shed), "the first tenth of a second is a burst");
        assert!(shed[150..].iter().all(|shed| *shed), "what is left is overload");
    }

    #[test]
    fn a_wait_beyond_a_bursts_is_never_borne() {
        let queue = queue();
        assert_eq!(judge(&queue, queue.origin, [0, 500, 501]), [false, false, true]);
    }

    #[test]
    fn one_slow_call_in_three_is_no_overload() {
        let queue = queue();
        let shed = judge(&queue, queue.origin, (0..1_000).map(|n| if n % 3 == 0 { 200 } else { 1 }));
        assert!(shed.iter().all(|shed| !shed));
    }

    #[test]
    fn an_overload_is_over_once_calls_are_begun_at_once_again() {
        let queue = queue();
        judge(&queue, queue.origin, vec![100; 400]);
        let later = queue.origin + ms(1_000);
        judge(&queue, later, vec![1; 16]);
        assert_eq!(judge(&queue, later + ms(16), [100]), [false]);
    }
}
