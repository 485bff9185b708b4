//! Embodiment 2, steps S11 to S20: the shopper picks one of many banks at the platform, which relays
//! between the bank and the acquirer.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use proto::pb;

use super::agreement::agree;
use super::direct::describe;
use super::stage::{Bank, SignedIn, Stage, TOLD_TIME, card_that, ending, micros, short};
use crate::device::{self, AppLink, Checkouts, Credentials, Paid, Picked, Picker, Taken};
use crate::network::OpenShop;
use crate::report::Step;
use crate::sample::PLATFORM;
use crate::shop::Placed;
use crate::topology::Card;

/// What the shopper of the first payment buys for, in minor units.
const AMOUNT: i64 = 88_800;

/// What the shopper of the second one buys for, in cents.
const DOLLARS: i64 = 4_550;

/// The banks that the platform relays for.
pub(super) const BASALT: &str = "bank-basalt";
pub(super) const NIMBUS: &str = "bank-nimbus";

/// The first payment: a shopper who clicks, and a bank of the second kind of cards.
pub(super) async fn by_clicking(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold_checks();
    let (open, bank) = (stage.shop(0)?, stage.bank(BASALT)?);
    let placed = create(stage, open, AMOUNT).await?;
    let picker = choose(stage, &placed).await?;
    let link = click(stage, &picker, &bank).await?;
    let taken = redeem(stage, &bank, &link, &placed).await?;
    let signed_in = sign_in(stage, &bank, placed, taken).await?;
    let card = card_that(bank.everyday()?, "approves")?;
    let paid = charge(stage, open, &bank, &signed_in, card).await?;
    agree(stage, open, &bank.app, &signed_in, &paid).await
}

/// The second payment: an app that picks by gRPC, another bank, another shop and another currency.
pub(super) async fn by_calling(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold_checks();
    let (open, bank) = (stage.shop(2)?, stage.bank(NIMBUS)?);
    let placed = create(stage, open, DOLLARS).await?;
    let picker = choose(stage, &placed).await?;
    let link = call(stage, &picker, &bank, &placed).await?;
    let taken = redeem(stage, &bank, &link, &placed).await?;
    let signed_in = sign_in(stage, &bank, placed, taken).await?;
    let card = bank.everyday()?.cards().find(|card| card.label == "Daily Debit").context("no card in dollars")?;
    let paid = charge(stage, open, &bank, &signed_in, card).await?;
    agree(stage, open, &bank.app, &signed_in, &paid).await
}

/// The third payment: the app scanned the QR code, and gets its ticket with the order itself.
pub(super) async fn by_scanning(stage: &mut Stage<'_>) -> Result<()> {
    let (open, bank) = (stage.shop(1)?, stage.bank(BASALT)?);
    let placed = open.shop.place(AMOUNT).await?;
    let scanned = device::scan(&stage.browser, &placed.payment_url).await?;
    let checkouts = Checkouts::of(stage.topology())?;
    let ticket = checkouts.ticket(scanned.order.signed.to_pb(), &bank.issuer.id).await.context("SelectBank")?;
    stage.ensure("a ticket for the order of a QR code", !ticket.is_empty(), "it is empty");
    let signed_in = bank.sign_in(placed, ticket).await?;
    let paid = bank.app.pay(signed_in.charge(card_that(bank.everyday()?, "approves")?)?).await;
    stage.check("the payment ends well", "APPROVED", &ending(paid.clone()));
    open.inbox.paid(&signed_in.placed.id, TOLD_TIME).await.context("the shop was not told")?;
    agree(stage, open, &bank.app, &signed_in, &paid?).await
}

/// S11, the shop's half.
async fn create(stage: &mut Stage<'_>, open: &OpenShop, minor_units: i64) -> Result<Placed> {
    let begin = Instant::now();
    let placed = open.shop.place(minor_units).await?;
    let order = &placed.signed.order;
    stage.step(Step {
        number: "S11",
        from: format!("merchant {}", open.shop.merchant().id),
        to: format!("acquirer {}", order.acquirer),
        call: "OrderService.CreateOrder",
        what: format!("order {} over {}, signed\npayment page {}", order.id, order.amount, placed.payment_url),
        micros: micros(begin),
    });
    Ok(placed)
}

