//! What the shops hear.

use acquirer::domain::order::State;
use proto::{
    event::OrderEvent,
    order::SignedOrder,
    pb::{self, CancelOutcome},
};

use super::Watch;
use crate::party::Party;

impl Watch {
    /// A shop hears that its order is made.
    pub fn made(&mut self, number: u64, order: &SignedOrder) {
        let durable = self.orders.get(order.order.id.as_str());
        if durable.is_none_or(|durable| durable.signed.signed != order.signed) {
            self.fail("found-again", || format!("order {number} was handed out and is not durable so"));
        }
        if self.orders.iter().any(|(id, other)| other.number == number && id != order.order.id.as_str()) {
            self.fail("same-answer", || format!("order {number} was made twice"));
        }
    }

    /// A shop hears of an event.
    pub fn notified(&mut self, shop: Party, event: &OrderEvent, is_new: bool) {
        let id = event.id();
        let known = self.events.get(event.order.as_str()).cloned().unwrap_or_default();
        if event.merchant.as_str() != shop.id() {
            self.fail("nobody-for-another", || format!("{shop} hears of {id}, which is not its own"));
        }
        if !known.contains(event) {
            self.fail("merchant-hears", || format!("{shop} hears of {id}, which is not durable so"));
        }
        let heard = self.heard.entry(event.order.to_string()).or_default();
        if is_new {
            *heard += 1;
            if *heard != event.position {
                self.fail("merchant-hears", || format!("{shop} hears of {id} out of order"));
            }
        }
    }

    /// A shop hears what became of its wish to cancel.
    pub fn cancel_answered(&mut self, number: u64, order: &str, outcome: CancelOutcome) {
        let Some(kept) = self.orders.get(order) else { return };
        let name = kept.state.name();
        let fits = match outcome {
            CancelOutcome::Cancelled => matches!(kept.state, State::Cancelled(_)),
            CancelOutcome::TooLate => matches!(kept.state, State::Approved(_)),
            CancelOutcome::AlreadyExpired => matches!(kept.state, State::Expired(_)),
            CancelOutcome::AlreadyFailed => matches!(kept.state, State::Failed(_)),
            // The answer may be old; what it promised is seen to at the end.
            CancelOutcome::Pending => {
                kept.state.cancel_requested() || matches!(kept.state, State::Cancelled(_) | State::Approved(_))
            }
            CancelOutcome::Unspecified => false,
        };
        let promised = self.promised.get(order).copied();
        if !fits {
            self.fail("cancel", || format!("the shop was told {outcome:?} of order {number}, which is {name:?}"));
        }
        if promised == Some(CancelOutcome::Pending)
            && !matches!(outcome, CancelOutcome::Pending | CancelOutcome::Cancelled | CancelOutcome::TooLate)
        {
            self.fail("cancel", || format!("order {number} was PENDING and became {outcome:?}"));
        }
        if promised != Some(pb::CancelOutcome::Cancelled) {
            self.promised.insert(order.to_owned(), outcome);
        }
    }

    /// Somebody has tried to act for another, and got this far.
    pub fn impostor(&mut self, number: u64, what: &str, is_answered: bool) {
        if is_answered {
            self.fail("nobody-for-another", || format!("order {number}: {what}"));
        }
    }
}
