//! A customer's charge requests, and what the bank demands of them.

use issuer::{
    audit::Actor,
    auth::{OrderToPay, SignedIn},
    charges::Submission,
    config::{AuthLimits, PolicyConfig},
    domain::policy::Policy,
};
use proto::{authorization::Factor, digest::Digest, ids::ChargeId, order::SignedOrder};

use super::{acquirer::start, world::Card};

/// The challenge of every session here.
pub(super) const CHALLENGE: [u8; 32] = [9; 32];

pub(super) fn submission(customer: &str, charge: u8, order: &SignedOrder, card: Card) -> Submission {
    Submission {
        session: session(customer, order, &[Factor::Knowledge]),
        charge: charge_id(charge),
        order: order.clone(),
        card: card.id(),
        ticket: bytes::Bytes::new(),
        consent: None,
        device_confirmation: None,
        actor: Actor::Source("192.0.2.1".parse().unwrap()),
    }
}

/// A session for an order, in which these factors were proved and no device, begun at the start.
pub(super) fn session(customer: &str, order: &SignedOrder, factors: &[Factor]) -> SignedIn {
    SignedIn {
        id: Digest::of(b"a token"),
        customer: customer.parse().unwrap(),
        order: Some(OrderToPay {
            digest: order.digest,
            amount: order.order.amount,
            category: order.order.merchant.category,
        }),
        factors: factors.to_vec(),
        device: None,
        challenge: CHALLENGE,
        expires_at: start() + AuthLimits::default().session_total.get(),
    }
}

/// What the table `policy` of a configuration says.
pub(super) fn policy(table: &str) -> Policy {
    toml::from_str::<PolicyConfig>(table).unwrap().policy(true).unwrap()
}

pub(super) fn charge_id(number: u8) -> ChargeId {
    ChargeId::from_random([number; 16])
}
