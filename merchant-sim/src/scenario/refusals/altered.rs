//! What passed through the relay and was altered, swapped or played again on the way.
//!
//! The attacker here holds the platform's own certificate and key, and stands where the platform stands.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::clock::{Entropy as _, SystemEntropy};
use prost::Message as _;
use proto::ids::AuthorizationId;
use proto::pb;

use super::noted::{Noted, attempt};
use super::{AMOUNT, Speaker, ended, flipped, untouched};
use crate::hostile::{Line, RawBank};
use crate::scenario::agreement::available;
use crate::scenario::stage::{Stage, card_that, ending};

/// What a request gets that was answered before.
const RECORDED: &str = "the recorded answer, byte for byte";

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    requests(stage).await?;
    cards(stage).await?;
    replays(stage).await?;
    orders(stage).await
}

/// A request with other bytes, under the old signature or under another one.
async fn requests(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let (basalt, nimbus) = (Speaker::basalt(stage)?, Speaker::nimbus(stage)?);
    let relay = Line::to_acquirer(topology, &topology.platform.tls)?;
    let (placed, other) = (stage.order(AMOUNT).await?, stage.order(AMOUNT).await?);
    let draft = basalt.draft(stage, &placed).await?;
    let good = basalt.bank.sign(&draft);

    let inside = |change: &dyn Fn(&mut pb::AuthorizationRequest)| -> Result<pb::AuthorizeRequest> {
        let mut altered = good.clone();
        let signed = altered.request.as_mut().context("a request without a body")?;
        let mut request = pb::AuthorizationRequest::decode(signed.body.clone())?;
        change(&mut request);
        signed.body = request.encode_to_vec().into();
        Ok(altered)
    };
    let mut outside = good.clone();
    outside.route.as_mut().context("a request without a route")?.order_digest = other.signed.digest.to_bytes();
    let mut swapped = inside(&|request| request.order = Some(other.signed.signed.to_pb()))?;
    swapped.route.clone_from(&outside.route);
    let platform = RawBank::called(&topology.platform.id, &topology.platform.signing)?;
    let cases = [
        ("a request with another sealed card", inside(&|r| r.sealed_card = flipped(&r.sealed_card))?),
        ("a request that proves more than it did", inside(&|r| r.factors.push(2))?),
        ("a request with another order, outside and inside", swapped),
        ("a request under the platform's own signature", platform.sign(&draft)),
        ("a request under another bank's signature", nimbus.bank.sign(&draft)),
    ];
    for (name, request) in cases {
        let call = async { ended(relay.authorize(request).await) };
        attempt(stage, name, "SIGNATURE_INVALID", Noted::Elsewhere, call).await?;
    }
    let call = async { ended(relay.authorize(outside).await) };
    attempt(stage, "a request with another order outside", "ROUTE_MISMATCH", Noted::Elsewhere, call).await?;
    untouched(stage, &placed).await?;
    untouched(stage, &other).await?;
    let name = "the request as the bank sent it";
    let call = async { ended(relay.authorize(good).await) };
    attempt(stage, name, "APPROVED", Noted::Elsewhere, call).await
}

/// A sealed card is good for one authorization of one order.
async fn cards(stage: &mut Stage<'_>) -> Result<()> {
    let basalt = Speaker::basalt(stage)?;
    let (one, two) = (stage.order(AMOUNT).await?, stage.order(AMOUNT).await?);
    let (from, mut into) = (basalt.draft(stage, &one).await?, basalt.draft(stage, &two).await?);
    into.request.sealed_card = from.request.sealed_card;
    let name = "a sealed card that was cut out of another order's request";
    attempt(stage, name, "CARD_UNREADABLE", Noted::Result, basalt.send(&into)).await?;
    let mut again = basalt.draft(stage, &two).await?;
    let id = AuthorizationId::from_random(SystemEntropy::new().id()?).to_string();
    again.route.authorization_id.clone_from(&id);
    again.request.authorization_id = id;
    let name = "a sealed card under another authorization of the order";
    attempt(stage, name, "CARD_UNREADABLE", Noted::Result, basalt.send(&again)).await
}