/// S11, the device's half: the click that makes the acquirer publish the order.
async fn choose(stage: &mut Stage<'_>, placed: &Placed) -> Result<Picker> {
    let begin = Instant::now();
    let picker = Picker::by_payment_page(&stage.browser, &placed.payment_url).await?;
    stage.step(Step {
        number: "S11",
        from: "device browser".to_owned(),
        to: format!("acquirer {}", placed.signed.order.acquirer),
        call: "POST \"choose your bank\"",
        what: format!("Checkout.PublishOrder at {}; led to {}", PLATFORM.id, picker.address),
        micros: micros(begin),
    });
    let is_platforms = picker.address.starts_with(&format!("{}/", stage.topology().platform.pages));
    stage.ensure("the picker is a page of the platform", is_platforms, &picker.address);
    Ok(picker)
}

/// S12 by the pages: the picker, and the click on a bank.
async fn click(stage: &mut Stage<'_>, picker: &Picker, bank: &Bank<'_>) -> Result<AppLink> {
    let begin = Instant::now();
    let choices = picker.choices(&stage.browser).await?;
    let names: Vec<&str> = choices.iter().map(|choice| choice.text.as_str()).collect();
    stage.step(Step {
        number: "S12",
        from: "device browser".to_owned(),
        to: format!("platform {}", PLATFORM.id),
        call: "GET bank picker",
        what: names.join(" | "),
        micros: micros(begin),
    });
    let begin = Instant::now();
    let link = match picker.pick(&stage.browser, &bank.issuer.id).await? {
        Picked::App(link) => link,
        Picked::Refused(status) => bail!("the bank could not be picked: {status}"),
    };
    stage.step(Step {
        number: "S12",
        from: "device browser".to_owned(),
        to: format!("platform {}", PLATFORM.id),
        call: "POST the bank",
        what: format!("{} opens by its app link {}, with a single-use code", bank.issuer.name_en, link.address),
        micros: micros(begin),
    });
    let all = stage.topology().issuers.len().to_string();
    let enabled = choices.iter().filter(|choice| choice.enabled).count();
    stage.check("every bank can be picked", &all, &enabled.to_string());
    stage.check("the app link is the bank's own", &bank.issuer.app_link, &link.address);
    Ok(link)
}

/// S12 by gRPC.
async fn call(stage: &mut Stage<'_>, picker: &Picker, bank: &Bank<'_>, placed: &Placed) -> Result<AppLink> {
    let checkouts = Checkouts::of(stage.topology())?;
    let to = format!("platform {}", PLATFORM.id);
    let begin = Instant::now();
    let seen = checkouts.look(picker.checkout_id()?).await.context("GetCheckout")?;
    let names: Vec<&str> = seen.bank_options.iter().map(|option| option.name_en.as_str()).collect();
    stage.step(Step {
        number: "S12",
        from: "device app".to_owned(),
        to: to.clone(),
        call: "Checkout.GetCheckout",
        what: format!("bank options: {}", names.join(", ")),
        micros: micros(begin),
    });
    let begin = Instant::now();
    let link = checkouts.pick(picker.checkout_id()?, &bank.issuer.id).await.context("SelectBank")?;
    let link = AppLink::parse(&link)?;
    stage.step(Step {
        number: "S12",
        from: "device app".to_owned(),
        to,
        call: "Checkout.SelectBank",
        what: format!("{} opens by its app link {}, with a single-use code", bank.issuer.name_en, link.address),
        micros: micros(begin),
    });
    let amount = seen.amount.context("a checkout without an amount")?;
    let expected = placed.signed.order.amount.to_pb();
    stage.ensure("the platform shows the order's amount", amount == expected, &format!("{amount:?}"));
    Ok(link)
}

/// S12, the end: the bank's app takes the order and the ticket for its code.
async fn redeem(stage: &mut Stage<'_>, bank: &Bank<'_>, link: &AppLink, placed: &Placed) -> Result<Taken> {
    let checkouts = Checkouts::of(stage.topology())?;
    let begin = Instant::now();
    let taken = checkouts.take(&link.code).await?;
    stage.step(Step {
        number: "S12",
        from: format!("device app of {}", bank.issuer.id),
        to: format!("platform {}", PLATFORM.id),
        call: "Checkout.RedeemCode",
        what: format!("the signed order, and a ticket of {} bytes", taken.ticket.len()),
        micros: micros(begin),
    });
    let same = taken.order.signed == placed.signed.signed;
    stage.ensure("the app gets the order byte for byte as it was signed", same, "another order");
    let again = checkouts.redeem(&link.code, [9; 16]).await;
    stage.refused("the same code on another device", "CODE_NOT_FOUND", again);
    Ok(taken)
}

