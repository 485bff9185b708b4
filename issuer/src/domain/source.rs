//! How many proofs from one place may fail.

use std::time::{Duration, SystemTime};

/// How long a place waits that has failures left, but as many tries under way: about as long as those take.
const UNDER_WAY_WAIT: Duration = Duration::from_secs(1);

/// How many failures there may be, in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Failures until the place has to wait, one or more.
    pub failures_max: u32,
    /// How long a window lasts.
    pub window: Duration,
}

/// The failures of one place in its window, which begins with the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// When the window began.
    pub since: SystemTime,
    /// Failures in it.
    pub failures: u32,
}

impl State {
    /// How long the place has to wait until it may try again; none where it may now. `under_way` are its
    /// tries that have begun and are not decided: they count as if they failed.
    #[must_use]
    pub fn wait(self, under_way: u32, rule: Rule, now: SystemTime) -> Option<Duration> {
        let left = self.left(rule, now);
        let failures = if left.is_some() { self.failures } else { 0 };
        if failures >= rule.failures_max {
            left
        } else {
            (failures.saturating_add(under_way) >= rule.failures_max).then_some(UNDER_WAY_WAIT)
        }
    }

    /// The state after a failure.
    #[must_use]
    pub fn failed(self, rule: Rule, now: SystemTime) -> Self {
        match self.left(rule, now) {
            Some(_) => Self { failures: self.failures.saturating_add(1), ..self },
            None => Self { since: now, failures: 1 },
        }
    }

    /// What is left of the window; none where it is over. A clock that was set back prolongs no window
    /// beyond its own length.
    fn left(self, rule: Rule, now: SystemTime) -> Option<Duration> {
        let gone = now.duration_since(self.since).unwrap_or_default();
        rule.window.checked_sub(gone).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const RULE: Rule = Rule { failures_max: 3, window: Duration::from_secs(60) };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn so_many_failures_and_then_a_wait_until_the_window_is_over() {
        let mut state = State { since: at(0), failures: 0 };
        for second in [0, 10, 20] {
            assert_eq!(state.wait(0, RULE, at(second)), None);
            state = state.failed(RULE, at(second));
        }
        assert_eq!(state.wait(0, RULE, at(20)), Some(Duration::from_secs(40)));
        assert_eq!(state.wait(0, RULE, at(59)), Some(Duration::from_secs(1)));
        assert_eq!(state.wait(0, RULE, at(60)), None);
        assert_eq!(state.failed(RULE, at(60)), State { since: at(60), failures: 1 });
    }

    #[test]
    fn tries_under_way_count_as_failures() {
        let state = State { since: at(0), failures: 1 };
        assert_eq!(state.wait(1, RULE, at(1)), None);
        // Nothing has failed that often yet, so that the wait is short.
        assert_eq!(state.wait(2, RULE, at(1)), Some(UNDER_WAY_WAIT));
        let fresh = State { since: at(0), failures: 0 };
        assert_eq!(fresh.wait(2, RULE, at(100)), None);
        assert_eq!(fresh.wait(3, RULE, at(100)), Some(UNDER_WAY_WAIT));
        assert_eq!(fresh.wait(u32::MAX, RULE, at(100)), Some(UNDER_WAY_WAIT));
    }

    #[test]
    fn a_clock_set_back_prolongs_nothing_beyond_a_window() {
        let state = State { since: at(100), failures: 3 };
        assert_eq!(state.wait(0, RULE, at(0)), Some(RULE.window));
    }
}
