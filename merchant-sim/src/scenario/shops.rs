//! What a shop may not do, and what it gets to hear when it cancels.

use anyhow::{Context as _, Result};
use mesh::channel::within;
use prost::Message as _;
use proto::pb;
use proto::pb::merchant_notification_client::MerchantNotificationClient;

use super::stage::{Stage, TOLD_TIME, card_that, ending, reason, short, wait_until_authorizing};
use crate::device;
use crate::sample::customers;
use crate::shop::{Shop, acquirer_channel, identity};

/// An ordinary amount, in minor units.
const AMOUNT: i64 = 25_000;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    malformed(stage).await?;
    references(stage).await?;
    others(stage).await?;
    notifications(stage).await?;
    cancelling(stage).await?;
    pages(stage).await
}

type Spoil = fn(&mut pb::CreateOrderRequest);

async fn malformed(stage: &mut Stage<'_>) -> Result<()> {
    let cases: [(&str, &str, Spoil); 11] = [
        ("an amount of zero", "INVALID_FIELD", |r| set_amount(r, 0)),
        ("a negative amount", "INVALID_FIELD", |r| set_amount(r, -100)),
        ("an amount over the shop's limit", "MERCHANT_LIMIT", |r| set_amount(r, 5_000_001)),
        ("a currency that nobody knows", "INVALID_FIELD", |r| set_currency(r, "XTS")),
        ("a currency that the shop may not take", "MERCHANT_LIMIT", |r| set_currency(r, "USD")),
        ("lines that do not add up", "INVALID_FIELD", |r| r.lines.iter_mut().for_each(|line| line.quantity = 2)),
        ("no lines", "INVALID_FIELD", |r| r.lines.clear()),
        ("a return address that is not the shop's", "INVALID_FIELD", |r| {
            r.return_url = "https://elsewhere.example/thanks".to_owned();
        }),
        ("a return address whose host only begins like the shop's", "INVALID_FIELD", |r| {
            r.return_url = "https://lumen-books.example.evil.example/thanks".to_owned();
        }),
        ("a life of 59 seconds", "INVALID_FIELD", |r| {
            r.expires_after = Some(prost_types::Duration { seconds: 59, nanos: 0 });
        }),
        ("a message of 70,000 bytes", "MESSAGE_TOO_LARGE", |r| r.delivery_hint = "x".repeat(70_000)),
    ];
    let shop = &stage.shop(0)?.shop;
    for (name, expected, spoil) in cases {
        let mut request = shop.request(AMOUNT)?;
        spoil(&mut request);
        stage.refused(name, expected, shop.create(request).await);
    }
    Ok(())
}

fn set_amount(request: &mut pb::CreateOrderRequest, units: i64) {
    let amounts = request.amount.iter_mut().chain(request.lines.iter_mut().filter_map(|line| line.unit_price.as_mut()));
    amounts.for_each(|amount| amount.minor_units = units);
}

fn set_currency(request: &mut pb::CreateOrderRequest, code: &str) {
    let amounts = request.amount.iter_mut().chain(request.lines.iter_mut().filter_map(|line| line.unit_price.as_mut()));
    amounts.for_each(|amount| amount.currency_code = code.to_owned());
}

async fn references(stage: &mut Stage<'_>) -> Result<()> {
    let shop = &stage.shop(0)?.shop;
    let request = shop.request(AMOUNT)?;
    let first = shop.create(request.clone()).await.context("CreateOrder")?;
    let again = shop.create(request.clone()).await.context("CreateOrder with the same reference")?;
    let same = first.signed_order == again.signed_order;
    stage.ensure("the same order twice is one order, byte for byte", same, "two orders");
    let mut other = request;
    set_amount(&mut other, AMOUNT + 100);
    stage.refused("another order under the same reference", "REFERENCE_REUSED", shop.create(other).await);
    Ok(())
}

/// Nobody sees or touches another shop's orders.
async fn others(stage: &mut Stage<'_>) -> Result<()> {
    let (first, second) = (stage.shop(0)?, stage.shop(1)?);
    let placed = first.shop.place(AMOUNT).await?;
    stage.refused("another shop's order, to see it", "ORDER_NOT_FOUND", second.shop.order(placed.id.as_str()).await);
    stage.refused(
        "another shop's order, to cancel it",
        "ORDER_NOT_FOUND",
        second.shop.cancel(placed.id.as_str()).await,
    );
    let unlisted = &stage.topology().outsiders.unlisted_merchant;
    let unlisted = Shop::presenting(stage.topology(), first.shop.merchant(), unlisted)?;
    let request = unlisted.request(AMOUNT)?;
    stage.refused("a shop that has no contract", "MERCHANT_UNKNOWN", unlisted.create(request).await);

    // A shop that tells another shop that it has been paid.
    let topology = stage.topology();
    let own = identity(topology, &second.shop.merchant().tls)?;
    let server = first.shop.merchant();
    let expected = mesh::tls::ExpectedServer::member(mesh::identity::Role::Merchant, server.id.parse()?);
    let channel = mesh::channel::MeshChannel::new(&server.notifications, own.clone(), expected)?;
    let forged = pb::NotifyOrderEventRequest { event: Some(placed.signed.signed.to_pb()) };
    let answer = MerchantNotificationClient::new(channel).notify_order_event(within(forged, TOLD_TIME)).await;
    stage.refused("a shop that notifies another shop", "ROLE_NOT_ALLOWED", answer);
    let authorize = pb::AuthorizeRequest { route: None, request: None };
    let channel = acquirer_channel(topology, second.shop.merchant(), own)?;
    let mut client = pb::authorization_client::AuthorizationClient::new(channel);
    let answer = client.authorize(within(authorize, TOLD_TIME)).await;
    stage.refused("a shop that asks for an authorization itself", "ROLE_NOT_ALLOWED", answer);
    Ok(())
}

