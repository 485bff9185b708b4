//! Who owes the next message about a charge and by when, and by when a charge is final.
//!
//! While the customer waits, the acquirer owes the result. Once that wait is over, or where the process has started
//! again, the issuer asks; each question is the acquirer's to answer. A charge whose task stands still is
//! taken up again by the recovery. What is parked waits for the bank's own people.
//!
//! Where nothing is broken, a charge is final [`final_within`] of its submission: the request arrives while the
//! customer waits, the acquirer decides within the time that the contracts publish, and one more question brings
//! what it decided.

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

/// How long after its submission a charge is final, where nothing is broken.
#[must_use]
pub const fn final_within(limits: &ChargeLimits) -> Duration {
    let asked_again = limits.inquiry_max.get().saturating_add(limits.result_wait.get());
    limits.result_wait.get().saturating_add(ACQUIRER_DECIDES_WITHIN).saturating_add(asked_again)
}

impl Charge {
    /// Who owes the next message about it; none once it is final.
    #[must_use]
    pub fn awaited(&self, limits: &ChargeLimits, now: SystemTime) -> Option<Awaited> {
        let owes = |party, by| Some(Awaited { party, by: Some(by) });
        let wait = limits.result_wait.get();
        let taken_up_by = self.updated_at + wait + STANDING_STILL_MAX;
        match self.state {
            State::Held => owes(Party::Issuer, taken_up_by),
            // Counted from when it began to wait, which the signature precedes by as good as nothing.
            State::Sent(_) if now <= self.updated_at + wait => owes(Party::Acquirer, self.updated_at + wait),
            State::Sent(_) => owes(Party::Issuer, taken_up_by),
            State::Unknown { next: Inquiry::At(next), .. } if now <= next => owes(Party::Issuer, next),
            State::Unknown { next: Inquiry::At(next), .. } => owes(Party::Acquirer, next + wait),
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
        assert_eq!(final_within(&ChargeLimits::default()).as_secs(), 83);
        let contract = include_str!("../../../proto/bankside/v1/card_selection.proto");
        assert!(contract.contains("83 seconds"), "the contract publishes the same figure");
        let acquirers = include_str!("../../../proto/bankside/v1/order_service.proto");
        assert!(acquirers.contains(&format!("{} seconds", ACQUIRER_DECIDES_WITHIN.as_secs())));
    }
}
