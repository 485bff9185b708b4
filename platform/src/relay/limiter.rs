//! How many authorizations a bank may start per second.
//!
//! The algorithm is GCRA (ITU-T I.371, the virtual scheduling form) on one atomic per bank: the
//! *theoretical arrival time*, which runs ahead of the clock by what was used up. No lock is taken,
//! and nothing has to be refilled. The atomic holds no limit, only usage: the rate comes from the
//! directory with every request, so that a changed limit counts from the next request on and nothing
//! that was used is forgotten.
//!
//! Each replica of the relay counts for itself; it asks no other on the way of a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use proto::ids::MemberId;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What one bank has used.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Nanoseconds on the clock of [`mesh::clock::Clock::elapsed`].
    theoretical_arrival: AtomicU64,
}

impl Usage {
    /// Takes one from `per_second`, at `now` on the monotonic clock. A bank that was silent may start
    /// a whole second's worth at once.
    ///
    /// # Errors
    /// How long it takes until there is one to take.
    pub(super) fn take(&self, per_second: u32, now: Duration) -> Result<(), Duration> {
        // Rounded up, so that a rate that doesn't divide a second is not exceeded either.
        let interval = NANOS_PER_SECOND.div_ceil(u64::from(per_second.max(1)));
        let tolerance = interval * u64::from(per_second.max(1) - 1);
        let now = nanos(now);
        let mut seen = self.theoretical_arrival.load(Ordering::Relaxed);
        loop {
            let arrival = seen.max(now);
            let ahead = arrival - now;
            if ahead > tolerance {
                return Err(Duration::from_nanos(ahead - tolerance));
            }
            match self.theoretical_arrival.compare_exchange_weak(
                seen,
                arrival.saturating_add(interval),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// The usage of every bank.
#[derive(Debug, Default)]
pub(super) struct Usages {
    by_bank: ArcSwap<HashMap<MemberId, Arc<Usage>>>,
    /// Taken when the directory changes, never for a bank that has a place.
    changing: Mutex<()>,
}

impl Usages {
    /// Makes a place for every one of these banks, and drops the places of all others.
    pub(super) fn follow<'a>(&self, banks: impl Iterator<Item = &'a MemberId>) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.by_bank.load();
        let kept = banks.map(|bank| (bank.clone(), current.get(bank).map(Arc::clone).unwrap_or_default()));
        self.by_bank.store(Arc::new(kept.collect()));
    }

    /// Takes one from a bank's rate; see [`Usage::take`].
    ///
    /// # Errors
    /// How long it takes until there is one to take.
    pub(super) fn take(&self, bank: &MemberId, per_second: u32, now: Duration) -> Result<(), Duration> {
        if let Some(usage) = self.by_bank.load().get(bank) {
            return usage.take(per_second, now);
        }
        self.add(bank).take(per_second, now)
    }

    /// A bank that is new in the directory and quicker than [`Usages::follow`]. What is kept is bounded,
    /// because only members of the directory get here.
    #[cold]
    fn add(&self, bank: &MemberId) -> Arc<Usage> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.by_bank.load();
        if let Some(usage) = current.get(bank) {
            return Arc::clone(usage);
        }
        let usage = Arc::new(Usage::default());
        let mut grown = HashMap::clone(&current);
        grown.insert(bank.clone(), Arc::clone(&usage));
        self.by_bank.store(Arc::new(grown));
        usage
    }
}

fn nanos(duration: Duration) -> u64 {
    // 584 years after the process began.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_silent_bank_may_start_a_seconds_worth_and_is_told_when_to_come_back() {
        let usage = Usage::default();
        let now = Duration::from_secs(100);
        for _ in 0..4 {
            usage.take(4, now).unwrap();
        }
        assert_eq!(usage.take(4, now), Err(Duration::from_millis(250)));
        assert_eq!(usage.take(4, now + Duration::from_millis(249)), Err(Duration::from_millis(1)));
        usage.take(4, now + Duration::from_millis(250)).unwrap();
        assert_eq!(usage.take(4, now + Duration::from_millis(250)), Err(Duration::from_millis(250)));
    }

    #[test]
    fn a_changed_limit_counts_at_once_and_keeps_what_was_used() {
        let usage = Usage::default();
        let now = Duration::from_secs(100);
        for _ in 0..10 {
            usage.take(10, now).unwrap();
        }
        // A second's worth is used up, whatever a second is worth now.
        assert!(usage.take(1_000, now).is_err());
        assert!(usage.take(1, now + Duration::from_millis(999)).is_err());
        usage.take(1_000, now + Duration::from_millis(1)).unwrap();
    }

    #[test]
    fn banks_do_not_use_each_others_rate() {
        let usages = Usages::default();
        let (a, b): (MemberId, MemberId) = ("bank-aurora".parse().unwrap(), "bank-borealis".parse().unwrap());
        usages.take(&a, 1, Duration::ZERO).unwrap();
        assert!(usages.take(&a, 1, Duration::ZERO).is_err());
        usages.take(&b, 1, Duration::ZERO).unwrap();
        assert!(usages.take(&a, 1, Duration::ZERO).is_err());
    }

    #[test]
    fn a_new_directory_changes_nothing_for_the_banks_that_stay() {
        let usages = Usages::default();
        let (a, b): (MemberId, MemberId) = ("bank-aurora".parse().unwrap(), "bank-borealis".parse().unwrap());
        usages.take(&a, 1, Duration::ZERO).unwrap();
        usages.follow([&a, &b].into_iter());
        assert!(usages.take(&a, 1, Duration::ZERO).is_err());
        usages.take(&b, 1, Duration::ZERO).unwrap();
        usages.follow([&b].into_iter());
        assert_eq!(usages.by_bank.load().len(), 1);
    }

    #[test]
    fn threads_together_take_no_more_than_one_may() {
        let usages = Usages::default();
        let bank: MemberId = "bank-aurora".parse().unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..500).filter(|_| usages.take(&bank, 777, Duration::ZERO).is_ok()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 777);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_its_rate_and_one_burst(
            per_second in 1u32..2_000,
            gaps_us in proptest::collection::vec(0u64..400_000, 1..300),
        ) {
            let usage = Usage::default();
            let mut now = Duration::ZERO;
            let mut taken: Vec<Duration> = Vec::new();
            for gap in gaps_us {
                now += Duration::from_micros(gap);
                match usage.take(per_second, now) {
                    Ok(()) => taken.push(now),
                    // The time that a refused bank is told is the exact time: not a nanosecond sooner.
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
                        prop_assert!(usage.take(per_second, now + wait - Duration::from_nanos(1)).is_err());
                    }
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let count = (j - i + 1) as f64;
                    let window = (*to - *from).as_secs_f64();
                    let allowed = f64::from(per_second) * (1.0 + window);
                    prop_assert!(count <= allowed + 1e-6, "{count} in {window} s at {per_second}/s");
                }
            }
        }
    }
}
