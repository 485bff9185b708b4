//! What the acquirer makes durable and says.

use acquirer::{
    domain::order::State,
    records::{Attempt, KeptOrder},
    repository::Entity as _,
};
use bytes::Bytes;
use mesh::store::{Change, Transition};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Carried, SIGNED_NOTE_BYTES_MAX},
    event::OrderEvent,
    order::SignedOrder,
    pb,
    signed::Signed,
};

use super::Watch;
use crate::{party::Party, wire::Reply};

/// An order as it was last made durable.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its number.
    pub number: u64,
    /// Its signed bytes and all.
    pub signed: SignedOrder,
    /// Where it stands.
    pub state: State,
}

/// An authorization's result as it was made durable.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The signed bytes; none while it is decided.
    pub signed: Option<Signed>,
    /// Whether it is an approval.
    pub approved: bool,
    /// The order, where it is one of the acquirer's.
    pub order: Option<String>,
    /// The amount.
    pub units: i64,
}

impl Watch {
    pub(super) fn at_acquirer(&mut self, transition: &Transition) {
        for write in &transition.writes {
            let Change::Put { body, .. } = &write.change else { continue };
            match write.id.kind.as_str() {
                "order" => match KeptOrder::from_bytes(&write.id.key, body.clone()) {
                    Ok(order) => self.order(order),
                    Err(_) => self.fail("found-again", || "the acquirer has stored an unreadable order".to_owned()),
                },
                "attempt" => match Attempt::from_bytes(&write.id.key, body.clone()) {
                    Ok(attempt) => self.attempt(&attempt),
                    Err(_) => self.fail("found-again", || "the acquirer has stored an unreadable attempt".to_owned()),
                },
                _ => {}
            }
        }
        for event in &transition.events {
            let signed = pb::Signed::decode(event.body.clone()).ok();
            match signed.and_then(|signed| Carried::<OrderEvent>::parse(signed).ok()) {
                Some(Carried { says, .. }) => self.events.entry(says.order.to_string()).or_default().push(says),
                None => self.fail("merchant-hears", || "the acquirer has stored an unreadable event".to_owned()),
            }
        }
    }

    fn order(&mut self, order: KeptOrder) {
        let id = order.id().to_string();
        let number = self.number_of_reference(order.reference.as_str());
        self.numbers.orders.insert(*order.signed.digest.as_bytes(), number);
        if let Some(before) = self.orders.get(&id) {
            if before.signed.signed != order.signed.signed {
                self.fail("same-answer", || format!("the signed bytes of order {number} have changed"));
            } else if before.state.is_final() && before.state.name() != order.state.name() {
                let (before, now) = (before.state.name(), order.state.name());
                self.fail("one-approval", || format!("order {number} was {before:?}, which is final, and is {now:?}"));
            }
        }
        self.orders.insert(id, Order { number, signed: order.signed, state: order.state });
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let key = attempt.id.to_string();
        let signed = attempt.state.result().cloned();
        let says = signed.as_ref().map(|signed| Carried::<AuthorizationResult>::parse(signed.to_pb()));
        let approved = match says {
            None => false,
            Some(Ok(says)) => says.says.decision.is_approved(),
            Some(Err(_)) => {
                return self.fail("found-again", || format!("the result of {key} can't be read"));
            }
        };
        if let Some(before) = self.verdicts.get(&key)
            && before.signed.is_some()
            && before.signed != signed
        {
            self.fail("found-again", || format!("the result of {key} has changed"));
        }
        let order = attempt.order.as_ref().map(ToString::to_string);
        if approved {
            let of = order.clone().unwrap_or_default();
            match self.approvals.get(&of) {
                Some(first) if *first != key => {
                    self.fail("one-approval", || format!("order {of} is approved twice"));
                }
                Some(_) | None => {}
            }
            if self.promised.get(&of) == Some(&pb::CancelOutcome::Cancelled) {
                self.fail("cancel", || format!("order {of} is approved, and its shop was told CANCELLED"));
            }
            self.approvals.insert(of, key.clone());
        }
        let verdict = Verdict { signed, approved, order, units: attempt.amount.minor_units() };
        self.verdicts.insert(key, verdict);
    }

    /// Somebody answers: a result that leaves the acquirer must be the durable one.
    pub fn reply(&mut self, by: Party, name: &str, reply: &Reply) {
        let messages: &[Bytes] = match reply {
            Reply::Bytes(bytes) => std::slice::from_ref(bytes),
            Reply::Stream(messages) => messages,
            Reply::Status(_)
            | Reply::Charge(_)
            | Reply::NoCharge(_)
            | Reply::Card(_)
            | Reply::CardKnows(_)
            | Reply::CardOther
            | Reply::Done => return,
        };
        for message in messages {
            self.scan(message, || format!("an answer of {by} to {name}"));
        }
        if by == Party::Acquirer && matches!(name, "Authorize" | "ResolveAuthorization") {
            self.result_leaves(&messages[0]);
        }
    }

    fn result_leaves(&mut self, message: &Bytes) {
        let Ok(pb::AuthorizeResponse { result: Some(result), .. }) = pb::AuthorizeResponse::decode(message.clone())
        else {
            return;
        };
        let Ok(Carried { signed, says }) = Carried::<AuthorizationResult>::parse(result) else {
            return self.fail("found-again", || "the acquirer has sent an unreadable result".to_owned());
        };
        debug_assert!(signed.to_pb().encoded_len() <= SIGNED_NOTE_BYTES_MAX);
        let key = format!("{}/{}", says.issuer, says.authorization);
        let durable = self.verdicts.get(&key).and_then(|verdict| verdict.signed.as_ref());
        if durable != Some(&signed) {
            self.fail("found-again", || format!("a result of {key} was sent that is not the durable one"));
        }
    }
}
