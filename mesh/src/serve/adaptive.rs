//! How many calls of one RPC are worth having in hand.
//!
//! Beyond what a server can work on, another call in hand makes all of them slower and none of them
//! sooner. How many that is depends on the machine, its disk and what the RPC does, and it changes; so it is
//! found out by the times of the answers, as a sender finds out what a network carries: while most answers
//! come in time the limit grows by a little wherever it is reached, and once most of them don't it shrinks
//! by a share (additive increase, multiplicative decrease; Chiu and Jain, 1989).
//!
//! Each RPC has a limit of its own, because each takes a time of its own: sign-ins that wait for a
//! password's hash must not keep charges out that are done in a moment. What counts as in time follows from
//! the RPC itself as well: three times what it takes when few are in hand, and never less than
//! [`Limits::answer_time`](super::Limits). So a card network that is slow for everybody is no overload, and
//! neither is one that is slow for some, because it is the median that is judged.

use super::limits::Limits;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The time after which the limit is looked at again, if there were answers enough to judge by.
const WINDOW: Duration = Duration::from_millis(100);
const ANSWERS_MIN: u32 = 8;

/// How many times as long as at rest most answers may take.
const SLOWER_MAX: u32 = 3;

/// What is left of the limit when most answers take too long, in percent.
const KEPT_PERCENT: usize = 85;

/// The share of itself by which the limit grows.
const GROWTH_DIVISOR: usize = 16;

/// A limit begins at this share of the most that it can be.
const FIRST_DIVISOR: usize = 4;

/// A call that was taken back sooner than this says nothing about how long answers take.
const TELLING: Duration = Duration::from_millis(100);

/// The calls of one RPC.
#[derive(Debug)]
pub(super) struct Adaptive {
    least: usize,
    most: usize,
    answer_time: Duration,
    limit: AtomicUsize,
    in_hand: AtomicUsize,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    times: Times,
    in_hand_most: usize,
    /// The median while few were in hand.
    at_rest: Option<Duration>,
}

/// One call in hand, until it is dropped.
#[derive(Debug)]
pub(super) struct InHand {
    calls: Arc<Adaptive>,
    arrived: Instant,
    is_done: bool,
}

impl Adaptive {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let most = limits.requests_max;
        let least = limits.requests_min.min(most);
        let window = Window { since: Instant::now(), times: Times::default(), in_hand_most: 0, at_rest: None };
        Arc::new(Self {
            least,
            most,
            answer_time: limits.answer_time.get(),
            limit: AtomicUsize::new((most / FIRST_DIVISOR).max(least)),
            in_hand: AtomicUsize::new(0),
            window: Mutex::new(window),
        })
    }

    /// Takes one more in hand, if it is worth it.
    pub(super) fn take(self: &Arc<Self>, arrived: Instant) -> Option<InHand> {
        let before = self.in_hand.fetch_add(1, Ordering::Relaxed);
        let call = InHand { calls: Arc::clone(self), arrived, is_done: false };
        // One that is not taken says nothing about how long answers take either.
        if before < self.limit.load(Ordering::Relaxed) { Some(call) } else { None }
    }

    fn note(&self, took: Duration, in_hand: usize, now: Instant) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.times.add(took);
        window.in_hand_most = window.in_hand_most.max(in_hand);
        if window.times.count < ANSWERS_MIN || now.saturating_duration_since(window.since) < WINDOW {
            return;
        }
        let median = window.times.median();
        let in_hand = window.in_hand_most;
        if in_hand <= self.least {
            // Slowly, so that a hiccup isn't taken for the rule.
            let at_rest = window.at_rest.unwrap_or(median);
            window.at_rest = Some((at_rest * 7 + median) / 8);
        }
        let in_time = self.answer_time.max(window.at_rest.unwrap_or_default() * SLOWER_MAX);
        (window.since, window.times, window.in_hand_most) = (now, Times::default(), 0);
        drop(window);
        let limit = self.limit.load(Ordering::Relaxed);
        let next = if median > in_time {
            limit.min(in_hand) * KEPT_PERCENT / 100
        } else if in_hand + in_hand / 8 >= limit {
            limit + limit / GROWTH_DIVISOR + 1
        } else {
            limit
        };
        self.limit.store(next.clamp(self.least, self.most), Ordering::Relaxed);
    }
}

