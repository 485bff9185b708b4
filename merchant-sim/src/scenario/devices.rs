//! What a device may not do: signing in with wrong secrets, and charging what isn't its own.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::channel::{device_channel, within};
use proto::ids::{ChallengeId, ChargeId, DeviceId};
use proto::pb;
use proto::pb::order_service_client::OrderServiceClient;
use proto::pb::verify_identity_request::Proof;

use super::stage::{Stage, TOLD_TIME, card_that, ending};
use crate::device::app::charge_request;
use crate::device::authenticators::SoftDevice;
use crate::device::{Challenge, Credentials};
use crate::sample::{customers, national_id};

/// An ordinary amount, in minor units.
const AMOUNT: i64 = 30_000;

/// Failed passwords before a lock, as the contracts' limits have it.
const TRIES_BEFORE_LOCK: usize = 5;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    secrets(stage).await?;
    other_proofs(stage).await?;
    tampered_orders(stage).await?;
    sessions(stage).await?;
    cards(stage).await?;
    other_customers(stage).await
}

async fn secrets(stage: &mut Stage<'_>) -> Result<()> {
    let typed = Credentials::from(stage.customer(customers::SMALL_LINE)?);
    let wrong = [
        ("a wrong password", Credentials { password: "not the password".to_owned(), ..typed.clone() }),
        ("a wrong user code", Credentials { user_code: "somebody-else".to_owned(), ..typed.clone() }),
        ("a customer whom the bank does not know", Credentials { national_id: national_id::nth(999), ..typed.clone() }),
    ];
    for (name, typed) in wrong {
        stage.refused(name, "IDENTITY_NOT_VERIFIED", stage.app.sign_in(None, &typed).await);
    }
    let given = stage.app.start(None).await.context("StartAuthentication")?;
    let unknown = Challenge { id: ChallengeId::from_random([9; 16]).to_string(), ..given };
    stage.refused("a challenge that was never given", "CHALLENGE_NOT_FOUND", stage.app.verify(&unknown, &typed).await);
    stage.refused("after that the right secrets", "accepted", stage.app.sign_in(None, &typed).await);

    let typed = Credentials::from(stage.customer(customers::LOCKED_OUT)?);
    stage.working("five wrong passwords in a row");
    let wrong = Credentials { password: "not the password".to_owned(), ..typed.clone() };
    for _ in 0..TRIES_BEFORE_LOCK {
        // Each is refused like any wrong password; the check below is about what they lead to.
        let _ = stage.app.sign_in(None, &wrong).await;
    }
    stage.done();
    let locked = stage.app.sign_in(None, &typed).await;
    stage.refused("the right password after five wrong ones", "IDENTITY_NOT_VERIFIED", locked);
    Ok(())
}

async fn other_proofs(stage: &mut Stage<'_>) -> Result<()> {
    let challenge = stage.app.start(None).await.context("StartAuthentication")?;
    let stranger = SoftDevice::generate()?.bound_as(DeviceId::from_random([3; 16]));
    let proof = Proof::Possession(stranger.possession(&challenge.bytes, None));
    let answer = stage.app.prove(&challenge, proof).await;
    stage.refused("a device that is not bound", "IDENTITY_NOT_VERIFIED", answer);
    let channel = device_channel(&stage.issuer()?.endpoint, &stage.topology().authority)?;
    let request = stage.shop(0)?.shop.request(AMOUNT)?;
    let answer = OrderServiceClient::new(channel).create_order(within(request, TOLD_TIME)).await;
    stage.refused("an order made at the issuer's port", "RPC_UNKNOWN", answer);
    Ok(())
}

async fn tampered_orders(stage: &mut Stage<'_>) -> Result<()> {
    let placed = stage.order(AMOUNT).await?;
    let good = placed.signed.signed.to_pb();
    let cheaper = tamper(&good, |order| {
        if let Some(amount) = order.amount.as_mut() {
            amount.minor_units = 100;
        }
    })?;
    stage.refused("an order made cheaper", "ORDER_SIGNATURE_INVALID", stage.app.start(Some(cheaper)).await);
    let payee = tamper(&good, |order| {
        if let Some(merchant) = order.merchant.as_mut() {
            merchant.display_name = "Somebody Else".to_owned();
        }
    })?;
    stage.refused("an order for another payee", "ORDER_SIGNATURE_INVALID", stage.app.start(Some(payee)).await);
    let elsewhere = tamper(&good, |order| order.acquirer_id = "acquirer-nowhere".to_owned())?;
    stage.refused("an order of an unknown acquirer", "ACQUIRER_UNKNOWN", stage.app.start(Some(elsewhere)).await);
    let garbage = pb::Signed { body: Bytes::from_static(b"\x0a\x05hello"), ..good };
    stage.refused("an order that is none", "INVALID_FIELD", stage.app.start(Some(garbage)).await);
    Ok(())
}

