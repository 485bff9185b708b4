//! The time by which things are removed for good. It follows the wall clock, but never goes back, and never
//! believes a jump: an operator's slip of ten years must not remove ten years of records.

use std::time::{Duration, SystemTime};

/// How far the wall clock may be ahead of the last trusted time and still be believed at once: a server
/// that was down over the longest holidays is, and what a jump of that size could remove too early is a
/// small part of any period.
pub const TRUSTED_JUMP_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How much faster than the clock that nobody can set the trusted time goes after a longer jump. A server
/// that was down for a month has caught up a month later, without anybody's doing; a clock that is wrong
/// by years costs one day of a period for each day in which nobody minds the error in the log.
const CATCH_UP: u32 = 2;

/// A trusted time, and what is to be said of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The time to go by; never before the last one.
    pub time: SystemTime,
    /// How far the wall clock is beyond it; zero unless it has jumped ahead by more than
    /// [`TRUSTED_JUMP_MAX`].
    pub ahead: Duration,
}

impl Trusted {
    /// The trusted time after `last`, which was durable when the wall clock reads `now`. `elapsed` is the
    /// time since the last look by [`super::Clock::elapsed`], zero at the first look of a process.
    #[must_use]
    pub fn after(last: SystemTime, now: SystemTime, elapsed: Duration) -> Self {
        let Ok(jump) = now.duration_since(last) else {
            // The clock was set back: nothing is removed by it until it is where it was.
            return Self { time: last, ahead: Duration::ZERO };
        };
        if jump <= TRUSTED_JUMP_MAX {
            return Self { time: now, ahead: Duration::ZERO };
        }
        let step = elapsed.saturating_mul(CATCH_UP).min(jump);
        Self { time: super::truncate(last + step), ahead: jump - step }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_steady_clock_and_a_short_absence_are_followed() {
        for jump in [Duration::ZERO, DAY, TRUSTED_JUMP_MAX] {
            let trusted = Trusted::after(start(), start() + jump, Duration::ZERO);
            assert_eq!(trusted, Trusted { time: start() + jump, ahead: Duration::ZERO });
        }
    }

    #[test]
    fn a_clock_that_is_set_back_holds_the_time_still() {
        let trusted = Trusted::after(start(), start() - YEARS, DAY);
        assert_eq!(trusted, Trusted { time: start(), ahead: Duration::ZERO });
    }

    #[test]
    fn ten_years_ahead_cost_no_more_than_the_time_they_last() {
        let mut time = start();
        for hour in 0..24 {
            let now = start() + YEARS + DAY * hour / 24;
            time = Trusted::after(time, now, if hour == 0 { Duration::ZERO } else { DAY / 24 }).time;
        }
        assert!(time <= start() + DAY * 2, "one day of such a clock is two at most");
        let corrected = Trusted::after(time, start() + DAY, DAY / 24);
        assert_eq!(corrected.time, time, "after the correction it waits for the clock");
    }

    #[test]
    fn a_month_of_absence_is_caught_up_in_a_month() {
        let (mut time, mut now, mut days) = (start(), start() + DAY * 30, 0);
        while time != now {
            now += DAY;
            time = Trusted::after(time, now, DAY).time;
            days += 1;
        }
        assert!((20..=30).contains(&days), "{days} days");
    }

    proptest! {
        #[test]
        fn it_never_goes_back_nor_beyond_both_clocks(
            steps in prop::collection::vec((-400_000_000_i64..400_000_000, 0_u64..200_000), 1..50),
        ) {
            let mut time = start();
            for (offset, elapsed) in steps {
                let base = start() + Duration::from_secs(400_000_000);
                let now = if offset < 0 {
                    base - Duration::from_secs(offset.unsigned_abs())
                } else {
                    base + Duration::from_secs(offset.unsigned_abs())
                };
                let elapsed = Duration::from_secs(elapsed);
                let trusted = Trusted::after(time, now, elapsed);
                prop_assert!(trusted.time >= time && trusted.time <= now.max(time));
                prop_assert!(trusted.time <= time + TRUSTED_JUMP_MAX.max(elapsed * CATCH_UP));
                time = trusted.time;
            }
        }
    }
}