/// What a shop's own server refuses to believe, even from its acquirer.
async fn notifications(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let open = stage.shop(0)?;
    let server = open.shop.merchant();
    let acquirer = identity(topology, &topology.acquirer_of(server)?.tls)?;
    let expected = mesh::tls::ExpectedServer::member(mesh::identity::Role::Merchant, server.id.parse()?);
    let channel = mesh::channel::MeshChannel::new(&server.notifications, acquirer, expected)?;
    let mut client = MerchantNotificationClient::new(channel);
    let placed = open.shop.place(AMOUNT).await?;
    let amount = placed.signed.order.amount;
    let event = pb::OrderEvent {
        event_id: format!("{}.1", placed.id),
        position: 1,
        order_id: placed.id.to_string(),
        merchant_id: server.id.clone(),
        merchant_reference: "cart".to_owned(),
        order_digest: placed.signed.digest.to_bytes(),
        occurred_at: Some(proto::time::to_pb(std::time::SystemTime::now())),
        state: pb::OrderState::Expired.into(),
        authorization: None,
        amount: Some(amount.to_pb()),
    };
    let forged = pb::Signed { body: event.encode_to_vec().into(), ..placed.signed.signed.to_pb() };
    for (name, expected, event) in [
        ("an event under another message's signature", "SIGNATURE_INVALID", forged.clone()),
        ("a notification of 70,000 bytes", "MESSAGE_TOO_LARGE", pb::Signed { body: vec![0; 70_000].into(), ..forged }),
    ] {
        let notification = pb::NotifyOrderEventRequest { event: Some(event) };
        stage.refused(name, expected, client.notify_order_event(within(notification, TOLD_TIME)).await);
    }
    stage.ensure("the shop has believed none of it", open.inbox.of(&placed.id).is_empty(), "it has an event");
    Ok(())
}

async fn cancelling(stage: &mut Stage<'_>) -> Result<()> {
    let open = stage.shop(0)?;
    let answer = |result: Result<pb::CancelOutcome, tonic::Status>| match result {
        Ok(outcome) => short(outcome.as_str_name(), "CANCEL_OUTCOME_"),
        Err(status) => reason(&status),
    };
    let placed = stage.order(AMOUNT).await?;
    let id = placed.id.clone();
    stage.check("cancelling an open order", "CANCELLED", &answer(open.shop.cancel(id.as_str()).await));
    stage.check("cancelling it again", "CANCELLED", &answer(open.shop.cancel(id.as_str()).await));
    let told = open.inbox.wait_for(&id, TOLD_TIME, |event| event.state == pb::OrderState::Cancelled).await;
    stage.ensure("the shop is told of the cancellation", told.is_some(), "it was not told");
    let customer = stage.customer(customers::EVERYDAY)?;
    let signed_in = stage.sign_in(customer, placed).await?;
    let request = signed_in.charge(card_that(customer, "approves")?)?;
    stage.check("paying a cancelled order", "ORDER_CANCELLED", &ending(stage.app.pay(request).await));

    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let id = signed_in.placed.id.clone();
    let request = signed_in.charge(card_that(customer, "approves")?)?;
    stage.check("paying an order", "APPROVED", &ending(stage.app.pay(request).await));
    stage.check("cancelling a paid order", "TOO_LATE", &answer(open.shop.cancel(id.as_str()).await));

    // A slow card leaves time to cancel while the network decides.
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let id = signed_in.placed.id.clone();
    let request = signed_in.charge(card_that(customer, "approves after 2 s")?)?;
    let charge_id = request.charge_id.clone();
    stage.app.submit(request).await.context("SubmitCharge")?;
    stage.working("a card whose bank takes two seconds");
    wait_until_authorizing(&open.shop, id.as_str()).await?;
    stage.check(
        "cancelling while an authorization is under way",
        "PENDING",
        &answer(open.shop.cancel(id.as_str()).await),
    );
    let again = signed_in.charge(card_that(customer, "approves")?)?;
    stage.refused("a second charge meanwhile", "CHARGE_IN_PROGRESS", stage.app.submit(again).await);
    let paid = stage.app.watch(signed_in.token.clone(), &charge_id).await;
    stage.done();
    stage.check("the authorization is approved all the same", "APPROVED", &ending(paid));
    stage.check("and then it is too late", "TOO_LATE", &answer(open.shop.cancel(id.as_str()).await));
    Ok(())
}

/// Payment pages and links that are none.
async fn pages(stage: &mut Stage<'_>) -> Result<()> {
    let placed = stage.order(AMOUNT).await?;
    let unknown = proto::ids::OrderId::from_random([7; 16]);
    let address = placed.payment_url.replace(placed.id.as_str(), unknown.as_str());
    let page = stage.browser.fetch(&address).await?;
    stage.check("the page of an order that does not exist", "404", &page.status.to_string());

    let scanned = device::scan(&stage.browser, &placed.payment_url).await?;
    let parse = |text: &str| match proto::link::parse_payment_link(text) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string().split(':').next().unwrap_or_default().to_owned(),
    };
    let cut = &scanned.link[..scanned.link.len() - 9];
    stage.check("a QR code whose end is missing", "this payment link is damaged", &parse(cut));
    let address = scanned.link.replace("#o=", "#q=");
    stage.check("a QR code of something else", "this is no payment link", &parse(&address));
    let shown = crate::sample::money(AMOUNT - 100)?;
    let wrong = device::check(&scanned.order, shown, std::time::SystemTime::now());
    stage.check(
        "an order over another amount than shown",
        "refused",
        if wrong.is_err() { "refused" } else { "accepted" },
    );
    Ok(())
}
