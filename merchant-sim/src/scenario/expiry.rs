//! An order whose time passes: it takes a minute, so that it begins early and is looked at last.

use std::time::Duration;

use anyhow::{Context as _, Result};
use proto::pb;

use super::stage::{SignedIn, Stage, TOLD_TIME, card_that, ending, short, wait_for_state};
use crate::sample::customers;
use crate::shop::Placed;

/// The shortest life of an order.
const LIFE: Duration = Duration::from_secs(60);

/// What the order is over, in minor units.
const AMOUNT: i64 = 15_000;

/// Makes the order, and signs a customer in for it while that is possible.
pub(super) async fn begin(stage: &Stage<'_>) -> Result<SignedIn> {
    let shop = &stage.shop(0)?.shop;
    let life = proto::time::duration_to_pb(LIFE);
    let request = pb::CreateOrderRequest { expires_after: Some(life), ..shop.request(AMOUNT)? };
    let placed = Placed::parse(shop.create(request).await.context("CreateOrder")?)?;
    stage.sign_in(stage.customer(customers::EVERYDAY)?, placed).await
}

/// Waits for its end.
pub(super) async fn finish(stage: &mut Stage<'_>, signed_in: SignedIn) -> Result<()> {
    let open = stage.shop(0)?;
    let id = &signed_in.placed.id;
    stage.working("waiting until an order expires");
    wait_for_state(&open.shop, id.as_str(), pb::OrderState::Expired, LIFE + TOLD_TIME).await?;
    stage.done();
    let told = open.inbox.wait_for(id, TOLD_TIME, |event| event.state == pb::OrderState::Expired).await;
    stage.ensure("the shop is told that it has expired", told.is_some(), "it was not told");
    let customer = stage.customer(customers::EVERYDAY)?;
    // The issuer allows its clock to differ by a minute, so that it lets the acquirer decide.
    let late = stage.app.pay(signed_in.charge(card_that(customer, "approves")?)?).await;
    stage.check("paying it all the same", "ORDER_EXPIRED", &ending(late));
    let cancel = open.shop.cancel(id.as_str()).await.context("CancelOrder")?;
    stage.check("cancelling it", "ALREADY_EXPIRED", &short(cancel.as_str_name(), "CANCEL_OUTCOME_"));
    let page = stage.browser.fetch(&signed_in.placed.payment_url).await?;
    stage.check("its payment page", "410", &page.status.to_string());
    Ok(())
}
