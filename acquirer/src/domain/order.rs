//! The course of an order: `Open → Authorizing → Approved`, or one of three ends without payment.
//!
//! [`State::apply`] consumes a state and returns the next one together with the effects that must be
//! committed with it. It is the only way to change a state. What always holds, whatever events come:
//! there is at most one approval, a final state stays what it is, no more than [`DECLINES_MAX`]
//! declines are counted, and the positions of the announced events have no gap.

use std::time::SystemTime;

use proto::event::{OrderState, Outcome};

use super::{attempt::AttemptId, merchant::Day};

/// How many counted declines end an order: enough for a mistyped code and a second card, too few to
/// try stolen numbers on.
pub const DECLINES_MAX: u32 = 5;

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting to be paid. Leads to `Authorizing`, to `Cancelled` by its shop, to `Expired` by the
    /// clock, and to `Failed` by a decline that needed no card network.
    Open(Course),
    /// One authorization is under way. Leads to `Approved`; a decline leads to `Cancelled` where the
    /// shop has asked for it meanwhile, else to `Failed` after the last attempt, else to `Expired` past the
    /// deadline, else back to `Open`. It never expires by itself.
    Authorizing(Course, Underway),
    /// Paid, by the authorization in [`Course::last`]. Final.
    Approved(Course),
    /// Its time passed without a payment. Final.
    Expired(Course),
    /// Its attempts are used up. Final.
    Failed(Course),
    /// Cancelled by its shop; there is no approval and never will be. Final.
    Cancelled(Course),
}

/// What every state knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The last moment at which an authorization may start.
    pub expires_at: SystemTime,
    /// Counted declines, at most [`DECLINES_MAX`].
    pub declines: u32,
    /// The position of the last announced event; 0 before the first.
    pub position: u32,
    /// The last result that counted: a counted decline, or the approval.
    pub last: Option<Outcome>,
}

/// The authorization that an order waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// Which one.
    pub attempt: AttemptId,
    /// Whether the shop has asked to cancel meanwhile.
    pub cancel_requested: bool,
    /// The day whose total holds the order's amount; none where the merchant has no daily limit.
    pub taken_from: Option<Day>,
}

/// Something that happens to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The card network is about to be asked.
    Begin {
        /// The authorization.
        attempt: AttemptId,
        /// The day whose total takes the amount up.
        taken_from: Option<Day>,
    },
    /// The authorization under way is decided.
    Settle(Outcome),
    /// An authorization is declined, counted, without asking the card network.
    Decline(Outcome),
    /// An authorization is declined for what its request lacks, before it becomes an attempt; not counted.
    Dismiss(Outcome),
    /// An authorization is declined because of where the order stands; not counted.
    Refuse(Outcome),
    /// The shop asks to cancel.
    Cancel,
    /// The clock is past the deadline.
    Expire,
}

/// What must be committed together with the new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The shop is told.
    Announce(Announcement),
    /// The order's private sealing key is destroyed: nothing may be opened with it any more.
    ForgetSealingKey,
    /// The order's amount is taken up in the merchant's total of this day.
    TakeUp(Day),
    /// The order's amount is given back to the merchant's total of this day.
    GiveBack(Day),
}

/// An event for the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its place among the order's events: 1, 2, 3, without a gap.
    pub position: u32,
    /// Where the order stands after it.
    pub state: OrderState,
    /// The authorization's result, where it is one.
    pub authorization: Option<Outcome>,
}

/// Why an event does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The order is final.
    #[error("the order is final")]
    Final,
    /// Another authorization is under way.
    #[error("another authorization is under way")]
    Busy,
    /// The deadline has passed; expire the order first.
    #[error("the order's deadline has passed")]
    PastDeadline,
    /// The deadline has not passed yet.
    #[error("the order's deadline has not passed")]
    BeforeDeadline,
    /// This authorization is not the one under way.
    #[error("this authorization is not the one under way")]
    NotUnderway,
    /// Where the order stands gives no reason to refuse.
    #[error("the order is open and refuses nothing")]
    NothingToRefuse,
    /// An approval can only settle what is under way.
    #[error("only an authorization under way can be approved")]
    NotADecline,
    /// The positions are used up.
    #[error("the order has no event position left")]
    PositionsExhausted,
}

