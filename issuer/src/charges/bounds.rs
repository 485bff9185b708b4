//! Who owes the next message about a charge and by when, and by when a charge is final.
//!
//! While the customer waits, the acquirer owes the result. Once that wait is over, or where the process has started
//! again, the issuer asks; while a question is under way, it is the acquirer's to answer. A charge whose task stands
//! still is taken up again by the recovery. What is parked waits for the bank's own people.
//!
//! A charge is final [`final_within`] of its submission, the later of two times:
//!
//! - Where nothing is broken, the request arrives while the customer waits, and the acquirer decides within the
//!   time that the contracts publish. It may decide right after a question has arrived, whose answer takes its whole
//!   time and says that nothing is decided; the next question brings what it decided.
//! - Where the charge's own task has failed, the recovery takes it up, and one question brings the result.
//!
//! So nobody owes anything about it for longer than until then.

use std::time::{Duration, SystemTime};

use super::Charge;
use crate::{
    config::ChargeLimits,
    domain::charge::{Inquiry, State},
    tasks::recovery::STANDING_STILL_MAX,
};

/// How long an acquirer takes to decide at most, with its default limits and where nothing is broken; the
/// contract `OrderService` publishes it.
const ACQUIRER_DECIDES_WITHIN: Duration = Duration::from_secs(33);

/// Who owes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The acquirer.
    Acquirer,
    /// This issuer.
    Issuer,
    /// The issuer's own people.
    Operator,
}

/// Who owes the next message, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Who.
    pub party: Party,
    /// By when; then the issuer goes on by itself. None where only people can go on.
    pub by: Option<SystemTime>,
}

/// How long after its submission a charge is final, where nothing is broken by then.
#[must_use]
pub fn final_within(limits: &ChargeLimits) -> Duration {
    learned_within(limits).max(taken_up_within(limits).saturating_add(limits.result_wait.get()))
}

/// How long after its submission the result has come at the latest, where its task goes on.
const fn learned_within(limits: &ChargeLimits) -> Duration {
    let wait = limits.result_wait.get();
    let decided = wait.saturating_add(ACQUIRER_DECIDES_WITHIN);
    let answered_too_early = decided.saturating_add(wait);
    answered_too_early.saturating_add(limits.inquiry_max.get()).saturating_add(wait)
}

/// How long after its last change a charge whose task stands still is taken up again.
const fn taken_up_within(limits: &ChargeLimits) -> Duration {
    limits.result_wait.get().saturating_add(STANDING_STILL_MAX)
}

impl Charge {
    /// Who owes the next message about it; none once it is final. `asked_at` is when the question left that is
    /// under way; [`Bells::question_since`](super::Bells::question_since) knows it.
    #[must_use]
    pub fn awaited(&self, limits: &ChargeLimits, asked_at: Option<SystemTime>, now: SystemTime) -> Option<Awaited> {
        let owes = |party, by| Some(Awaited { party, by: Some(by) });
        let wait = limits.result_wait.get();
        let taken_up_by = self.updated_at + taken_up_within(limits);
        match self.state {
            State::Held => owes(Party::Issuer, taken_up_by),
            // Counted from when it began to wait, which the signature precedes by as good as nothing.
            State::Sent(_) if now <= self.updated_at + wait => owes(Party::Acquirer, self.updated_at + wait),
            State::Sent(_) => owes(Party::Issuer, taken_up_by),
            State::Unknown { next: Inquiry::At(next), .. } => match asked_at {
                Some(asked_at) => owes(Party::Acquirer, asked_at + wait),
                None => owes(Party::Issuer, next),
            },
            State::Unknown { next: Inquiry::Parked, .. } => Some(Awaited { party: Party::Operator, by: None }),
            State::Approved { .. } | State::Declined { .. } | State::Abandoned => None,
        }
    }

    /// By when it is final, if nothing is broken by then; none once it is, and where nobody asks any more.
    #[must_use]
    pub fn final_by(&self, limits: &ChargeLimits) -> Option<SystemTime> {
        let is_open = !self.state.is_final() && !self.is_parked();
        is_open.then(|| self.created_at + final_within(limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_figures_are_those_of_the_default_limits() {
        let limits = ChargeLimits::default();
        assert_eq!((final_within(&limits).as_secs(), learned_within(&limits).as_secs()), (110, 93));
        let contract = include_str!("../../../proto/bankside/v1/card_selection.proto");
        for figure in ["110 seconds", "93 seconds"] {
            assert!(contract.contains(figure), "the contract publishes the same figure");
        }
        let acquirers = include_str!("../../../proto/bankside/v1/order_service.proto");
        assert!(acquirers.contains(&format!("{} seconds", ACQUIRER_DECIDES_WITHIN.as_secs())));
    }
}
