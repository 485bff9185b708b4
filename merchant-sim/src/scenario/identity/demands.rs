//! A shop's acquirer demands more than the bank: the payment is declined, and goes through once the
//! cardholder has proved more.

use anyhow::{Context as _, Result};
use proto::authorization::Factor::{Knowledge, Passkey, Possession};
use proto::pb;

use super::{Visitor, paid};
use crate::scenario::stage::Stage;
use crate::shop::Placed;

/// What either bank lets pass with one factor, in minor units.
const AMOUNT: i64 = 90_000;

/// The shop whose category the acquirer demands two kinds and a consent for.
const PEARLS: usize = 3;

pub(super) async fn play(stage: &mut Stage<'_>, direct: &mut Visitor<'_>, relayed: &mut Visitor<'_>) -> Result<()> {
    stepped_up(stage, direct).await?;
    stepped_up(stage, relayed).await?;
    consented(stage, direct).await
}

/// A password, and then a device beside it, which also consents.
async fn stepped_up(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let at = visitor.bank_id();
    let mut visit = visitor.visit(stage, PEARLS, AMOUNT, &[Knowledge]).await?;
    stage.ensure(&format!("{at}: enough for the bank"), visit.session()?.can_pay, "the session can't pay");
    let got = paid(&visitor.app(), visitor.charge(&visit).await?).await;
    stage.refusal(&format!("{at}: a password alone"), "AUTHENTICATION_INSUFFICIENT", &got);
    stage.check(&format!("{at}: it counts as an attempt"), "OPEN after 1", &standing(stage, &visit.placed).await?);
    let (token, digest) = (visit.token()?, visit.placed.signed.digest);
    let stepped = visitor.wallet.step_up(&token, Possession, Some(&digest)).await.context("stepping up")?;
    visit.reached.session = Some(stepped);
    let got = paid(&visitor.app(), visitor.charge(&visit).await?).await;
    stage.check(&format!("{at}: stepped up with the device"), "APPROVED", &got);
    stage.check(&format!("{at}: the order"), "APPROVED after 1", &standing(stage, &visit.placed).await?);
    Ok(())
}

/// A passkey is two kinds, and no consent.
async fn consented(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let visit = visitor.visit(stage, PEARLS, AMOUNT, &[Passkey]).await?;
    let got = paid(&visitor.app(), visitor.charge(&visit).await?).await;
    stage.refusal("a passkey without a consent", "AUTHENTICATION_INSUFFICIENT", &got);
    let mut charge = visitor.charge(&visit).await?;
    charge.consent = Some(visitor.wallet.consent(&charge, &visit.placed.signed, visit.reached.challenge)?);
    let got = paid(&visitor.app(), charge).await;
    stage.check("a passkey with the device's consent", "APPROVED", &got);
    Ok(())
}

/// The order's state and attempts, as the shop sees them.
async fn standing(stage: &Stage<'_>, placed: &Placed) -> Result<String> {
    let order = stage.shop(PEARLS)?.shop.order(placed.id.as_str()).await.context("GetOrder")?;
    let state = pb::OrderState::as_str_name(&order.state());
    Ok(format!("{} after {}", state.trim_start_matches("ORDER_STATE_"), order.attempts))
}