/// The same bytes twice, by the relay and by the bank's own program.
async fn replays(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let bank = stage.bank(super::BASALT)?;
    let basalt = Speaker::basalt(stage)?;
    let hostile = Line::to_acquirer(topology, &topology.platform.tls)?;
    let open = stage.shop(0)?;
    let placed = stage.order(AMOUNT).await?;
    let draft = basalt.draft(stage, &placed).await?;
    let request = basalt.bank.sign(&draft);
    let first = basalt.relay.authorize(request.clone()).await.context("Authorize")?;
    stage.check("a request, sent once", "APPROVED", &ended(Ok(first.clone())));
    open.inbox.paid(&placed.id, crate::scenario::stage::TOLD_TIME).await.context("the shop was not told")?;
    let order = open.shop.order(placed.id.as_str()).await.context("GetOrder")?;
    for (name, line) in [
        ("the same request, sent again by the bank", &basalt.relay),
        ("the same request, played again by the relay", &hostile),
    ] {
        let again = line.authorize(request.clone()).await.context("Authorize again")?;
        let got = if again == first { RECORDED.to_owned() } else { format!("another {}", ended(Ok(again))) };
        stage.refusal(name, RECORDED, &got);
    }
    let after = open.shop.order(placed.id.as_str()).await.context("GetOrder")?;
    let events = open.inbox.of(&placed.id).len();
    stage.ensure("the order is as it was, with one event", order == after && events == 1, "something moved");

    let mut reused = draft;
    reused.request.sealed_card = basalt.draft(stage, &placed).await?.request.sealed_card;
    let name = "another request under the same authorization id";
    attempt(stage, name, "AUTHORIZATION_ID_REUSED", Noted::Acquirer, basalt.send(&reused)).await?;

    let signed_in = {
        let placed = stage.order(AMOUNT).await?;
        let ticket = basalt.ticket(stage, &placed.signed).await?;
        bank.sign_in(placed, ticket).await?
    };
    let charge = signed_in.charge(card_that(bank.everyday()?, "approves")?)?;
    stage.check("a charge at the bank itself", "APPROVED", &ending(bank.app.pay(charge.clone()).await));
    stage.refused("the same charge, played again", "accepted", bank.app.submit(charge.clone()).await);
    let options = bank.app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let moved = available(&signed_in.options, &charge.card_option_id) - available(&options, &charge.card_option_id);
    stage.check("the account went down once", &AMOUNT.to_string(), &moved.to_string());
    Ok(())
}

/// Orders that are not what the acquirer signed, offered to the platform and by a bank to the acquirer.
async fn orders(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let basalt = Speaker::basalt(stage)?;
    let placed = stage.order(AMOUNT).await?;
    let mut cheaper = pb::Order::decode(placed.signed.signed.body.clone())?;
    cheaper.amount.as_mut().context("an order without an amount")?.minor_units = 100;
    let cheaper = pb::Signed { body: cheaper.encode_to_vec().into(), ..placed.signed.signed.to_pb() };

    let checkouts = crate::device::Checkouts::of(topology)?;
    let refused = checkouts.ticket(cheaper.clone(), &basalt.issuer.id).await;
    stage.refused("a ticket for an order that was made cheaper", "ORDER_SIGNATURE_INVALID", refused);

    let altered = crate::shop::Placed {
        signed: proto::order::SignedOrder::parse(cheaper).context("the altered order")?,
        ..placed.clone()
    };
    let genuine = basalt.ticket(stage, &placed.signed).await?;
    let mut draft = basalt.bank.draft(&altered.signed, &basalt.card, &genuine)?;
    let name = "the altered order with the ticket of the true one";
    attempt(stage, name, "TICKET_OF_OTHER_ORDER", Noted::Relay, basalt.send(&draft)).await?;
    draft.route.ticket = Bytes::new();
    let request = basalt.bank.sign(&draft);
    let direct = Line::to_acquirer(topology, &basalt.issuer.tls)?;
    let call = async { ended(direct.authorize(request).await) };
    let name = "the altered order, by the bank to the acquirer";
    attempt(stage, name, "ORDER_ALTERED", Noted::Elsewhere, call).await
}
