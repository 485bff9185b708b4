//! The same request twice moves money once; another request under the same id is refused.

use anyhow::{Context as _, Result};
use proto::pb;

use super::agreement::available;
use super::stage::{Stage, card_that, ending};
use crate::sample::customers;

/// What is paid, in minor units.
const AMOUNT: i64 = 45_000;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let customer = stage.customer(customers::EVERYDAY)?;
    let card = card_that(customer, "approves")?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let request = signed_in.charge(card)?;
    let charge_id = request.charge_id.clone();

    // Both at the same moment, as an app does that lost the first answer and was too quick.
    let (one, two) = tokio::join!(stage.app.submit(request.clone()), stage.app.submit(request.clone()));
    let (one, two) = (one.context("the first SubmitCharge")?, two.context("the second SubmitCharge")?);
    stage.check("one charge, submitted twice at the same moment, is one", &one.charge_id, &two.charge_id);
    let paid = stage.app.watch(signed_in.token.clone(), &charge_id).await.context("WatchCharge")?;
    stage.check("it is paid", "APPROVED", &ending(Ok(paid.clone())));
    let again = stage.app.submit(request.clone()).await.context("SubmitCharge again")?;
    let same =
        again.authorization_id == paid.charge.authorization_id && again.approval_code == paid.charge.approval_code;
    stage.ensure("submitted once more, it answers with the same approval", same, "another approval");
    let options = stage.app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let option = card.among(&signed_in.options).context("the card is not offered")?;
    let moved = available(&signed_in.options, &option.card_option_id) - available(&options, &option.card_option_id);
    stage.check("the credit line went down once", &AMOUNT.to_string(), &moved.to_string());

    let debit = card_that(customer, "approves").ok().filter(|other| other.pan != card.pan);
    let other = debit.map_or_else(|| customer.cards().find(|other| other.pan != card.pan), Some);
    let other = other.and_then(|other| other.among(&signed_in.options)).context("the customer has one card alone")?;
    let reused = pb::SubmitChargeRequest { card_option_id: other.card_option_id.clone(), ..request };
    stage.refused("the charge's id for another card", "CHARGE_ID_REUSED", stage.app.submit(reused).await);
    let fresh = signed_in.charge(card)?;
    stage.refused("a new charge for the paid order", "ORDER_ALREADY_CHARGED", stage.app.submit(fresh).await);
    let known = stage.shop(0)?.shop.order(signed_in.placed.id.as_str()).await.context("GetOrder")?;
    let known = known.last_authorization.context("GetOrder shows no authorization")?;
    stage.check("the acquirer knows of one authorization", &paid.charge.authorization_id, &known.authorization_id);
    Ok(())
}
