//! Embodiment 1, steps S01 to S07: the device reads the order off the shop's payment page, and the
//! issuer asks the acquirer directly.

use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::pb;

use super::agreement::agree;
use super::stage::{SignedIn, Stage, TOLD_TIME, card_that, ending, micros, short};
use crate::device::{self, Credentials, Paid};
use crate::report::Step;
use crate::sample::{customers, money};
use crate::shop::{self, Placed};

/// What the shopper buys for, in minor units.
const AMOUNT: i64 = 129_900;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold_checks();
    let placed = create(stage).await?;
    let scanned = scan(stage, &placed).await?;
    let signed_in = sign_in(stage, placed, scanned).await?;
    let paid = charge(stage, &signed_in).await?;
    let (app, open) = (stage.app.clone(), stage.shop(0)?);
    agree(stage, open, &app, &signed_in, &paid).await
}

/// S01, the shop's half.
async fn create(stage: &mut Stage<'_>) -> Result<Placed> {
    let open = stage.shop(0)?;
    let begin = Instant::now();
    let placed = open.shop.place(AMOUNT).await?;
    let order = &placed.signed.order;
    let life = order.expires_at.duration_since(order.created_at)?;
    stage.step(Step {
        number: "S01",
        from: format!("merchant {}", open.shop.merchant().id),
        to: format!("acquirer {}", order.acquirer),
        call: "OrderService.CreateOrder",
        what: format!(
            "order {} over {}, signed, payable for {} min\npayment page {}",
            order.id,
            order.amount,
            life.as_secs() / 60,
            placed.payment_url
        ),
        micros: micros(begin),
    });
    let directory = shop::directory(stage.topology())?;
    let acquirer = directory.acquirer(&order.acquirer).context("the order's acquirer is not in the directory")?;
    let verified = acquirer.verify::<pb::Order>(&placed.signed.signed, order.created_at);
    stage.check("the order is signed by its acquirer", "yes", &verified.map_or_else(|e| e.to_string(), |()| yes()));
    Ok(placed)
}

/// S01, the device's half.
async fn scan(stage: &mut Stage<'_>, placed: &Placed) -> Result<device::Scanned> {
    let begin = Instant::now();
    let scanned = device::scan(&stage.browser, &placed.payment_url).await?;
    stage.step(Step {
        number: "S01",
        from: "device browser".to_owned(),
        to: format!("acquirer {}", placed.signed.order.acquirer),
        call: "GET payment page, read QR code",
        what: format!("QR code version {} with a link of {} characters", scanned.qr_version, scanned.link.len()),
        micros: micros(begin),
    });
    let same = scanned.order.signed == placed.signed.signed;
    stage.ensure("the QR code holds the order byte for byte as it was signed", same, "another order");
    let good = device::check(&scanned.order, money(AMOUNT)?, SystemTime::now());
    stage.check("the device finds nothing wrong with it", "yes", &good.map_or_else(|e| e.to_string(), |()| yes()));
    let page = stage.browser.fetch(&placed.payment_url).await?;
    let header = |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let policy = header("content-security-policy");
    stage.ensure("the page allows no script", policy.contains("default-src 'none'"), &format!("policy: {policy}"));
    let cache = header("cache-control");
    stage.ensure("the page is not to be stored", cache.contains("no-store"), &format!("cache-control: {cache}"));
    Ok(scanned)
}

