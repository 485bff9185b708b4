//! Sessions and the orders that they were begun with, and what is one customer's alone.

use prost::Message as _;
use proto::{authorization::Factor, ids::ChargeId, order::SignedOrder, pb};
use tonic::Status;

use super::{
    holder::{Holder, Session},
    world::Bank,
};
use crate::{attacks::Attack, customers::Card};

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = other_orders(bank);
    attacks.extend(other_customers(bank));
    attacks.extend(paid(bank));
    attacks
}

/// A session of the first customer's for one order, and another order.
async fn two(bank: &Bank) -> (Session<'_>, SignedOrder) {
    let (order, other) = (bank.order().await, bank.order().await);
    (bank.holders[0].strong(Some(&order)).await, other)
}

/// Pays in this session, as if it were for the other order.
async fn pay_as_if(bank: &Bank, session: Session<'_>, other: &SignedOrder) -> Result<String, Status> {
    let session = Session { order: Some(other.clone()), ..session };
    let paid = session.holder.wire.submit(session.charge().await).await;
    bank.is_untouched(other).await;
    paid
}

fn other_orders(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    vec![
        bank.control("a session pays the order that it was made for", "APPROVED", async {
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            bank.pays(&session, session.charge().await).await
        }),
        bank.attack("pays another order than the session was made for", "SESSION_OF_OTHER_ORDER", async {
            let (session, other) = two(bank).await;
            pay_as_if(bank, session, &other).await
        }),
        bank.attack("pays the session's order with its amount changed", "SESSION_OF_OTHER_ORDER", async {
            let (session, _) = two(bank).await;
            let mut request = session.charge().await;
            let order = session.order.as_ref().unwrap();
            let mut says = pb::Order::decode(order.signed.body.clone()).unwrap();
            says.amount.as_mut().unwrap().minor_units = 1;
            request.order = Some(pb::Signed { body: says.encode_to_vec().into(), ..order.signed.to_pb() });
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(order).await;
            paid
        }),
        bank.attack("pays in a session without an order", "SESSION_CANNOT_PAY", async {
            let (session, other) = (holder.strong(None).await, bank.order().await);
            pay_as_if(bank, session, &other).await
        }),
        bank.attack("gives a session another order by a step-up", "INVALID_FIELD", async {
            let (session, other) = two(bank).await;
            let request = pb::StartAuthenticationRequest {
                order: Some(other.signed.to_pb()),
                session_token: session.token.clone(),
                session_use: session.uses("IssuerAuth/StartAuthentication"),
            };
            holder.wire.start(request).await.map(|_| "a challenge".into())
        }),
        bank.attack("pays another order after a step-up with that order's signature", "IDENTITY_NOT_VERIFIED", async {
            let order = bank.order().await;
            let other = bank.order().await;
            let session = holder.sign_in(Some(&order), &[Factor::Passkey]).await;
            let challenge = session.step_up().await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, Some(&other))).await
        }),
        bank.attack("signs in for an order that its acquirer did not sign", "ORDER_SIGNATURE_INVALID", async {
            let order = bank.order().await;
            let mut says = pb::Order::decode(order.signed.body.clone()).unwrap();
            says.amount.as_mut().unwrap().minor_units = 1;
            let altered = pb::Signed { body: says.encode_to_vec().into(), ..order.signed.to_pb() };
            let request = pb::StartAuthenticationRequest { order: Some(altered), ..Default::default() };
            holder.wire.start(request).await.map(|_| "a challenge".into())
        }),
    ]
}

/// The second customer takes what is the first one's.
fn other_customers(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("pays with another customer's card", "CARD_OPTION_NOT_FOUND", async {
            let order = bank.order().await;
            let theirs = holder.strong(None).await.option(Card::Good).await;
            let session = thief.strong(Some(&order)).await;
            let mut request = pb::SubmitChargeRequest { card_option_id: theirs, ..session.charge().await };
            request.consent = Some(thief.phone.sign_consent(&session.consents(&request)));
            let paid = thief.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("pays in another customer's session with a consent of one's own", "CONSENT_INVALID", async {
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            let mut request = session.charge().await;
            request.consent = Some(thief.phone.sign_consent(&session.consents(&request)));
            let paid = thief.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("pays with a token that nobody has", "SESSION_INVALID", async {
            let order = bank.order().await;
            let session = thief.strong(Some(&order)).await;
            let request = pb::SubmitChargeRequest { session_token: vec![7; 32].into(), ..session.charge().await };
            thief.wire.submit(request).await
        }),
        bank.attack("pays with half a token", "SESSION_INVALID", async {
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            let request =
                pb::SubmitChargeRequest { session_token: session.token.slice(..16), ..session.charge().await };
            thief.wire.submit(request).await
        }),
        bank.attack("pays with a token's digest, as it is kept", "SESSION_INVALID", async {
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            let digest = proto::digest::Digest::of(&session.token).to_bytes();
            let request = pb::SubmitChargeRequest { session_token: digest, ..session.charge().await };
            thief.wire.submit(request).await
        }),
    ]
}

/// A charge that is paid, and whoever else asks for it.
fn paid(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("looks at another customer's charge", "CHARGE_NOT_FOUND", async {
            let (_, charge_id) = pays(bank, holder).await;
            let session = thief.strong(None).await;
            let session_use = session.uses("CardSelection/GetCharge");
            let request = pb::GetChargeRequest { session_token: session.token.clone(), charge_id, session_use };
            thief.wire.look(request).await.map(|charge| format!("{charge:?}"))
        }),
        bank.attack("follows another customer's charge", "CHARGE_NOT_FOUND", async {
            let (_, charge_id) = pays(bank, holder).await;
            let session = thief.strong(None).await;
            let session_use = session.uses("CardSelection/WatchCharge");
            let request = pb::WatchChargeRequest { session_token: session.token.clone(), charge_id, session_use };
            thief.wire.watch(request).await
        }),
        bank.attack("pays a paid order again", "ORDER_ALREADY_CHARGED", async {
            let (session, _) = pays(bank, holder).await;
            holder.wire.submit(session.charge().await).await
        }),
        bank.attack("uses a charge's id for another card", "CHARGE_ID_REUSED", async {
            let (session, charge_id) = pays(bank, holder).await;
            let card_option_id = session.option(Card::Poor).await;
            let mut request = pb::SubmitChargeRequest { charge_id, card_option_id, ..session.charge().await };
            request.consent = Some(holder.phone.sign_consent(&session.consents(&request)));
            holder.wire.submit(request).await
        }),
        bank.attack("uses a charge's id for another order", "CHARGE_ID_REUSED", async {
            let (_, charge_id) = pays(bank, holder).await;
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            let mut request = pb::SubmitChargeRequest { charge_id, ..session.charge().await };
            request.consent = Some(holder.phone.sign_consent(&session.consents(&request)));
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
    ]
}

/// Pays an order, and returns the session and the charge's id.
async fn pays<'a>(bank: &Bank, holder: &'a Holder) -> (Session<'a>, String) {
    let order = bank.order().await;
    let session = holder.strong(Some(&order)).await;
    let request = session.charge().await;
    let charge_id = request.charge_id.clone();
    assert!(charge_id.parse::<ChargeId>().is_ok());
    assert_eq!(bank.pays(&session, request).await.unwrap(), "APPROVED");
    (session, charge_id)
}
