//! What the acquirer keeps: the order and its authorizations.

use ::acquirer::domain::{attempt, merchant::Day, order};
use proto::{authorization::DeclineReason, event::Outcome};

use super::{Decided, Verdict};
use crate::cast::{cast, deadline, made_at};

/// `acquirer::domain::order::State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Which state.
    pub name: OrderName,
    /// Counted declines.
    pub declines: u8,
    /// The position of the last announced event.
    pub position: u8,
    /// The last result that counted.
    pub last: Option<Decided>,
}

/// Which state an order is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderName {
    /// Waiting to be paid.
    Open,
    /// One authorization is under way.
    Authorizing(Underway),
    /// Paid.
    Approved,
    /// Its time passed.
    Expired,
    /// Its attempts are used up.
    Failed,
    /// Cancelled by its shop.
    Cancelled,
}

/// `acquirer::domain::order::Underway`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Underway {
    /// Which authorization.
    pub authorization: u8,
    /// Whether the shop has asked to cancel meanwhile.
    pub cancel_requested: bool,
    /// Whether the merchant's day holds the amount.
    pub taken: bool,
}

impl Order {
    /// A new order that has been declined so often before.
    #[must_use]
    pub const fn new(declines: u8) -> Self {
        Self { name: OrderName::Open, declines, position: 0, last: None }
    }

    /// The domain's state. `issuer_of` says which bank an authorization is of.
    #[must_use]
    pub fn load(self, issuer_of: impl Fn(u8) -> usize) -> order::State {
        let course = order::Course {
            expires_at: deadline(),
            declines: self.declines.into(),
            position: self.position.into(),
            last: self.last.map(|last| outcome(last, &issuer_of)),
        };
        match self.name {
            OrderName::Open => order::State::Open(course),
            OrderName::Authorizing(Underway { authorization, cancel_requested, taken }) => {
                let attempt = attempt_id(authorization, &issuer_of);
                let taken_from = taken.then_some(Day(0));
                order::State::Authorizing(course, order::Underway { attempt, cancel_requested, taken_from })
            }
            OrderName::Approved => order::State::Approved(course),
            OrderName::Expired => order::State::Expired(course),
            OrderName::Failed => order::State::Failed(course),
            OrderName::Cancelled => order::State::Cancelled(course),
        }
    }

    /// The record of the domain's state.
    #[must_use]
    pub fn save(state: &order::State) -> Self {
        let name = match state {
            order::State::Open(_) => OrderName::Open,
            order::State::Authorizing(_, order::Underway { attempt, cancel_requested, taken_from }) => {
                OrderName::Authorizing(Underway {
                    authorization: number_of(&attempt.authorization),
                    cancel_requested: *cancel_requested,
                    taken: taken_from.is_some(),
                })
            }
            order::State::Approved(_) => OrderName::Approved,
            order::State::Expired(_) => OrderName::Expired,
            order::State::Failed(_) => OrderName::Failed,
            order::State::Cancelled(_) => OrderName::Cancelled,
        };
        let order::Course { expires_at: _, declines, position, last } = state.course();
        Self {
            name,
            declines: u8::try_from(*declines).unwrap_or(u8::MAX),
            position: u8::try_from(*position).unwrap_or(u8::MAX),
            last: last.as_ref().map(decided),
        }
    }

    /// Whether the order has come to its end.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self.name {
            OrderName::Open | OrderName::Authorizing(_) => false,
            OrderName::Approved | OrderName::Expired | OrderName::Failed | OrderName::Cancelled => true,
        }
    }
}

/// The name of an authorization, as the acquirer knows it.
#[must_use]
pub fn attempt_id(authorization: u8, issuer_of: impl Fn(u8) -> usize) -> attempt::AttemptId {
    attempt::AttemptId {
        issuer: cast().issuers[issuer_of(authorization)].clone(),
        authorization: cast().authorizations[usize::from(authorization)].clone(),
    }
}

/// The outcome of an authorization, as the shop is told.
#[must_use]
pub fn outcome(decided: Decided, issuer_of: impl Fn(u8) -> usize) -> Outcome {
    let attempt::AttemptId { issuer, authorization } = attempt_id(decided.authorization, issuer_of);
    Outcome { authorization, issuer, decision: decided.verdict.decision() }
}

/// What an outcome says.
#[must_use]
pub fn decided(outcome: &Outcome) -> Decided {
    Decided { authorization: number_of(&outcome.authorization), verdict: Verdict::of(outcome.decision) }
}

