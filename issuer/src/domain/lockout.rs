//! How often a customer may try a password.

use std::time::{Duration, SystemTime};

/// How many tries there are, and how long it takes until there are more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Tries until the lock, one or more.
    pub tries_max: u32,
    /// How long a lock lasts.
    pub lock: Duration,
}

/// The tries of one customer.
///
/// A try is counted when it *begins*, before the password is looked at: of many guesses sent at the
/// same moment only as many are looked at as there are tries, because each of them has to get its
/// number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There are tries left. Left by the last try, to `Locked`.
    Open {
        /// Tries begun since the last success or lock; fewer than the rule's.
        begun: u32,
    },
    /// The last try has begun, and unless it succeeds there is none for a while. Left by a success of
    /// a try that had begun before, or by time, to `Open`.
    Locked {
        /// The first moment at which there are tries again.
        until: SystemTime,
        /// Tries refused meanwhile.
        refused: u32,
    },
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A try begins.
    Begin,
    /// A try that was allowed has turned out right.
    Succeed,
}

/// Whether the try counts. The caller must not see it: a refused try is worked at and answered like
/// a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may succeed.
    Allowed,
    /// It fails, whatever the password.
    Refused,
}

impl State {
    /// The tries of a customer who hasn't tried yet.
    pub const FRESH: Self = Self::Open { begun: 0 };

    /// Takes an event. Every event changes the stored state, also that of a locked customer, so that
    /// the two cost the same.
    #[must_use]
    pub fn apply(self, event: Event, rule: Rule, now: SystemTime) -> (Self, Verdict) {
        match (self, event) {
            (_, Event::Succeed) => (Self::FRESH, Verdict::Allowed),
            (Self::Locked { until, refused }, Event::Begin) if now < until => {
                (Self::Locked { until, refused: refused.saturating_add(1) }, Verdict::Refused)
            }
            (Self::Locked { .. }, Event::Begin) => (begin(0, rule, now), Verdict::Allowed),
            (Self::Open { begun }, Event::Begin) => (begin(begun, rule, now), Verdict::Allowed),
        }
    }

    /// Whether a try that begins now would be refused.
    #[must_use]
    pub fn is_locked(self, now: SystemTime) -> bool {
        match self {
            Self::Open { .. } => false,
            Self::Locked { until, .. } => now < until,
        }
    }
}

fn begin(begun: u32, rule: Rule, now: SystemTime) -> State {
    let begun = begun.saturating_add(1);
    if begun < rule.tries_max { State::Open { begun } } else { State::Locked { until: now + rule.lock, refused: 0 } }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule { tries_max: 5, lock: Duration::from_secs(1800) };

    #[test]
    fn the_fifth_try_is_the_last_until_the_lock_is_over() {
        let mut state = State::FRESH;
        for _ in 0..5 {
            let (next, verdict) = state.apply(Event::Begin, RULE, UNIX_EPOCH);
            assert_eq!(verdict, Verdict::Allowed);
            state = next;
        }
        assert!(state.is_locked(UNIX_EPOCH));
        let almost = UNIX_EPOCH + RULE.lock - Duration::from_millis(1);
        let (refused, verdict) = state.apply(Event::Begin, RULE, almost);
        assert_eq!(verdict, Verdict::Refused);
        // A refused try doesn't prolong the lock.
        let (open, verdict) = refused.apply(Event::Begin, RULE, UNIX_EPOCH + RULE.lock);
        assert_eq!((open, verdict), (State::Open { begun: 1 }, Verdict::Allowed));
    }

    #[test]
    fn a_success_of_the_last_try_opens_the_lock() {
        let rule = Rule { tries_max: 1, ..RULE };
        let (locked, _) = State::FRESH.apply(Event::Begin, rule, UNIX_EPOCH);
        assert!(locked.is_locked(UNIX_EPOCH));
        assert_eq!(locked.apply(Event::Succeed, rule, UNIX_EPOCH).0, State::FRESH);
    }

    proptest! {
        #[test]
        fn no_stretch_without_success_as_long_as_a_lock_allows_more_than_the_rule(
            steps in prop::collection::vec(0u64..600_000, 1..200),
        ) {
            let (mut state, mut now) = (State::FRESH, UNIX_EPOCH);
            let mut allowed: Vec<SystemTime> = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                let (next, verdict) = state.apply(Event::Begin, RULE, now);
                prop_assert_ne!(next, state, "a try must leave a trace");
                if verdict == Verdict::Allowed {
                    allowed.push(now);
                }
                state = next;
            }
            // After the fifth of any five allowed tries since a lock ended, the next waits for the lock.
            for pair in allowed.chunks(5).collect::<Vec<_>>().windows(2) {
                prop_assert!(pair[1][0] >= pair[0][pair[0].len() - 1] + RULE.lock);
            }
        }
    }
}
