//! A charge: from the hold on the account to the result that ends it.
//!
//! ```text
//! Held ──Send──▶ Sent ──Decide──▶ Approved | Declined
//!  │               │                  ▲
//!  │          Lose, Restart           │ Decide
//!  │               ▼                  │
//!  │            Unknown ──────────────┘
//!  └─Abandon, Restart─▶ Abandoned
//! ```
//!
//! Only a result that the acquirer signed ends a charge that was sent. Whatever else happens on the
//! way leaves it unknown, and an unknown charge is resolved by asking, never by guessing. Sending the same
//! bytes once more within the time of `Sent` is no event: to the acquirer it is the same request.

use std::time::{Duration, SystemTime};

use proto::{
    authorization::{ApprovalCode, Decision, DeclineReason},
    digest::Digest,
};

/// What was sent, as far as a question about it must repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The signed request's body.
    pub request_digest: Digest,
    /// When it was signed.
    pub signed_at: SystemTime,
}

/// When the acquirer is asked about an unknown charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// At this time.
    At(SystemTime),
    /// No more by itself: an operator looks after the charge. Every start of the process asks once more,
    /// and a signed result that comes by another way ends the charge as well.
    Parked,
}

/// Where a charge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The funds are held and nothing was sent. Leads to [`State::Sent`] and [`State::Abandoned`].
    Held,
    /// The request may have left at any moment. Leads to every state but the held and abandoned ones.
    Sent(Sent),
    /// The request was sent and no result came. Leads to [`State::Approved`] and [`State::Declined`].
    Unknown {
        /// What was sent.
        sent: Sent,
        /// How many questions have brought no result so far.
        questions: u32,
        /// When to ask next.
        next: Inquiry,
    },
    /// Paid; the hold has become spending. Final.
    Approved {
        /// What was sent.
        sent: Sent,
        /// The card network's code.
        code: ApprovalCode,
    },
    /// Declined; the hold is released. Final.
    Declined {
        /// What was sent.
        sent: Sent,
        /// Why.
        reason: DeclineReason,
    },
    /// Given up before anything was sent; the hold is released. Final.
    Abandoned,
}

/// What happens to a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request is signed and is about to leave.
    Send(Sent),
    /// The request cannot be made, so that nothing was sent.
    Abandon,
    /// No result came back, for whatever reason.
    Lose,
    /// A question brought no result.
    AskedInVain {
        /// How long the acquirer asks to wait, where it said so.
        wait_at_least: Duration,
        /// A random number that spreads the questions of many charges.
        jitter: u16,
    },
    /// A verified result, which answers the request that was sent.
    Decide(Decision),
    /// Nobody works on the charge any more: the process has started again, or the charge has come to a
    /// standstill in it.
    Restart,
}

/// What must change together with the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The hold becomes spending.
    ConfirmHold,
    /// The hold is released.
    ReleaseHold,
    /// The order's claim stays for good: it is paid.
    KeepClaim,
    /// The order may be paid by another charge.
    FreeClaim,
    /// The request is stored, exactly as it will be sent: evidence for as long as its result is not known.
    StoreRequest,
    /// The stored request is removed.
    RemoveRequest,
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The event does not fit the state; somebody else was faster.
    #[error("the charge is not where this could happen to it")]
    OutOfTurn,
    /// The charge is final, and the event says the same as its end. Nothing to do.
    #[error("the charge has ended like this already")]
    AlreadySo,
    /// The acquirer signed two different results for one request. Nobody may overlook this.
    #[error("the charge has ended otherwise: two signed results contradict each other")]
    Contradiction,
}

/// When questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first question follows the loss after this long.
    pub first: Duration,
    /// Two questions are never further apart.
    pub max: Duration,
    /// A charge is parked when its request is this old.
    pub park_after: Duration,
}