fn number_of(id: &proto::ids::AuthorizationId) -> u8 {
    let number = cast().authorizations.iter().position(|known| known == id);
    u8::try_from(number.expect("invariant: no other ids are ever made")).unwrap_or(u8::MAX)
}

/// `acquirer::domain::attempt::State`, or none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// Nothing was received and nobody has asked.
    Absent,
    /// The card network is being asked, or was.
    Deciding,
    /// The result, for ever.
    Decided {
        /// What was decided.
        verdict: Verdict,
        /// Whether the request itself was received; else this is a tombstone.
        received: bool,
    },
}

impl Attempt {
    /// The domain's state of an attempt that is on record.
    #[must_use]
    pub fn load(self) -> Option<attempt::State> {
        match self {
            Self::Absent => None,
            Self::Deciding => Some(attempt::State::Deciding { since: made_at(), deadline: deadline() }),
            Self::Decided { verdict, received: _ } => Some(attempt::State::Decided(result(verdict))),
        }
    }

    /// The record of the domain's state of a request that was received.
    #[must_use]
    pub fn save(state: &attempt::State) -> Self {
        match state {
            attempt::State::Deciding { since: _, deadline: _ } => Self::Deciding,
            attempt::State::Decided(signed) => Self::Decided { verdict: verdict(&signed.body), received: true },
        }
    }

    /// What was decided, if it is.
    #[must_use]
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Absent | Self::Deciding => None,
            Self::Decided { verdict, received: _ } => Some(verdict),
        }
    }

    /// Whether it was approved.
    #[must_use]
    pub fn is_approved(self) -> bool {
        self.verdict().is_some_and(Verdict::is_approved)
    }
}

/// The signed result that says this.
#[must_use]
pub fn result(verdict: Verdict) -> proto::signed::Signed {
    let body = match verdict {
        Verdict::Approved(code) => vec![0, code],
        Verdict::Declined(reason) => {
            let number = DeclineReason::ALL.iter().position(|known| *known == reason).unwrap_or_default();
            vec![1, u8::try_from(number).unwrap_or(u8::MAX)]
        }
    };
    cast().sign(body)
}

fn verdict(body: &[u8]) -> Verdict {
    match body {
        [0, code] => Verdict::Approved(*code),
        [1, number] => Verdict::Declined(DeclineReason::ALL[usize::from(*number)]),
        _ => unreachable!("only `result` makes results"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use ::acquirer::domain::order::Event;

    use super::*;

    fn bank(authorization: u8) -> usize {
        usize::from(authorization % 2)
    }

    /// Every record that a run of these events makes is what it was made of.
    #[test]
    fn nothing_of_an_order_is_lost_on_the_way() {
        let verdicts = [Verdict::Declined(DeclineReason::DoNotHonor), Verdict::Approved(2)];
        for verdict in verdicts {
            let settled = outcome(Decided { authorization: 2, verdict }, bank);
            let refused = Decided { authorization: 1, verdict: Verdict::Declined(DeclineReason::OrderBusy) };
            let events = [
                Event::Begin { attempt: attempt_id(2, bank), taken_from: Some(Day(0)) },
                Event::Refuse(outcome(refused, bank)),
                Event::Cancel,
                Event::Settle(settled),
            ];
            let mut state = Order::new(3).load(bank);
            for event in events {
                state = state.apply(event, deadline()).expect("the events fit each other").0;
                assert_eq!(Order::save(&state).load(bank), state);
            }
            assert!(Order::save(&state).is_final());
        }
    }

    #[test]
    fn nothing_of_an_attempt_is_lost_on_the_way() {
        let (since, deadline): (SystemTime, SystemTime) = (made_at(), deadline());
        let deciding = attempt::State::Deciding { since, deadline };
        assert_eq!(Attempt::save(&deciding).load(), Some(deciding.clone()));
        let reasons = DeclineReason::ALL.iter().map(|reason| Verdict::Declined(*reason));
        for verdict in reasons.chain([Verdict::Approved(3)]) {
            let decided = deciding.clone().decide(result(verdict)).expect("it is not decided yet");
            assert_eq!(Attempt::save(&decided), Attempt::Decided { verdict, received: true });
            assert_eq!(Attempt::save(&decided).load(), Some(decided));
            assert_eq!(Verdict::of(verdict.decision()), verdict);
        }
    }
}
