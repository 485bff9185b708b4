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
//! neither is one that is slow for some, because it is the median that is judged. Refusals say nothing: most of
//! them are given before any of the work is done, and a flood of them would pass for a server at rest.

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

/// What is left, in percent, of what was in hand when most answers took too long: as much as would have been
/// answered in time, within these bounds, so that one look at it neither changes nothing nor everything.
const KEPT_PERCENT: std::ops::RangeInclusive<u128> = 50..=85;

/// The share of itself by which the limit grows.
const GROWTH_DIVISOR: usize = 16;

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
    #[cfg(test)]
    began: Instant,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    times: Times,
    in_hand_most: usize,
    /// The median while few were in hand, or what it can't be more than.
    at_rest: Option<Duration>,
}

/// One call in hand, until it is dropped.
#[derive(Debug)]
pub(super) struct InHand {
    calls: Arc<Adaptive>,
    since: Instant,
    end: End,
}

/// How a call in hand ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody waited for its answer, or it had none in time.
    Dropped,
    Answered,
    Refused,
}

impl Adaptive {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        // An RPC whose calls hang must leave some room to the others.
        let most = (limits.requests_max * 3).div_ceil(4);
        let least = limits.requests_min.min(most);
        let window = Window { since: Instant::now(), times: Times::default(), in_hand_most: 0, at_rest: None };
        Arc::new(Self {
            least,
            most,
            answer_time: limits.answer_time.get(),
            limit: AtomicUsize::new(most),
            in_hand: AtomicUsize::new(0),
            window: Mutex::new(window),
            #[cfg(test)]
            began: Instant::now(),
        })
    }

    /// Takes one more in hand, if it is worth it.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Option<InHand> {
        let before = self.in_hand.fetch_add(1, Ordering::Relaxed);
        let call = InHand { calls: Arc::clone(self), since: now, end: End::Dropped };
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
        // What is slow with so few in hand isn't slow because of how many they are; and what is faster than at
        // rest, however many are in hand, shows that what was slow then has passed: else a load that never
        // ceases would be judged for ever by a bad moment before it.
        if in_hand <= self.least || window.at_rest.is_some_and(|at_rest| median < at_rest) {
            // Slowly, so that a hiccup isn't taken for the rule.
            let at_rest = window.at_rest.unwrap_or(median);
            window.at_rest = Some((at_rest * 7 + median) / 8);
        }
        let in_time = self.answer_time.max(window.at_rest.unwrap_or_default() * SLOWER_MAX);
        (window.since, window.times, window.in_hand_most) = (now, Times::default(), 0);
        drop(window);
        let limit = self.limit.load(Ordering::Relaxed);
        let next = if median > in_time {
            let percent = (in_time.as_micros() * 100 / median.as_micros().max(1))
                .clamp(*KEPT_PERCENT.start(), *KEPT_PERCENT.end());
            limit.min(in_hand) * usize::try_from(percent).unwrap_or(100) / 100
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
        self.end = End::Answered;
    }

    /// There is a refusal.
    pub(super) fn refused(mut self) {
        self.end = End::Refused;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let in_hand = self.calls.in_hand.fetch_sub(1, Ordering::Relaxed);
        let now = Instant::now();
        let took = now.saturating_duration_since(self.since);
        let tells = match self.end {
            End::Answered => true,
            End::Refused => false,
            End::Dropped => took >= TELLING,
        };
        if tells {
            self.calls.note(took, in_hand, now);
        }
    }
}

/// How many answers took how long, by powers of the square root of two, from a tenth of a millisecond.
#[derive(Clone, Copy, Debug)]
struct Times {
    count: u32,
    buckets: [u32; Self::BUCKETS],
}

impl Default for Times {
    fn default() -> Self {
        Self { count: 0, buckets: [0; Self::BUCKETS] }
    }
}

impl Times {
    const BUCKETS: usize = 40;
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
            requests_max: 1_333,
            requests_min: 10,
            answer_time: Period::new(Duration::from_millis(100)),
            ..Limits::default()
        };
        Adaptive::new(&limits)
    }

    /// Many windows, from one on, in which answers take what the number in hand makes of them.
    fn settle(calls: &Adaptive, windows: std::ops::Range<u32>, time: impl Fn(usize) -> Duration) -> usize {
        let begin = calls.began;
        for window in windows {
            // As many as are let in, as under overload.
            let in_hand = calls.limit.load(Ordering::Relaxed);
            for _ in 0..ANSWERS_MIN {
                calls.note(time(in_hand), in_hand, begin + WINDOW * (window + 1));
            }
        }
        calls.limit.load(Ordering::Relaxed)
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn it_settles_where_most_answers_come_in_time() {
        let calls = calls();
        // A server that does one thousand a second: what is in hand takes as many milliseconds.
        let limit = settle(&calls, 0..200, |in_hand| ms(in_hand as u64));
        assert!((50..160).contains(&limit), "{limit}");
        // Twice the machine carries about twice as much.
        let limit = settle(&calls, 200..400, |in_hand| ms(in_hand as u64 / 2));
        assert!((100..320).contains(&limit), "{limit}");
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        // Whatever is above the least ruins everything.
        let limit = settle(&calls(), 0..200, |in_hand| ms(if in_hand > 10 { 10_000 } else { 1 }));
        assert!((10..=12).contains(&limit), "{limit}");
        assert_eq!(settle(&calls(), 0..200, |_| ms(1)), 1_000);
    }

    #[test]
    fn what_is_slow_however_few_are_in_hand_is_no_overload() {
        assert_eq!(settle(&calls(), 0..400, |_| ms(2_000)), 1_000);
    }

    #[test]
    fn a_bad_moment_at_rest_is_forgotten_under_a_load_that_never_ceases() {
        let calls = calls();
        // A neighbour hangs while hardly anybody asks.
        let begin = calls.began;
        for window in 1..=100 {
            (0..ANSWERS_MIN).for_each(|_| calls.note(ms(2_000), 1, begin + WINDOW * window));
        }
        // It has come back; from now on there is always more to do than can be done, first ten thousand a second,
        // then one thousand.
        assert_eq!(settle(&calls, 100..200, |in_hand| ms(in_hand as u64 / 10)), 1_000);
        let limit = settle(&calls, 200..400, |in_hand| ms(in_hand as u64));
        assert!((150..450).contains(&limit), "{limit}");
    }

    #[test]
    fn a_limit_that_has_shrunk_grows_again_once_there_is_reason_to() {
        let calls = calls();
        assert_eq!(settle(&calls, 0..100, |in_hand| ms(if in_hand > 10 { 10_000 } else { 1 })), 11);
        assert_eq!(settle(&calls, 100..300, |_| ms(1)), 1_000);
    }

    #[test]
    fn some_slow_answers_are_no_overload() {
        let calls = calls();
        let begin = Instant::now() + WINDOW;
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
        assert_eq!(taken.len(), 1_000);
        assert_eq!(calls.in_hand.load(Ordering::Relaxed), 1_000);
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
