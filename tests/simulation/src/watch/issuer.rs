//! What the issuers make durable, and what their customers are told.

use acquirer::network::NetworkRequest;
use issuer::{
    charges::{self, Submission},
    records::{self, Entity as _, State},
};
use mesh::store::{Change, RecordId, Transition};
use prost::Message as _;
use proto::{order::SignedOrder, pb, signed::Signed};

use super::Watch;
use crate::{
    parties::issuer::{CUSTOMERS, card_data, card_id},
    party::Party,
    wire::Reply,
};

/// An account as it was last made durable.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// What it had at first: the line, or the balance.
    pub first: i64,
    /// The sum of the holds.
    pub held: i64,
    /// What approved charges took.
    pub spent: i64,
}

/// A charge as it was last made durable.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The authorization.
    pub authorization: String,
    /// The account.
    pub account: String,
    /// The card.
    pub card: String,
    /// The order.
    pub order: SignedOrder,
    /// Where it stands.
    pub end: End,
    /// What the customer was told at last.
    pub told: Option<Signed>,
}

/// Where a charge stands, as far as money is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its hold lives.
    Live,
    /// Its hold is spent.
    Approved,
    /// Its hold is released by a decline.
    Declined,
    /// Its hold is released, and nothing was sent.
    Abandoned,
}

impl Charge {
    /// The amount in minor units.
    #[must_use]
    pub const fn units(&self) -> i64 {
        self.order.order.amount.minor_units()
    }
}

impl Watch {
    pub(super) fn at_issuer(&mut self, party: Party, transition: &Transition) {
        for write in &transition.writes {
            let Change::Put { body, .. } = &write.change else { continue };
            match write.id.kind.as_str() {
                "account" => match records::Account::decode(body.clone()) {
                    Ok(account) => self.account(party, &account),
                    Err(_) => self.fail("holds", || format!("{party} has stored an unreadable account")),
                },
                "charge" => match records::Charge::decode(body.clone()) {
                    Ok(charge) => self.charge(party, &charge),
                    Err(_) => self.fail("holds", || format!("{party} has stored an unreadable charge")),
                },
                _ => {}
            }
        }
        self.check_whole(party, transition);
        self.check_holds(party);
    }

    /// A charge changes as one with its order's claim and its stored request.
    fn check_whole(&mut self, party: Party, transition: &Transition) {
        for write in transition.writes.iter().filter(|write| write.id.kind == records::Charge::KIND) {
            let Change::Put { body, .. } = &write.change else { continue };
            let Ok(charge) = records::Charge::decode(body.clone()) else { continue };
            let (is_sent, is_claimed) = match charge.state {
                None | Some(State::Held(_)) => (false, true),
                Some(State::Sent(_) | State::Unknown(_)) => (true, true),
                Some(State::Approved(_)) => (false, true),
                Some(State::Declined(_) | State::Abandoned(_)) => (false, false),
            };
            let request = charge.authorization_id.parse().ok().map(|id| records::Request::at(&id).record_id());
            let order = charge.order.and_then(|order| SignedOrder::parse(order).ok());
            let claim = order.map(|order| records::Claim::at(&order.digest).record_id());
            let is_there = |id: Option<RecordId>| {
                id.is_some_and(|id| self.last_records.get(&(party, id)).is_some_and(Option::is_some))
            };
            let found = (is_there(request), is_there(claim));
            if found != (is_sent, is_claimed) {
                let state = charge.state;
                self.fail("holds", || {
                    format!("half of a step at {party}: a charge {state:?}; request, claim: {found:?}")
                });
            }
        }
    }

    fn account(&mut self, party: Party, account: &records::Account) {
        let key = (party, account.account_id.clone());
        let is_credit = account.kind == i32::from(pb::CardKind::Credit);
        let seen = self.accounts.entry(key).or_insert_with(|| Account { first: account.funds, ..Account::default() });
        seen.held = account.held;
        seen.spent = if is_credit { account.spent } else { seen.first - account.funds };
        let (first, held, spent) = (seen.first, seen.held, seen.spent);
        if held < 0 || spent < 0 || held + spent > first {
            let id = &account.account_id;
            self.fail("holds", || format!("account {id} of {party}: {held} held and {spent} spent of {first}"));
        }
    }