impl State {
    /// A new order.
    #[must_use]
    pub const fn new(expires_at: SystemTime) -> Self {
        Self::Open(Course { expires_at, declines: 0, position: 0, last: None })
    }

    /// What every state knows.
    #[must_use]
    pub const fn course(&self) -> &Course {
        match self {
            Self::Open(course)
            | Self::Authorizing(course, _)
            | Self::Approved(course)
            | Self::Expired(course)
            | Self::Failed(course)
            | Self::Cancelled(course) => course,
        }
    }

    /// The state's name in the contracts.
    #[must_use]
    pub const fn name(&self) -> OrderState {
        match self {
            Self::Open(_) => OrderState::Open,
            Self::Authorizing(..) => OrderState::Authorizing,
            Self::Approved(_) => OrderState::Approved,
            Self::Expired(_) => OrderState::Expired,
            Self::Failed(_) => OrderState::Failed,
            Self::Cancelled(_) => OrderState::Cancelled,
        }
    }

    /// Whether the order has come to its end.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Open(_) | Self::Authorizing(..) => false,
            Self::Approved(_) | Self::Expired(_) | Self::Failed(_) | Self::Cancelled(_) => true,
        }
    }

    /// Whether the order waits to be paid and can't be any more.
    #[must_use]
    pub fn has_lapsed(&self, now: SystemTime) -> bool {
        match self {
            Self::Open(course) => now > course.expires_at,
            Self::Authorizing(..) | Self::Approved(_) | Self::Expired(_) | Self::Failed(_) | Self::Cancelled(_) => {
                false
            }
        }
    }

    /// Whether the shop has asked to cancel while an authorization is under way.
    #[must_use]
    pub const fn cancel_requested(&self) -> bool {
        match self {
            Self::Authorizing(_, underway) => underway.cancel_requested,
            Self::Open(_) | Self::Approved(_) | Self::Expired(_) | Self::Failed(_) | Self::Cancelled(_) => false,
        }
    }

    /// Applies an event at a time.
    ///
    /// # Errors
    /// [`Rejected`]; the order is then as it was.
    pub fn apply(self, event: Event, now: SystemTime) -> Result<(Self, Vec<Effect>), Rejected> {
        match self {
            Self::Open(course) => open(course, event, now),
            Self::Authorizing(course, underway) => authorizing(course, underway, event, now),
            Self::Approved(course) => finished(Self::Approved, OrderState::Approved, course, event),
            Self::Expired(course) => finished(Self::Expired, OrderState::Expired, course, event),
            Self::Failed(course) => finished(Self::Failed, OrderState::Failed, course, event),
            Self::Cancelled(course) => finished(Self::Cancelled, OrderState::Cancelled, course, event),
        }
    }
}

fn open(course: Course, event: Event, now: SystemTime) -> Result<(State, Vec<Effect>), Rejected> {
    let lapsed = now > course.expires_at;
    match event {
        Event::Expire if lapsed => end(State::Expired, OrderState::Expired, course, None),
        Event::Expire => Err(Rejected::BeforeDeadline),
        Event::Begin { .. } | Event::Decline(_) | Event::Dismiss(_) | Event::Cancel if lapsed => {
            Err(Rejected::PastDeadline)
        }
        Event::Begin { attempt, taken_from } => {
            let effects = taken_from.map(Effect::TakeUp).into_iter().collect();
            Ok((State::Authorizing(course, Underway { attempt, cancel_requested: false, taken_from }), effects))
        }
        Event::Decline(outcome) if outcome.decision.is_approved() => Err(Rejected::NotADecline),
        Event::Decline(outcome) => declined(course, outcome, false, now),
        Event::Dismiss(outcome) => {
            let (course, effect) = refused(course, OrderState::Open, outcome)?;
            Ok((State::Open(course), vec![effect]))
        }
        Event::Cancel => end(State::Cancelled, OrderState::Cancelled, course, None),
        Event::Settle(_) => Err(Rejected::NotUnderway),
        Event::Refuse(_) => Err(Rejected::NothingToRefuse),
    }
}

