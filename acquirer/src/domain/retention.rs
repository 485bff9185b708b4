//! How long what is finished is kept, and when something may go. What is not finished never may.
//!
//! | what | kept | and then |
//! |---|---|---|
//! | an order with its lines and its merchant's day | [`Periods::orders`] after the day on which it was made | removed, if it is final and nothing of it waits for its merchant; a trace remains |
//! | its trace: its reference, which no second order may take meanwhile | [`Periods::results`] after the removal | removed together with the answer under the reference |
//! | an authorization's result, and what a simulated card network knows of it | [`Periods::orders`] and [`Periods::results`] after the request was signed, and never less than its order and the trace | removed; whoever asks hears OUTSIDE_RETENTION |
//! | an event of `WatchOrders` | [`Periods::events`] after it happened | removed; an older cursor is refused |
//! | a parked notification | [`Periods::parked`] after it was parked | removed |
//!
//! An open or authorizing order, an authorization that is being decided, a reversal that is not acknowledged, and
//! a notification that waits have no period.

use std::time::{Duration, SystemTime};

use super::{merchant::Day, order::State};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long what is finished is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Finished orders, from when they were made.
    pub orders: Duration,
    /// Results and traces, beyond their orders.
    pub results: Duration,
    /// Events of `WatchOrders`, from when they happened.
    pub events: Duration,
    /// Parked notifications, from when they were parked.
    pub parked: Duration,
}

/// The two times that only grow, as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The time that removal goes by; see [`mesh::clock::Trusted`].
    pub trusted: SystemTime,
    /// Requests that were signed before this and are not on record get no answer: they may have had one.
    pub horizon: SystemTime,
}

/// Before when something must have ended to be removed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// Orders made before this, a midnight in UTC: the orders of one day go together, and their merchant's
    /// day with them.
    pub orders: SystemTime,
    /// Traces left before this.
    pub traces: SystemTime,
    /// Results of requests signed before this, which is the horizon.
    pub results: SystemTime,
    /// Events that happened before this.
    pub events: SystemTime,
    /// Notifications parked before this.
    pub parked: SystemTime,
}

impl Marks {
    /// The marks at a later trusted time. Neither ever goes back, also where the periods have become longer
    /// since: what was removed is gone.
    #[must_use]
    pub fn advanced(self, trusted: SystemTime, periods: &Periods) -> Self {
        let trusted = trusted.max(self.trusted);
        let horizon = before(trusted, periods.orders.saturating_add(periods.results));
        Self { trusted, horizon: horizon.max(self.horizon) }
    }

    /// What may go under these marks.
    #[must_use]
    pub fn cutoffs(&self, periods: &Periods) -> Cutoffs {
        Cutoffs {
            orders: midnight(before(self.trusted, periods.orders)),
            traces: before(self.trusted, periods.results),
            results: self.horizon,
            events: before(self.trusted, periods.events),
            parked: before(self.trusted, periods.parked),
        }
    }
}

impl Cutoffs {
    /// Whether an order that was made at this time and stands here may go, as far as it alone is concerned.
    #[must_use]
    pub fn allow_order(&self, made_at: SystemTime, state: &State) -> bool {
        state.is_final() && made_at < self.orders
    }
}

/// The beginning of a time's day in UTC.
fn midnight(time: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * Day::of(time).0
}

/// So long before a time; the epoch where that would be earlier.
fn before(time: SystemTime, period: Duration) -> SystemTime {
    time.checked_sub(period).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        attempt::AttemptId,
        order::{Course, Underway},
    };

    fn periods(days: u32) -> Periods {
        Periods { orders: DAY * days, results: DAY * 400, events: DAY * days, parked: DAY * days }
    }

    fn at(day: u32) -> SystemTime {
        UNIX_EPOCH + DAY * day
    }

    #[test]
    fn only_a_final_order_beyond_its_period_may_go() {
        let cutoffs = Marks { trusted: at(20_000), horizon: UNIX_EPOCH }.cutoffs(&periods(180));
        let (old, young) = (at(19_819), at(19_820));
        let course = Course { expires_at: at(1), declines: 0, position: 0, last: None };
        let attempt = AttemptId {
            issuer: "bank-a".parse().unwrap(),
            authorization: proto::ids::AuthorizationId::from_random([1; 16]),
        };
        let underway = Underway { attempt, cancel_requested: true, taken_from: None };
        for state in [State::Open(course.clone()), State::Authorizing(course.clone(), underway)] {
            assert!(!cutoffs.allow_order(old, &state), "{state:?}");
        }
        let finals = [State::Approved, State::Expired, State::Failed, State::Cancelled];
        for state in finals.map(|state| state(course.clone())) {
            assert!(cutoffs.allow_order(old, &state) && !cutoffs.allow_order(young, &state), "{state:?}");
        }
    }

    #[test]
    fn a_period_longer_than_all_time_removes_nothing() {
        let forever = Periods { orders: Duration::MAX, ..periods(1) };
        let marks = Marks { trusted: at(1), horizon: UNIX_EPOCH }.advanced(at(20_000), &forever);
        assert_eq!((marks.horizon, marks.cutoffs(&forever).orders), (UNIX_EPOCH, UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn the_marks_only_grow(steps in prop::collection::vec((0_u32..40_000, 0_u32..1_000), 1..40)) {
            let mut marks = Marks { trusted: at(20_000), horizon: at(19_000) };
            for (day, length) in steps {
                let next = marks.advanced(at(day), &periods(length));
                prop_assert!(next.trusted >= marks.trusted && next.horizon >= marks.horizon);
                prop_assert!(next.horizon <= next.trusted.max(at(19_000)));
                marks = next;
            }
        }
    }
}
