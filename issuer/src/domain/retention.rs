//! How long what is finished is kept, and when something may go. What is not finished never may.
//!
//! | what | kept |
//! |---|---|
//! | an ended charge with its claim on the order | [`Periods::charges`] after it ended |
//! | one that a cardholder has signed a consent to, with its claim and the consent | [`Periods::consents`] after it ended: the consent names the order, and the charge holds it |
//! | an activation code, used or not | until the customer's next one, so that loading an old file again brings none back: one for each customer |
//! | a tally of small payments, the tries of a password | for good, because without them there would be fresh ones: one for each customer, and for each device of one |
//! | the tries for people whom nobody knows, the failures of a place | for good: 1,024 and 65,536 at most |
//! | a session | a minute beyond its end |
//! | an authorization request | until its result |
//!
//! A charge that is held, sent, unknown or parked has no period.

use std::time::{Duration, SystemTime};

use super::charge::State;

/// How long ended charges are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Those without a consent.
    pub charges: Duration,
    /// Those with one.
    pub consents: Duration,
}

/// Before when a charge must have ended to be removed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// One without a consent.
    pub charges: SystemTime,
    /// One with a consent.
    pub consents: SystemTime,
}

impl Periods {
    /// What may go at a trusted time; see [`mesh::clock::Trusted`].
    #[must_use]
    pub fn cutoffs(&self, trusted: SystemTime) -> Cutoffs {
        let before = |period| trusted.checked_sub(period).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH);
        Cutoffs { charges: before(self.charges), consents: before(self.consents) }
    }
}

impl Cutoffs {
    /// Whether a charge that stands here since then may go.
    #[must_use]
    pub fn allow(&self, state: State, since: SystemTime, has_consent: bool) -> bool {
        state.is_final() && since < if has_consent { self.consents } else { self.charges }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::UNIX_EPOCH;

    use proto::digest::Digest;

    use super::*;
    use crate::domain::charge::{Inquiry, Sent};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn only_an_ended_charge_beyond_its_period_may_go() {
        let at = |day: u32| UNIX_EPOCH + DAY * day;
        let cutoffs = Periods { charges: DAY * 540, consents: DAY * 1826 }.cutoffs(at(20_000));
        let sent = Sent { request_digest: Digest::of(b"request"), signed_at: at(1) };
        let live = [
            State::Held,
            State::Sent(sent),
            State::Unknown { sent, questions: 9, next: Inquiry::At(at(1)) },
            State::Unknown { sent, questions: 9, next: Inquiry::Parked },
        ];
        for state in live {
            assert!(!cutoffs.allow(state, at(1), false) && !cutoffs.allow(state, at(1), true), "{state:?}");
        }
        let ended = [
            State::Abandoned,
            State::Approved { sent, code: "A1B2C3".parse().unwrap() },
            State::Declined { sent, reason: proto::authorization::DeclineReason::LostCard },
        ];
        for state in ended {
            assert!(cutoffs.allow(state, at(19_459), false) && !cutoffs.allow(state, at(19_460), false), "{state:?}");
            assert!(cutoffs.allow(state, at(18_173), true) && !cutoffs.allow(state, at(18_174), true), "{state:?}");
        }
    }

    #[test]
    fn a_period_longer_than_all_time_removes_nothing() {
        let cutoffs = Periods { charges: Duration::MAX, consents: Duration::MAX }.cutoffs(UNIX_EPOCH + DAY);
        assert!(!cutoffs.allow(State::Abandoned, UNIX_EPOCH, false));
    }
}