impl State {
    /// Takes an event.
    ///
    /// # Errors
    /// [`Rejected`]; the charge stays as it is.
    pub fn apply(self, event: Event, schedule: &Schedule, now: SystemTime) -> Result<(Self, Vec<Effect>), Rejected> {
        match (self, event) {
            (Self::Held, Event::Send(sent)) => Ok((Self::Sent(sent), vec![Effect::StoreRequest])),
            (Self::Held, Event::Abandon | Event::Restart) => {
                Ok((Self::Abandoned, vec![Effect::ReleaseHold, Effect::FreeClaim]))
            }
            (Self::Held, Event::Lose | Event::AskedInVain { .. } | Event::Decide(_)) => Err(Rejected::OutOfTurn),

            (Self::Sent(sent), Event::Lose) => Ok((unknown(sent, now + schedule.first), vec![])),
            // Nobody is waiting for the answer any more, so there is nothing to wait for.
            (Self::Sent(sent), Event::Restart) => Ok((unknown(sent, now), vec![])),
            (Self::Sent(sent) | Self::Unknown { sent, .. }, Event::Decide(decision)) => Ok(decide(sent, decision)),
            (Self::Sent(_), Event::Send(_) | Event::Abandon | Event::AskedInVain { .. }) => Err(Rejected::OutOfTurn),

            (Self::Unknown { sent, questions, next: Inquiry::At(_) }, Event::AskedInVain { wait_at_least, jitter }) => {
                let next = schedule.next(sent, questions.saturating_add(1), wait_at_least, jitter, now);
                Ok((Self::Unknown { sent, questions: questions.saturating_add(1), next }, vec![]))
            }
            (Self::Unknown { sent, questions, next: Inquiry::Parked }, Event::Restart) => {
                Ok((Self::Unknown { sent, questions, next: Inquiry::At(now) }, vec![]))
            }
            (Self::Unknown { next: Inquiry::Parked, .. }, Event::AskedInVain { .. })
            | (Self::Unknown { next: Inquiry::At(_), .. }, Event::Restart)
            | (Self::Unknown { .. }, Event::Send(_) | Event::Abandon | Event::Lose) => Err(Rejected::OutOfTurn),

            (Self::Approved { code, .. }, Event::Decide(decision)) => {
                Err(repeated(decision == Decision::Approved(code)))
            }
            (Self::Declined { reason, .. }, Event::Decide(decision)) => {
                Err(repeated(decision == Decision::Declined(reason)))
            }
            (Self::Abandoned, Event::Decide(_)) => Err(Rejected::Contradiction),
            (
                Self::Approved { .. } | Self::Declined { .. } | Self::Abandoned,
                Event::Send(_) | Event::Abandon | Event::Lose | Event::AskedInVain { .. } | Event::Restart,
            ) => Err(Rejected::OutOfTurn),
        }
    }

    /// Whether nothing can happen any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Held | Self::Sent(_) | Self::Unknown { .. } => false,
            Self::Approved { .. } | Self::Declined { .. } | Self::Abandoned => true,
        }
    }

    /// What was sent, if anything was.
    #[must_use]
    pub const fn sent(self) -> Option<Sent> {
        match self {
            Self::Held | Self::Abandoned => None,
            Self::Sent(sent)
            | Self::Unknown { sent, .. }
            | Self::Approved { sent, .. }
            | Self::Declined { sent, .. } => Some(sent),
        }
    }
}

impl Schedule {
    /// The time after a question that brought nothing; `questions` counts that one too.
    fn next(&self, sent: Sent, questions: u32, wait_at_least: Duration, jitter: u16, now: SystemTime) -> Inquiry {
        if now >= sent.signed_at + self.park_after {
            return Inquiry::Parked;
        }
        let doubled = self.first.saturating_mul(2u32.saturating_pow(questions)).min(self.max);
        // Between half of it and all of it, so that a thousand charges don't ask in the same moment.
        let spread = doubled / 2 + (doubled / 2).mul_f64(f64::from(jitter) / f64::from(u16::MAX));
        // What the acquirer asks for is kept to, within reason: it must not be able to silence us for ever.
        Inquiry::At(now + spread.max(wait_at_least.min(self.max)))
    }
}

fn unknown(sent: Sent, next: SystemTime) -> State {
    State::Unknown { sent, questions: 0, next: Inquiry::At(next) }
}

fn decide(sent: Sent, decision: Decision) -> (State, Vec<Effect>) {
    match decision {
        Decision::Approved(code) => {
            (State::Approved { sent, code }, vec![Effect::ConfirmHold, Effect::KeepClaim, Effect::RemoveRequest])
        }
        Decision::Declined(reason) => {
            (State::Declined { sent, reason }, vec![Effect::ReleaseHold, Effect::FreeClaim, Effect::RemoveRequest])
        }
    }
}

fn repeated(same: bool) -> Rejected {
    if same { Rejected::AlreadySo } else { Rejected::Contradiction }
}

#[cfg(test)]
mod tests;