fn authorizing(
    course: Course,
    underway: Underway,
    event: Event,
    now: SystemTime,
) -> Result<(State, Vec<Effect>), Rejected> {
    match event {
        Event::Settle(outcome) if !underway.attempt.is_of(&outcome) => Err(Rejected::NotUnderway),
        Event::Settle(outcome) if outcome.decision.is_approved() => {
            let course = Course { last: Some(outcome.clone()), ..course };
            end(State::Approved, OrderState::Approved, course, Some(outcome))
        }
        Event::Settle(outcome) => {
            let (state, mut effects) = declined(course, outcome, underway.cancel_requested, now)?;
            effects.extend(underway.taken_from.map(Effect::GiveBack));
            Ok((state, effects))
        }
        Event::Cancel => Ok((State::Authorizing(course, Underway { cancel_requested: true, ..underway }), Vec::new())),
        Event::Refuse(outcome) => {
            let (course, effect) = refused(course, OrderState::Authorizing, outcome)?;
            Ok((State::Authorizing(course, underway), vec![effect]))
        }
        Event::Begin { .. } | Event::Decline(_) | Event::Dismiss(_) => Err(Rejected::Busy),
        Event::Expire => Err(Rejected::Busy),
    }
}

fn finished(
    state: impl FnOnce(Course) -> State,
    name: OrderState,
    course: Course,
    event: Event,
) -> Result<(State, Vec<Effect>), Rejected> {
    match event {
        Event::Refuse(outcome) => {
            let (course, effect) = refused(course, name, outcome)?;
            Ok((state(course), vec![effect]))
        }
        Event::Begin { .. }
        | Event::Settle(_)
        | Event::Decline(_)
        | Event::Dismiss(_)
        | Event::Cancel
        | Event::Expire => Err(Rejected::Final),
    }
}

/// Where a counted decline leads. A cancel comes first, because its shop was promised that a decline
/// ends in cancelled; the last attempt comes before the deadline, because it is final at once.
fn declined(course: Course, outcome: Outcome, cancel: bool, now: SystemTime) -> Result<(State, Vec<Effect>), Rejected> {
    let course = Course { declines: course.declines + 1, last: Some(outcome.clone()), ..course };
    if cancel {
        end(State::Cancelled, OrderState::Cancelled, course, Some(outcome))
    } else if course.declines >= DECLINES_MAX {
        end(State::Failed, OrderState::Failed, course, Some(outcome))
    } else if now > course.expires_at {
        end(State::Expired, OrderState::Expired, course, Some(outcome))
    } else {
        let (course, effect) = announced(course, OrderState::Open, Some(outcome))?;
        Ok((State::Open(course), vec![effect]))
    }
}

fn end(
    state: impl FnOnce(Course) -> State,
    name: OrderState,
    course: Course,
    outcome: Option<Outcome>,
) -> Result<(State, Vec<Effect>), Rejected> {
    let (course, effect) = announced(course, name, outcome)?;
    Ok((state(course), vec![effect, Effect::ForgetSealingKey]))
}

fn refused(course: Course, name: OrderState, outcome: Outcome) -> Result<(Course, Effect), Rejected> {
    if outcome.decision.is_approved() {
        return Err(Rejected::NotADecline);
    }
    announced(course, name, Some(outcome))
}

fn announced(course: Course, state: OrderState, outcome: Option<Outcome>) -> Result<(Course, Effect), Rejected> {
    let position = course.position.checked_add(1).ok_or(Rejected::PositionsExhausted)?;
    let announcement = Announcement { position, state, authorization: outcome };
    Ok((Course { position, ..course }, Effect::Announce(announcement)))
}

#[cfg(test)]
mod tests;
