//! A platform that lies about results, and what a real issuer makes of it: the word of the acquirer counts,
//! however long that takes.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use proto::pb;

use super::agreement::available;
use super::branch::Branch;
use super::relayed::BASALT;
use super::stage::{SignedIn, Stage, card_that, ending, short, sign_in};
use crate::device::Checkouts;
use crate::hostile::{HostileRelay, Line, RawBank, Trick, verdict};
use crate::topology::{Card, Customer};

/// What each payment is over, in minor units.
const AMOUNT: i64 = 21_000;

/// Plays the tricks on a branch of the bank that is fresh and runs.
pub(super) async fn play(stage: &mut Stage<'_>, branch: &mut Branch) -> Result<()> {
    branch.start(SystemTime::now()).await?;
    let relay = HostileRelay::start(&branch.topology).await?;
    let customer = stage.bank(BASALT)?.everyday()?;
    let good = card_that(customer, "approves")?;
    let declining = customer.cards().find(|card| card.label == "Test do not honor").context("no card that declines")?;

    let (approval, decline) = (recorded(stage, good).await?, recorded(stage, declining).await?);
    stage.check("recorded before: an approval", "APPROVED", &verdict(&approval)?);
    stage.check("recorded before: a decline", "DO_NOT_HONOR", &verdict(&decline)?);
    let cases = [
        ("an honest relay", Trick::None, good, "APPROVED, no question, APPROVED"),
        ("a result with one bit changed", Trick::AlterResult, good, "APPROVED, after a question, APPROVED"),
        (
            "an old decline for a new approval",
            Trick::Swap(decline.clone()),
            good,
            "APPROVED, after a question, APPROVED",
        ),
        (
            "an old approval for a new decline",
            Trick::Swap(approval.clone()),
            declining,
            "DO_NOT_HONOR, after a question, OPEN",
        ),
        (
            "a request relayed twice, both answers dropped",
            Trick::RepeatAndDrop,
            good,
            "APPROVED, after a question, APPROVED",
        ),
        (
            "an old approval for a request that was kept",
            Trick::KeepAndSwap(approval),
            good,
            "NEVER_RECEIVED, after a question, OPEN",
        ),
        (
            "an old decline for a request that was kept",
            Trick::KeepAndSwap(decline),
            good,
            "NEVER_RECEIVED, after a question, OPEN",
        ),
    ];
    for (name, trick, card, expected) in cases {
        one(stage, branch, &relay, Case { name, trick, customer, card, expected }).await?;
    }
    for card in [good, declining] {
        let seen = relay.has_seen(card.pan.as_bytes());
        stage.ensure(&format!("the relay has not seen the card ending {}", &card.pan[12..]), !seen, "it has");
    }
    // It does see what stands on the outside, which shows that the search is not blind.
    stage.ensure("it has seen the bank's id", relay.has_seen(BASALT.as_bytes()), "it has not");
    branch.stop().await
}

struct Case<'c> {
    name: &'c str,
    trick: Trick,
    customer: &'c Customer,
    card: &'c Card,
    /// How the charge ends, whether that took a question, and the order's state.
    expected: &'c str,
}

async fn one(stage: &mut Stage<'_>, branch: &Branch, relay: &HostileRelay, case: Case<'_>) -> Result<()> {
    let Case { name, trick, customer, card, expected } = case;
    let app = branch.app()?;
    let open = stage.shop(0)?;
    let placed = open.shop.place(AMOUNT).await?;
    let checkouts = Checkouts::of(stage.topology())?;
    let ticket = checkouts.ticket(placed.signed.signed.to_pb(), BASALT).await.context("SelectBank")?;
    let signed_in: SignedIn = sign_in(&app, customer, placed, ticket).await?;
    let charge = signed_in.charge(card)?;
    let questions = relay.questions();
    let is_honest = matches!(trick, Trick::None);
    relay.next(trick);
    let paid = app.pay(charge.clone()).await.context("a payment")?;
    let asked = if relay.questions() > questions { "after a question" } else { "no question" };
    let order = open.shop.order(signed_in.placed.id.as_str()).await.context("GetOrder")?;
    let state = short(order.state().as_str_name(), "ORDER_STATE_");
    let approved = paid.charge.state() == pb::ChargeState::Approved;
    let got = format!("{}, {asked}, {state}", ending(Ok(paid)));
    if is_honest {
        stage.check(name, expected, &got)
    } else {
        stage.refusal(name, expected, &got)
    }
    let options = app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let moved = available(&signed_in.options, &charge.card_option_id) - available(&options, &charge.card_option_id);
    let expected = if approved { AMOUNT } else { 0 };
    stage.check("  the account agrees with the acquirer", &expected.to_string(), &moved.to_string());
    Ok(())
}

/// A result as a relay could have kept it from an earlier payment of the same bank.
async fn recorded(stage: &Stage<'_>, card: &Card) -> Result<pb::AuthorizeResponse> {
    let topology = stage.topology();
    let issuer = topology.issuer(BASALT)?;
    let bank = RawBank::of(issuer)?;
    let placed = stage.order(AMOUNT).await?;
    let order = placed.signed.signed.to_pb();
    let ticket = Checkouts::of(topology)?.ticket(order, BASALT).await.context("SelectBank")?;
    let request = bank.sign(&bank.draft(&placed.signed, card, &ticket)?);
    Line::to_platform(topology, &issuer.tls)?.authorize(request).await.context("Authorize")
}