/// S02 to S04.
async fn sign_in(stage: &mut Stage<'_>, placed: Placed, scanned: device::Scanned) -> Result<SignedIn> {
    let issuer = format!("issuer {}", stage.issuer()?.id);
    let customer = stage.customer(customers::EVERYDAY)?;
    let order = scanned.order.signed.to_pb();
    let step = |number, call, what, begin| Step {
        number,
        from: "device app".to_owned(),
        to: issuer.clone(),
        call,
        what,
        micros: micros(begin),
    };
    let begin = Instant::now();
    let challenge = stage.app.start(Some(order)).await.context("StartAuthentication")?;
    let what = format!("the bank verified the order's signature; challenge {}", challenge.id);
    stage.step(step("S02", "IssuerAuth.StartAuthentication", what, begin));

    let begin = Instant::now();
    let session = stage.app.verify(&challenge, &Credentials::from(customer)).await;
    let session = session.context("VerifyIdentity")?;
    let what = "national id, user code and password; a session that can pay this order and no other".to_owned();
    stage.step(step("S03", "IssuerAuth.VerifyIdentity", what, begin));
    stage.ensure("the session can pay", session.can_pay, "it cannot");

    let begin = Instant::now();
    let options = stage.app.card_options(session.session_token.clone()).await.context("ListCardOptions")?;
    let first: Vec<String> = options.iter().take(2).map(describe).collect();
    let what = format!("{} card options, masked: {}, …", options.len(), first.join(", "));
    stage.step(step("S04", "CardSelection.ListCardOptions", what, begin));
    let count = customer.cards().count();
    stage.check("every card is offered", &count.to_string(), &options.len().to_string());
    let shown = format!("{options:?}");
    let masked = customer.cards().all(|card| !shown.contains(&card.pan) && !shown.contains(&card.pan[..12]));
    stage.ensure("no card number is shown", masked, "a card number is in the options");
    Ok(SignedIn { placed, token: session.session_token, options, ticket: Bytes::new() })
}

/// S05 to S07.
async fn charge(stage: &mut Stage<'_>, signed_in: &SignedIn) -> Result<Paid> {
    let open = stage.shop(0)?;
    let issuer = format!("issuer {}", stage.issuer()?.id);
    let acquirer = format!("acquirer {}", signed_in.placed.signed.order.acquirer);
    let card = card_that(stage.customer(customers::EVERYDAY)?, "approves")?;
    let request = signed_in.charge(card)?;
    let charge_id = request.charge_id.clone();
    let begin = Instant::now();
    let held = stage.app.submit(request).await.context("SubmitCharge")?;
    stage.step(Step {
        number: "S05",
        from: "device app".to_owned(),
        to: issuer.clone(),
        call: "CardSelection.SubmitCharge",
        what: format!("{charge_id} with \"{}\" ending {}: the funds are held", card.label, &card.pan[12..]),
        micros: micros(begin),
    });
    let begin = Instant::now();
    let paid = stage.app.watch(signed_in.token.clone(), &charge_id).await.context("WatchCharge")?;
    let states: Vec<String> =
        paid.states.iter().map(|state| short(state.as_str_name(), "CHARGE_STATE_").to_lowercase()).collect();
    stage.step(Step {
        number: "S06",
        from: issuer.clone(),
        to: acquirer.clone(),
        call: "Authorization.Authorize",
        what: format!(
            "{} under the order's own key; seen at the bank: {}",
            paid.charge.authorization_id,
            states.join(", ")
        ),
        micros: micros(begin),
    });
    stage.step(Step {
        number: "S07",
        from: acquirer.clone(),
        to: issuer,
        call: "the reply, seen by WatchCharge",
        what: format!("{} with approval code {}", ending(Ok(paid.clone())).to_lowercase(), paid.charge.approval_code),
        micros: micros(begin),
    });
    let event = open.inbox.paid(&signed_in.placed.id, TOLD_TIME).await.context("the shop was not told")?;
    stage.step(Step {
        number: "S07",
        from: acquirer,
        to: format!("merchant {}", open.shop.merchant().id),
        call: "MerchantNotification.NotifyOrderEvent",
        what: format!("event {}, signature verified: the order is paid", event.id()),
        micros: micros(begin),
    });
    stage.check("the charge is the one that was submitted", &charge_id, &held.charge_id);
    stage.check("the payment ends well", "APPROVED", &ending(Ok(paid.clone())));
    Ok(paid)
}

pub(super) fn describe(option: &pb::CardOption) -> String {
    format!("\"{}\" {} ending {}", option.label, option.brand, option.last_four)
}

fn yes() -> String {
    "yes".to_owned()
}
