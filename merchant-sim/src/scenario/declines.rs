//! Cards that the card network declines, and what follows: another card, or a failed order.

use anyhow::{Context as _, Result};
use proto::pb;

use super::agreement::available;
use super::stage::{Stage, TOLD_TIME, card_that, ending, short};
use crate::sample::customers;
use crate::topology::Card;

/// What is tried to be paid, in minor units.
const AMOUNT: i64 = 60_000;

/// After so many declines an order fails.
const DECLINES_MAX: usize = 5;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    each_reason(stage).await?;
    another_card(stage).await?;
    too_many(stage).await?;
    no_answer(stage).await
}

/// The customer's cards that the network declines, one for each reason.
fn declining(stage: &Stage<'_>) -> Result<Vec<(&'static str, Card)>> {
    let reasons = ["INSUFFICIENT_FUNDS", "DO_NOT_HONOR", "LOST_CARD", "STOLEN_CARD", "SUSPECTED_FRAUD", "CVV_MISMATCH"];
    let customer = stage.customer(customers::EVERYDAY)?;
    let cards = &stage.topology().test_cards;
    let find = |reason: &'static str| {
        let declined = |card: &&Card| {
            cards.iter().any(|test| test.pan == card.pan && test.declined_for.as_deref() == Some(reason))
        };
        let card = customer.cards().find(declined).with_context(|| format!("no test card for {reason}"))?;
        Ok((reason, card.clone()))
    };
    reasons.into_iter().map(find).collect()
}

async fn each_reason(stage: &mut Stage<'_>) -> Result<()> {
    let customer = stage.customer(customers::EVERYDAY)?;
    for (reason, card) in declining(stage)? {
        let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
        let answer = stage.app.pay(signed_in.charge(&card)?).await;
        stage.check(&format!("the test card ending {}", &card.pan[12..]), reason, &ending(answer));
    }
    Ok(())
}

async fn another_card(stage: &mut Stage<'_>) -> Result<()> {
    let open = stage.shop(0)?;
    let customer = stage.customer(customers::EVERYDAY)?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let (reason, declined) = declining(stage)?.swap_remove(2);
    stage.check("a card that is declined", reason, &ending(stage.app.pay(signed_in.charge(&declined)?).await));
    let option = declined.among(&signed_in.options).context("the card is not offered")?.card_option_id.clone();
    let options = stage.app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let moved = available(&signed_in.options, &option) - available(&options, &option);
    stage.check("its hold is released", "0", &moved.to_string());
    let good = signed_in.charge(card_that(customer, "approves")?)?;
    stage.check("then another card, for the same order", "APPROVED", &ending(stage.app.pay(good).await));
    let paid = open.inbox.paid(&signed_in.placed.id, TOLD_TIME).await;
    stage.ensure("the shop is told that it is paid", paid.is_some(), "it was not told");
    let events = open.inbox.of(&signed_in.placed.id);
    let states: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event.position, short(event.state.as_str_name(), "ORDER_STATE_")))
        .collect();
    stage.check("the shop was told of both, in order", "1 OPEN, 2 APPROVED", &states.join(", "));
    Ok(())
}

async fn too_many(stage: &mut Stage<'_>) -> Result<()> {
    let open = stage.shop(0)?;
    let customer = stage.customer(customers::EVERYDAY)?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    for (_, card) in declining(stage)?.into_iter().take(DECLINES_MAX) {
        stage.app.pay(signed_in.charge(&card)?).await.context("a declined payment")?;
    }
    let order = open.shop.order(signed_in.placed.id.as_str()).await.context("GetOrder")?;
    let state = format!("{} after {}", short(order.state().as_str_name(), "ORDER_STATE_"), order.attempts);
    stage.check("an order after five declines", "FAILED after 5", &state);
    let good = signed_in.charge(card_that(customer, "approves")?)?;
    stage.check("a good card after that", "ORDER_FAILED", &ending(stage.app.pay(good).await));
    let cancel = open.shop.cancel(signed_in.placed.id.as_str()).await.context("CancelOrder")?;
    stage.check("cancelling it", "ALREADY_FAILED", &short(cancel.as_str_name(), "CANCEL_OUTCOME_"));
    let failed = |event: &proto::event::OrderEvent| event.state == pb::OrderState::Failed;
    let told = open.inbox.wait_for(&signed_in.placed.id, TOLD_TIME, failed).await;
    stage.check(
        "the shop is told with the fifth event",
        "5",
        &told.map_or("never".to_owned(), |e| e.position.to_string()),
    );
    Ok(())
}

/// The network says nothing in time: the acquirer declines, and reverses whatever comes later.
async fn no_answer(stage: &mut Stage<'_>) -> Result<()> {
    let customer = stage.customer(customers::EVERYDAY)?;
    stage.working("two cards whose network does not answer in time; the acquirer waits for 5 s");
    let silent = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let late = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let (silent, late) = tokio::join!(
        stage.app.pay(silent.charge(card_that(customer, "never answers")?)?),
        stage.app.pay(late.charge(card_that(customer, "answers too late")?)?),
    );
    stage.done();
    stage.check("a network that never answers", "NETWORK_UNAVAILABLE", &ending(silent));
    stage.check("a network that answers too late", "NETWORK_UNAVAILABLE", &ending(late));
    Ok(())
}