    fn charge(&mut self, party: Party, record: &records::Charge) {
        let key = (party, record.customer_id.clone(), record.charge_id.clone());
        let Some(order) = record.order.clone().and_then(|order| SignedOrder::parse(order).ok()) else {
            return self.fail("approved-is-authorized", || format!("{party} has a charge without an order"));
        };
        let end = match record.state {
            None | Some(State::Held(_) | State::Sent(_) | State::Unknown(_)) => End::Live,
            Some(State::Approved(_)) => End::Approved,
            Some(State::Declined(_)) => End::Declined,
            Some(State::Abandoned(_)) => End::Abandoned,
        };
        let number = self.number_of_order(&order.digest);
        self.numbers.authorizations.insert(record.authorization_id.clone(), number);
        let told = match self.charges.get(&key) {
            None => None,
            Some(before) if before.authorization != record.authorization_id || before.order.signed != order.signed => {
                return self.fail("same-answer", || format!("a charge for order {number} has changed its content"));
            }
            Some(before) if before.end != End::Live && before.end != end => {
                let before = before.end;
                return self.fail("holds", || format!("a charge for order {number} was {before:?} and is {end:?}"));
            }
            Some(before) => before.told.clone(),
        };
        let attempt = format!("{party}/{}", record.authorization_id);
        let verdict = self.verdicts.get(&attempt);
        let approved = verdict.filter(|verdict| verdict.signed.is_some()).map(|verdict| verdict.approved);
        let fits = match end {
            End::Live => true,
            End::Approved => approved == Some(true),
            End::Declined => approved == Some(false),
            End::Abandoned => verdict.is_none(),
        };
        if !fits {
            self.fail("holds", || {
                format!("the charge for order {number} at {party} is {end:?}; the acquirer's approval: {approved:?}")
            });
        }
        let charge = Charge {
            authorization: record.authorization_id.clone(),
            account: record.account_id.clone(),
            card: record.card_option_id.clone(),
            order,
            end,
            told,
        };
        self.charges.insert(key, charge);
    }

    /// Every account holds and has spent exactly what its charges say.
    fn check_holds(&mut self, party: Party) {
        let mut wrong = None;
        for ((of, id), account) in self.accounts.iter().filter(|((of, _), _)| *of == party) {
            let sum = |end| {
                let charges = self.charges.iter().filter(|((at, ..), charge)| at == of && charge.account == *id);
                charges.filter(|(_, charge)| charge.end == end).map(|(_, charge)| charge.units()).sum::<i64>()
            };
            let (live, approved) = (sum(End::Live), sum(End::Approved));
            if (account.held, account.spent) != (live, approved) {
                wrong = Some(format!(
                    "account {id} of {party} holds {} and has spent {}; its charges say {live} and {approved}",
                    account.held, account.spent
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.fail("holds", || wrong);
        }
    }

    /// A customer is told how a charge stands.
    pub fn submitted(&mut self, issuer: Party, submission: &Submission, charge: &charges::Charge) {
        let number = self.number_of_order(&submission.order.digest);
        if charge.order.digest != submission.order.digest || charge.card != submission.card {
            return self.fail("same-answer", || format!("{issuer} answers with another charge for order {number}"));
        }
        let key = (issuer, submission.session.customer.to_string(), submission.charge.to_string());
        let Some(seen) = self.charges.get_mut(&key) else {
            return self
                .fail("found-again", || format!("{issuer} speaks of a charge for order {number} that is not durable"));
        };
        let is_other = seen.authorization != charge.authorization.as_str();
        let has_changed = seen.told.is_some() && seen.told != charge.result;
        seen.told = charge.result.clone().or(seen.told.take());
        if is_other || has_changed {
            self.fail("same-answer", || format!("{issuer} tells two stories of one charge for order {number}"));
        }
    }

    /// A customer has sent another content under a charge's id.
    pub fn other_content(&mut self, number: u64, reply: &Reply) {
        if matches!(reply, Reply::Charge(_)) {
            self.fail("same-answer", || format!("another card was taken under the id of a charge for order {number}"));
        }
    }

    /// The card network is asked: for what a cardholder approved, and nothing else.
    pub fn asked_network(&mut self, request: &NetworkRequest) {
        let id = request.id.authorization.as_str();
        let party = Party::ISSUERS.into_iter().find(|party| party.id() == request.id.issuer.as_str());
        let charge = self.charges.iter().find(|((at, ..), charge)| Some(*at) == party && charge.authorization == id);
        let fits = charge.is_some_and(|((at, ..), charge)| {
            let mut cards = (0..CUSTOMERS).flat_map(|customer| (0..2).map(move |card| (customer, card)));
            let card = cards.find(|(customer, card)| card_id(*at, *customer, *card).as_str() == charge.card);
            card.is_some_and(|(customer, card)| card_data(*at, customer, card) == request.card)
                && charge.order.order.amount == request.amount
                && charge.order.order.merchant.id == request.merchant
        });
        if !fits {
            self.fail("approved-is-authorized", || {
                format!("the card network is asked for {id}, which nobody approved so")
            });
        }
    }
}