/// S13 to S15.
async fn sign_in(stage: &mut Stage<'_>, bank: &Bank<'_>, placed: Placed, taken: Taken) -> Result<SignedIn> {
    let customer = bank.everyday()?;
    let step = |number, call, what, begin| Step {
        number,
        from: "device app".to_owned(),
        to: format!("issuer {}", bank.issuer.id),
        call,
        what,
        micros: micros(begin),
    };
    let begin = Instant::now();
    let challenge = bank.app.start(Some(taken.order.signed.to_pb())).await.context("StartAuthentication")?;
    let what = format!("the bank verified the order's signature; challenge {}", challenge.id);
    stage.step(step("S13", "IssuerAuth.StartAuthentication", what, begin));

    let begin = Instant::now();
    let session = bank.app.verify(&challenge, &Credentials::from(customer)).await;
    let session = session.context("VerifyIdentity")?;
    let what = format!("{} with national id, user code and password", customer.name);
    stage.step(step("S14", "IssuerAuth.VerifyIdentity", what, begin));

    let begin = Instant::now();
    let options = bank.app.card_options(session.session_token.clone()).await.context("ListCardOptions")?;
    let first: Vec<String> = options.iter().take(2).map(describe).collect();
    let what = format!("{} card options, masked: {}, …", options.len(), first.join(", "));
    stage.step(step("S15", "CardSelection.ListCardOptions", what, begin));
    Ok(SignedIn { placed, token: session.session_token, options, ticket: taken.ticket })
}

/// S16 to S20.
async fn charge(
    stage: &mut Stage<'_>,
    open: &OpenShop,
    bank: &Bank<'_>,
    signed_in: &SignedIn,
    card: &Card,
) -> Result<Paid> {
    let issuer = format!("issuer {}", bank.issuer.id);
    let acquirer = format!("acquirer {}", signed_in.placed.signed.order.acquirer);
    let platform = format!("platform {}", PLATFORM.id);
    let before = stage.numbers().await?;
    let request = signed_in.charge(card)?;
    let charge_id = request.charge_id.clone();
    let begin = Instant::now();
    bank.app.submit(request).await.context("SubmitCharge")?;
    let step = |number, from: &str, to: &str, call, what, begin| Step {
        number,
        from: from.to_owned(),
        to: to.to_owned(),
        call,
        what,
        micros: micros(begin),
    };
    let what = format!("{charge_id} with \"{}\" ending {}: the funds are held", card.label, &card.pan[12..]);
    stage.step(step("S16", "device app", &issuer, "CardSelection.SubmitCharge", what, begin));

    let begin = Instant::now();
    let paid = bank.app.watch(signed_in.token.clone(), &charge_id).await.context("WatchCharge")?;
    let states = paid.states.iter().map(|state| short(state.as_str_name(), "CHARGE_STATE_").to_lowercase());
    let states = states.collect::<Vec<_>>().join(", ");
    let what = format!("{}, the card sealed to the acquirer, with the ticket", paid.charge.authorization_id);
    stage.step(step("S17", &issuer, &platform, "Authorization.Authorize", what, begin));
    let relayed = stage.numbers().await?.relayed() - before.relayed();
    let what = "issuer, acquirer, ticket and limits hold: the same bytes are relayed".to_owned();
    stage.step(step("S18", &platform, &acquirer, "Authorization.Authorize", what, begin));
    let what = format!("{} with approval code {}", ending(Ok(paid.clone())).to_lowercase(), paid.charge.approval_code);
    stage.step(step("S19", &acquirer, &platform, "the reply", what, begin));
    let event = open.inbox.paid(&signed_in.placed.id, TOLD_TIME).await.context("the shop was not told")?;
    let what = format!("event {}, signature verified: the order is paid", event.id());
    let merchant = format!("merchant {}", open.shop.merchant().id);
    stage.step(step("S19", &acquirer, &merchant, "MerchantNotification.NotifyOrderEvent", what, begin));
    let what = "the result is signed by the acquirer; the bank verified it".to_owned();
    stage.step(step("S20", &platform, &issuer, "the reply", what, begin));
    stage.step(step("S20", &issuer, "device app", "seen by WatchCharge", format!("seen at the bank: {states}"), begin));
    stage.check("the payment ends well", "APPROVED", &ending(Ok(paid.clone())));
    stage.check("it went through the relay, once", "1", &relayed.to_string());
    stage.ensure("it ended without a question", !paid.states.contains(&pb::ChargeState::Unknown), &states);
    Ok(paid)
}
