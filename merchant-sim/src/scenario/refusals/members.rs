//! Who may ask for what.

use anyhow::{Context as _, Result};
use bytes::Bytes;

use super::noted::{Noted, attempt};
use super::{AMOUNT, Speaker, ended, untouched};
use crate::hostile::{Line, RawBank};
use crate::scenario::stage::Stage;

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let placed = stage.order(AMOUNT).await?;
    names(stage, &placed).await?;
    callers(stage, &placed).await?;
    untouched(stage, &placed).await?;
    cards(stage).await?;
    questions(stage).await
}

/// A bank that names somebody else.
async fn names(stage: &mut Stage<'_>, placed: &crate::shop::Placed) -> Result<()> {
    let (basalt, nimbus) = (Speaker::basalt(stage)?, Speaker::nimbus(stage)?);
    let good = basalt.draft(stage, placed).await?;

    let mut other = good.clone();
    other.route.issuer_id.clone_from(&nimbus.issuer.id);
    other.request.issuer_id.clone_from(&nimbus.issuer.id);
    let name = "an issuer that names another issuer";
    attempt(stage, name, "ISSUER_MISMATCH", Noted::Relay, basalt.send(&other)).await?;
    let direct = Line::to_acquirer(stage.topology(), &basalt.issuer.tls)?;
    let name = "the same, directly at the acquirer";
    let straight = async { ended(direct.authorize(basalt.bank.sign(&other)).await) };
    attempt(stage, name, "ISSUER_MISMATCH", Noted::Elsewhere, straight).await?;
    let mut inside = good.clone();
    inside.request.issuer_id.clone_from(&nimbus.issuer.id);
    let name = "an issuer that names another issuer inside alone";
    attempt(stage, name, "ROUTE_MISMATCH", Noted::Acquirer, basalt.send(&inside)).await?;
    // The relay lets it through, because caller and outside agree; the key under it is another bank's.
    let name = "an issuer that signs with another issuer's key";
    let signed = nimbus.bank.sign(&good);
    let forged = async { ended(basalt.relay.authorize(signed).await) };
    attempt(stage, name, "SIGNATURE_INVALID", Noted::Acquirer, forged).await?;

    let mut nowhere = good;
    nowhere.route.acquirer_id = "acquirer-nowhere".to_owned();
    nowhere.request.acquirer_id = "acquirer-nowhere".to_owned();
    let name = "an acquirer that is not in the directory";
    attempt(stage, name, "ACQUIRER_UNKNOWN", Noted::Relay, basalt.send(&nowhere)).await
}

/// Callers who are no bank of the directory.
async fn callers(stage: &mut Stage<'_>, placed: &crate::shop::Placed) -> Result<()> {
    let topology = stage.topology();
    let basalt = Speaker::basalt(stage)?;
    let request = basalt.bank.sign(&basalt.draft(stage, placed).await?);
    let outsiders = &topology.outsiders;

    let unlisted = RawBank::called(crate::sample::UNLISTED_ISSUER, &outsiders.unlisted_issuer_signing)?;
    let own = unlisted.sign(&unlisted.draft(&placed.signed, &basalt.card, &Bytes::new())?);
    let line = Line::to_platform(topology, &outsiders.unlisted_issuer)?;
    let name = "a bank that the directory does not name";
    attempt(stage, name, "MEMBER_UNKNOWN", Noted::Relay, async { ended(line.authorize(own).await) }).await?;

    let merchant = topology.merchants.first().context("the network has no shop")?;
    let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
    for (name, own) in [
        ("a shop that calls the relay", &merchant.tls),
        ("an acquirer that calls the relay", &acquirer.tls),
        ("the operator who calls the relay", &topology.operator.tls),
    ] {
        let (line, request) = (Line::to_platform(topology, own)?, request.clone());
        let call = async { ended(line.authorize(request).await) };
        attempt(stage, name, "ROLE_NOT_ALLOWED", Noted::MembersPort, call).await?;
    }
    let line = Line::of_device(topology, &topology.platform.devices)?;
    let call = async { ended(line.authorize(request.clone()).await) };
    attempt(stage, "a device that asks for an authorization", "RPC_UNKNOWN", Noted::DevicesPort, call).await?;
    let line = Line::of_device(topology, &topology.platform.endpoint)?;
    let call = async { ended(line.authorize(request).await) };
    let name = "a device at the port for members";
    attempt(stage, name, "CONNECTION_REFUSED", Noted::Handshake, call).await
}

/// The import refuses such a card, so that only a bank without our program can try it.
async fn cards(stage: &mut Stage<'_>) -> Result<()> {
    let (basalt, nimbus) = (Speaker::basalt(stage)?, Speaker::nimbus(stage)?);
    let placed = stage.order(AMOUNT).await?;
    let ticket = basalt.ticket(stage, &placed.signed).await?;
    let draft = basalt.bank.draft(&placed.signed, &nimbus.card, &ticket)?;
    let name = "a card whose BIN belongs to another bank";
    attempt(stage, name, "BIN_NOT_OF_ISSUER", Noted::Result, basalt.send(&draft)).await
}

/// What became of a request is told to the bank that sent it, and to nobody else.
async fn questions(stage: &mut Stage<'_>) -> Result<()> {
    let (basalt, nimbus) = (Speaker::basalt(stage)?, Speaker::nimbus(stage)?);
    let placed = stage.order(AMOUNT).await?;
    let sent = nimbus.bank.sign(&nimbus.draft(stage, &placed).await?);
    let paid = nimbus.relay.authorize(sent.clone()).await.context("Authorize")?;
    stage.check("another bank pays an order", "APPROVED", &ended(Ok(paid.clone())));

    let foreign = nimbus.bank.question(&sent)?;
    let call = async { ended(basalt.relay.resolve(foreign).await) };
    let name = "a question in that bank's name";
    attempt(stage, name, "ISSUER_MISMATCH", Noted::Relay, call).await?;
    let own = basalt.bank.question(&sent)?;
    let call = async { ended(basalt.relay.resolve(own).await) };
    let name = "a question for that id in one's own name";
    attempt(stage, name, "NEVER_RECEIVED", Noted::Result, call).await?;
    let asked = nimbus.relay.resolve(nimbus.bank.question(&sent)?).await.context("ResolveAuthorization")?;
    let same = asked.result == paid.result;
    stage.ensure("the bank itself still gets its result, byte for byte", same, &ended(Ok(asked)));
    let order = stage.shop(0)?.shop.order(placed.id.as_str()).await.context("GetOrder")?;
    stage.check("the order was approved once", "ORDER_STATE_APPROVED", order.state().as_str_name());
    Ok(())
}