impl InHand {
    /// There is an answer.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let in_hand = self.calls.in_hand.fetch_sub(1, Ordering::Relaxed);
        let now = Instant::now();
        let took = now.saturating_duration_since(self.arrived);
        if self.is_done || took >= TELLING {
            self.calls.note(took, in_hand, now);
        }
    }
}

/// How many answers took how long, by powers of the square root of two, from a tenth of a millisecond.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    count: u32,
    buckets: [u32; Self::BUCKETS],
}

impl Times {
    const BUCKETS: usize = 32;
    const FIRST: Duration = Duration::from_micros(100);

    fn add(&mut self, took: Duration) {
        let bucket = (0..Self::BUCKETS - 1).find(|bucket| took <= Self::end(*bucket)).unwrap_or(Self::BUCKETS - 1);
        self.count += 1;
        self.buckets[bucket] += 1;
    }

    /// The end of the bucket that half of the answers reach.
    fn median(&self) -> Duration {
        let mut seen = 0;
        let half = self.buckets.iter().position(|count| {
            seen += count;
            seen * 2 >= self.count
        });
        Self::end(half.unwrap_or(0))
    }

    fn end(bucket: usize) -> Duration {
        let octave = Self::FIRST * (1 << (bucket / 2));
        if bucket.is_multiple_of(2) { octave } else { octave * 1_414 / 1_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    fn calls() -> Arc<Adaptive> {
        let limits = Limits {
            requests_max: 1_000,
            requests_min: 10,
            answer_time: Period::new(Duration::from_millis(100)),
            ..Limits::default()
        };
        Adaptive::new(&limits)
    }

    /// Many windows in which answers take what the number in hand makes of them.
    fn settle(calls: &Adaptive, windows: u32, time: impl Fn(usize) -> Duration) -> usize {
        let begin = calls.window.lock().unwrap_or_else(PoisonError::into_inner).since;
        for window in 1..=windows {
            // As many as are let in, as under overload.
            let in_hand = calls.limit.load(Ordering::Relaxed);
            for _ in 0..ANSWERS_MIN {
                calls.note(time(in_hand), in_hand, begin + WINDOW * window);
            }
        }
        calls.limit.load(Ordering::Relaxed)
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn it_settles_where_most_answers_come_in_time() {
        // A server that does one thousand a second: what is in hand takes as many milliseconds.
        let calls = calls();
        let limit = settle(&calls, 200, |in_hand| ms(in_hand as u64));
        assert!((50..160).contains(&limit), "{limit}");
        // Twice the machine carries about twice as much.
        let limit = settle(&calls, 200, |in_hand| ms(in_hand as u64 / 2));
        assert!((100..320).contains(&limit), "{limit}");
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let only_few = settle(&calls(), 200, |in_hand| if in_hand > 10 { ms(10_000) } else { ms(1) });
        assert!((10..=11).contains(&only_few), "{only_few}: it tries one more now and then");
        assert_eq!(settle(&calls(), 200, |_| ms(1)), 1_000);
    }

    #[test]
    fn what_is_always_slow_is_no_overload() {
        let calls = calls();
        let begin = Instant::now();
        for window in 1..=50 {
            (0..ANSWERS_MIN).for_each(|_| calls.note(ms(2_000), 5, begin + WINDOW * window));
        }
        assert_eq!(settle(&calls, 200, |_| ms(2_500)), 1_000);
    }

    #[test]
    fn some_slow_answers_are_no_overload() {
        let calls = calls();
        let begin = Instant::now();
        for window in 1..=200 {
            let now = begin + WINDOW * window;
            (0..8).for_each(|number| calls.note(ms(if number < 3 { 5_000 } else { 5 }), 900, now));
        }
        assert_eq!(calls.limit.load(Ordering::Relaxed), 1_000);
    }

    #[test]
    fn no_more_are_taken_than_the_limit_and_places_come_back() {
        let calls = calls();
        let now = Instant::now();
        let taken: Vec<InHand> = std::iter::from_fn(|| calls.take(now)).collect();
        assert_eq!(taken.len(), 250);
        assert_eq!(calls.in_hand.load(Ordering::Relaxed), 250);
        drop(taken);
        assert!(calls.take(now).is_some());
        assert_eq!(calls.in_hand.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_median_is_that_of_the_times() {
        let mut times = Times::default();
        [1, 2, 100, 3_000, 4_000].into_iter().for_each(|count| times.add(ms(count)));
        assert!((ms(100)..=ms(145)).contains(&times.median()), "{:?}", times.median());
    }
}