/// The order with another content under the old signature.
fn tamper(signed: &pb::Signed, change: impl FnOnce(&mut pb::Order)) -> Result<pb::Signed> {
    use prost::Message as _;
    let mut order = pb::Order::decode(signed.body.clone())?;
    change(&mut order);
    Ok(pb::Signed { body: order.encode_to_vec().into(), ..signed.clone() })
}

async fn sessions(stage: &mut Stage<'_>) -> Result<()> {
    let customer = stage.customer(customers::EVERYDAY)?;
    let nonsense = Bytes::from(vec![1; 32]);
    stage.refused("a session that does not exist", "SESSION_INVALID", stage.app.card_options(nonsense).await);
    let session = stage.app.sign_in(None, &Credentials::from(customer)).await.context("sign-in")?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let request = signed_in.charge(card_that(customer, "approves")?)?;
    let without = pb::SubmitChargeRequest { session_token: session.session_token.clone(), ..request.clone() };
    stage.refused("paying in a session without an order", "SESSION_CANNOT_PAY", stage.app.submit(without).await);
    let other = stage.order(AMOUNT).await?;
    let other = pb::SubmitChargeRequest { order: Some(other.signed.signed.to_pb()), ..request.clone() };
    stage.refused("paying another order in the session", "SESSION_OF_OTHER_ORDER", stage.app.submit(other).await);
    let mut order = signed_in.placed.signed.signed.to_pb();
    order.signature = Bytes::from(vec![5; 64]);
    let forged = pb::SubmitChargeRequest { order: Some(order), ..request };
    stage.refused("the order under a forged signature", "ORDER_SIGNATURE_INVALID", stage.app.submit(forged).await);
    let token = session.session_token;
    stage.refused("ending a session", "accepted", stage.app.end(&token).await);
    stage.refused("a session that has ended", "SESSION_INVALID", stage.app.card_options(token).await);
    Ok(())
}

async fn cards(stage: &mut Stage<'_>) -> Result<()> {
    let customer = stage.customer(customers::UNUSABLE)?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    for behaviour in ["blocked by the bank", "expired in 2021", "its account is kept in USD"] {
        let request = signed_in.charge(card_that(customer, behaviour)?)?;
        stage.refused(&format!("a card: {behaviour}"), "CARD_NOT_USABLE", stage.app.submit(request).await);
    }
    let customer = stage.customer(customers::SMALL_LINE)?;
    let over = stage.sign_in(customer, stage.order(customers::SMALL_LINE_UNITS + 1).await?).await?;
    let request = over.charge(card_that(customer, "approves")?)?;
    stage.refused("one cent over the credit line", "INSUFFICIENT_FUNDS", stage.app.submit(request).await);
    let exact = stage.sign_in(customer, stage.order(customers::SMALL_LINE_UNITS).await?).await?;
    let request = exact.charge(card_that(customer, "approves")?)?;
    stage.check("the credit line to the cent", "APPROVED", &ending(stage.app.pay(request).await));
    Ok(())
}

async fn other_customers(stage: &mut Stage<'_>) -> Result<()> {
    let (lin, wu) = (stage.customer(customers::EVERYDAY)?, stage.customer(customers::UNUSABLE)?);
    let placed = stage.order(AMOUNT).await?;
    let lin_in = stage.sign_in(lin, placed.clone()).await?;
    let wu_in = stage.sign_in(wu, placed).await?;
    let mine = card_that(lin, "approves")?;
    let theirs = mine.among(&lin_in.options).context("the card is not offered")?;
    let order = wu_in.placed.signed.signed.to_pb();
    let request = charge_request(&wu_in.token, order, &theirs.card_option_id)?;
    stage.refused("another customer's card", "CARD_OPTION_NOT_FOUND", stage.app.submit(request).await);
    let paid = lin_in.charge(mine)?;
    let charge_id = paid.charge_id.clone();
    stage.check("its holder pays with it", "APPROVED", &ending(stage.app.pay(paid).await));
    stage.refused(
        "another customer's charge",
        "CHARGE_NOT_FOUND",
        stage.app.charge(wu_in.token.clone(), &charge_id).await,
    );
    let unknown = ChargeId::from_random([4; 16]).to_string();
    stage.refused("a charge that does not exist", "CHARGE_NOT_FOUND", stage.app.charge(lin_in.token, &unknown).await);
    Ok(())
}
