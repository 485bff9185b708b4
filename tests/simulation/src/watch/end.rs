//! What must be so when all faults have ended and time has gone on.

use std::collections::BTreeMap;

use acquirer::network::{NetworkDecision, NetworkId};
use proto::pb::CancelOutcome;

use super::{Watch, issuer::End};
use crate::{
    parties::{card_network::Entry, shop::Kept},
    party::Party,
};

/// The books of those who have no store of the engine's.
#[derive(Debug)]
pub struct Others<'a> {
    /// The card network's.
    pub network: &'a BTreeMap<NetworkId, Entry>,
    /// The shops', as in [`Party::SHOPS`].
    pub shops: [&'a Kept; 2],
}

impl Watch {
    /// What is not at its end yet, and which checker it belongs to; none where everything is.
    #[must_use]
    pub fn unsettled(&self, others: &Others<'_>) -> Option<(&'static str, String)> {
        let order = self.orders.values().find(|order| !order.state.is_final());
        if let Some(order) = order {
            return Some(("final-in-time", format!("order {} is {:?}", order.number, order.state.name())));
        }
        if let Some((id, _)) = self.verdicts.iter().find(|(_, verdict)| verdict.signed.is_none()) {
            return Some(("final-in-time", format!("{id} has no result")));
        }
        if let Some(((party, ..), charge)) = self.charges.iter().find(|(_, charge)| charge.end == End::Live) {
            let number = self.number_of_order(&charge.order.digest);
            return Some(("final-in-time", format!("the charge for order {number} at {party} has no end")));
        }
        let left =
            |kind: &str| self.last_records.iter().any(|((_, id), body)| id.kind.as_str() == kind && body.is_some());
        if left("reversal") {
            return Some(("final-in-time", "a reversal is not acknowledged".to_owned()));
        }
        for (shop, books) in Party::SHOPS.into_iter().zip(others.shops) {
            if let Some(missing) = self.unheard(shop, books) {
                return Some(("merchant-hears", missing));
            }
        }
        if left("outbox") {
            return Some(("final-in-time", "a notification is not acknowledged".to_owned()));
        }
        None
    }

    /// What a shop has not heard, by the one way or the other.
    fn unheard(&self, shop: Party, books: &Kept) -> Option<String> {
        for (id, events) in &self.events {
            if events.first().is_none_or(|event| event.merchant.as_str() != shop.id()) {
                continue;
            }
            if books.told.get(id) != Some(events) {
                return Some(format!("{shop} has not heard all of {id}, which has {} events", events.len()));
            }
            if books.watched.get(id) != Some(events) {
                return Some(format!("{shop} has not read all of {id}, which has {} events", events.len()));
            }
        }
        None
    }

    /// The last checks: everything is at its end, so that the books of all must agree.
    pub fn reconcile(&mut self, others: &Others<'_>) {
        let found = self
            .wrong_event()
            .or_else(|| self.wrong_cancel())
            .or_else(|| self.wrong_hold())
            .or_else(|| self.wrong_money(others));
        if let Some((checker, why)) = found {
            self.fail(checker, || why);
        }
    }

    /// Every result and every final state is among the events.
    fn wrong_event(&self) -> Option<(&'static str, String)> {
        for (id, order) in &self.orders {
            let events = self.events.get(id).map(Vec::as_slice).unwrap_or_default();
            let number = order.number;
            if events.iter().enumerate().any(|(place, event)| usize::try_from(event.position) != Ok(place + 1)) {
                return Some(("merchant-hears", format!("the events of order {number} have a gap")));
            }
            if events.iter().all(|event| event.state != order.state.name()) {
                return Some(("merchant-hears", format!("no event tells the end of order {number}")));
            }
            for (attempt, _) in self.verdicts.iter().filter(|(_, verdict)| verdict.order.as_deref() == Some(id)) {
                let told = events
                    .iter()
                    .filter_map(|event| event.authorization.as_ref())
                    .filter(|outcome| format!("{}/{}", outcome.issuer, outcome.authorization) == *attempt);
                // A result about an order that was altered is none of the shop's.
                if told.count() != 1 {
                    return Some(("merchant-hears", format!("the result of {attempt} is not told once")));
                }
            }
        }
        None
    }

    fn wrong_cancel(&self) -> Option<(&'static str, String)> {
        for (id, promised) in &self.promised {
            let (Some(order), approved) = (self.orders.get(id), self.approvals.contains_key(id)) else { continue };
            let (number, name) = (order.number, order.state.name());
            let holds = match promised {
                CancelOutcome::Cancelled => name == proto::event::OrderState::Cancelled && !approved,
                CancelOutcome::TooLate => approved,
                CancelOutcome::Pending => approved || name == proto::event::OrderState::Cancelled,
                CancelOutcome::AlreadyExpired | CancelOutcome::AlreadyFailed => !approved,
                CancelOutcome::Unspecified => false,
            };
            if !holds {
                return Some((
                    "cancel",
                    format!("the shop was told {promised:?} of order {number}, which is {name:?}"),
                ));
            }
        }
        None
    }

    fn wrong_hold(&self) -> Option<(&'static str, String)> {
        for ((party, id), account) in &self.accounts {
            if account.held != 0 {
                return Some(("holds", format!("account {id} of {party} still holds {}", account.held)));
            }
        }
        for ((party, ..), charge) in &self.charges {
            let attempt = format!("{party}/{}", charge.authorization);
            let approved = self.verdicts.get(&attempt).is_some_and(|verdict| verdict.approved);
            if approved != (charge.end == End::Approved) {
                let end = charge.end;
                return Some(("holds", format!("{attempt} is {end:?} at its issuer; approved: {approved}")));
            }
        }
        None
    }

    /// The issuers', the acquirer's, the card network's and the shops' books agree to the last unit.
    fn wrong_money(&self, others: &Others<'_>) -> Option<(&'static str, String)> {
        for (id, entry) in others.network {
            let attempt = format!("{}/{}", id.issuer, id.authorization);
            let approved = self.verdicts.get(&attempt).is_some_and(|verdict| verdict.approved);
            let charged = entry.charges - entry.refunds;
            if charged != i64::from(approved) {
                return Some((
                    "money",
                    format!("the card network has charged {attempt} {charged} times; approved: {approved}"),
                ));
            }
            if approved && !matches!(entry.decision, Some(NetworkDecision::Approved(_))) {
                return Some(("money", format!("the card network did not approve {attempt}, and the acquirer did")));
            }
        }
        let acquirer: i64 =
            self.verdicts.values().filter(|verdict| verdict.approved).map(|verdict| verdict.units).sum();
        let issuers: i64 = self.accounts.values().map(|account| account.spent).sum();
        let takings: i64 = others.shops.iter().map(|books| books.takings).sum();
        let network: i64 = others
            .network
            .values()
            .map(|entry| {
                let units = entry.asked.as_ref().map(|asked| asked.amount.minor_units()).unwrap_or_default();
                (entry.charges - entry.refunds) * units
            })
            .sum();
        let all = [issuers, acquirer, network, takings];
        if all.iter().any(|sum| *sum != acquirer) {
            let [issuers, acquirer, network, takings] = all;
            return Some((
                "money",
                format!("issuers {issuers}, acquirer {acquirer}, card network {network}, shops {takings}"),
            ));
        }
        None
    }
}
