//! A bank that the operator suspends while its connections are open and its stream flows, and takes back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::channel::MeshChannel;
use proto::pb;
use proto::pb::bank_directory_client::BankDirectoryClient;
use proto::pb::watch_banks_response::Update;
use tokio::sync::oneshot;

use super::noted::{Noted, attempt};
use super::{AMOUNT, Speaker, ended, untouched};
use crate::device::{Checkouts, Picked, Picker};
use crate::hostile::line::platform_channel;
use crate::hostile::{Draft, Line};
use crate::operator::Operator;
use crate::scenario::relayed::NIMBUS;
use crate::scenario::stage::{Stage, card_that, ending, reason};
use crate::scenario::timing::{check_in_time, refused_in_time, time_until};
use crate::shop::identity;

/// How long a stream may flow before it is given up.
const STREAM_TIME: Duration = Duration::from_secs(60);

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let operator = Operator::of(stage.topology())?;
    let nimbus = Speaker::nimbus(stage)?;
    let paid = stage.order(AMOUNT).await?;
    let sent = nimbus.bank.sign(&nimbus.draft(stage, &paid).await?);
    let result = nimbus.relay.authorize(sent.clone()).await.context("Authorize")?;
    stage.check("the bank pays while it is active", "APPROVED", &ended(Ok(result.clone())));
    let placed = stage.order(AMOUNT).await?;
    let draft = nimbus.draft(stage, &placed).await?;
    let nonsense = nonsense(&nimbus, &draft);
    // A customer who has signed in, and holds a ticket.
    let bank = stage.bank(NIMBUS)?;
    let begun = stage.order(AMOUNT).await?;
    let ticket = nimbus.ticket(stage, &begun.signed).await?;
    let signed_in = bank.sign_in(begun, ticket).await?;

    suspend(stage, &operator, &nimbus, &nonsense).await?;
    let name = "a good request of the suspended bank";
    attempt(stage, name, "MEMBER_SUSPENDED", Noted::Relay, nimbus.send(&draft)).await?;
    let again = open_stream(stage, &nimbus).await.map(|_| ());
    stage.refused("a new stream of the suspended bank", "MEMBER_SUSPENDED", again);
    let asked = nimbus.relay.resolve(nimbus.bank.question(&sent)?).await;
    let same = asked.as_ref().is_ok_and(|asked| asked.result == result.result);
    stage.ensure("it still learns what became of its payment", same, &ended(asked));
    let charge = signed_in.charge(card_that(bank.everyday()?, "approves")?)?;
    stage.check(
        "its customer, who had signed in: declined, for certain",
        "NEVER_RECEIVED",
        &ending(bank.app.pay(charge).await),
    );
    picking(stage, &placed).await?;
    untouched(stage, &placed).await?;

    let begin = Instant::now();
    operator.resume(stage.topology(), NIMBUS).await?;
    let served = time_until(begin, async || probe(&nimbus.relay, &nonsense).await == "TICKET_MISSING").await;
    check_in_time(stage, "taken back: the relay serves it again", "served", served);
    let line = Line::to_acquirer(stage.topology(), &nimbus.issuer.tls)?;
    let served = time_until(begin, async || probe(&line, &nonsense).await == "SIGNATURE_INVALID").await;
    check_in_time(stage, "taken back: the acquirer listens to it again", "served", served);
    stage.check("the request that was refused, sent again", "APPROVED", &nimbus.send(&draft).await);
    Ok(())
}

/// Suspends the bank in the middle of everything, and takes the time of each effect.
async fn suspend(
    stage: &mut Stage<'_>,
    operator: &Operator,
    nimbus: &Speaker<'_>,
    nonsense: &pb::AuthorizeRequest,
) -> Result<()> {
    let mut stream = open_stream(stage, nimbus).await.map_err(|status| anyhow::anyhow!(status))?;
    let direct = Line::to_acquirer(stage.topology(), &nimbus.issuer.tls)?;
    let acquirer_before = probe(&direct, nonsense).await;
    stage.check("before: the acquirer listens to the bank, and judges", "SIGNATURE_INVALID", &acquirer_before);
    stage.check(
        "before: the relay listens to the bank, and judges",
        "TICKET_MISSING",
        &probe(&nimbus.relay, nonsense).await,
    );
    let (flows, flowing) = oneshot::channel();
    let reading = tokio::spawn(async move {
        let mut flows = Some(flows);
        let mut told = false;
        loop {
            match stream.message().await {
                Ok(Some(update)) => {
                    told |= says_suspended(&update);
                    if matches!(update.update, Some(Update::Head(_))) {
                        let _ = flows.take().map(|flows| flows.send(()));
                    }
                }
                Ok(None) => return (Instant::now(), "an end without a reason".to_owned(), told),
                Err(status) => return (Instant::now(), reason(&status), told),
            }
        }
    });
    tokio::time::timeout(STREAM_TIME, flowing).await.context("the stream does not flow")?.context("the stream")?;

    let begin = Instant::now();
    operator.suspend(stage.topology(), NIMBUS).await?;
    let relay = time_until(begin, async || probe(&nimbus.relay, nonsense).await == "MEMBER_SUSPENDED").await;
    refused_in_time(stage, "its live connection to the relay", "MEMBER_SUSPENDED", relay);
    let acquirer = time_until(begin, async || probe(&direct, nonsense).await == "MEMBER_SUSPENDED").await;
    refused_in_time(stage, "its live connection to the acquirer", "MEMBER_SUSPENDED", acquirer);
    let ended = tokio::time::timeout(STREAM_TIME, reading).await.context("the stream does not end")??;
    let (moment, reason, told) = ended;
    refused_in_time(stage, "its open stream ends", &reason, Some(moment - begin));
    stage.refusal("the reason at the stream's end", "MEMBER_SUSPENDED", &reason);
    stage.ensure("the last entry in it says so", told, "no such entry");
    Ok(())
}

/// A request without a ticket and with a signature of nothing: the relay refuses it for the one, an
/// acquirer for the other, and neither keeps anything of it.
fn nonsense(nimbus: &Speaker<'_>, good: &Draft) -> pb::AuthorizeRequest {
    let mut draft = good.clone();
    draft.route.ticket = Bytes::new();
    let mut request = nimbus.bank.sign(&draft);
    if let Some(signed) = &mut request.request {
        signed.signature = Bytes::from(vec![7; 64]);
    }
    request
}

/// What a server thinks of it.
async fn probe(line: &Line, nonsense: &pb::AuthorizeRequest) -> String {
    ended(line.authorize(nonsense.clone()).await)
}

/// Nobody is led to a suspended bank.
async fn picking(stage: &mut Stage<'_>, placed: &crate::shop::Placed) -> Result<()> {
    let picker = Picker::by_payment_page(&stage.browser, &placed.payment_url).await?;
    let choices = picker.choices(&stage.browser).await?;
    let choice = choices.iter().find(|choice| choice.bank == NIMBUS).context("the bank is not on the picker")?;
    let shown = format!("{}, {}", choice.text, if choice.enabled { "enabled" } else { "disabled" });
    stage.ensure("the picker shows it, paused and disabled", !choice.enabled && choice.text.contains("Paused"), &shown);
    let picked = match picker.pick(&stage.browser, NIMBUS).await? {
        Picked::App(link) => link.address,
        Picked::Refused(status) => status.to_string(),
    };
    stage.refusal("picking it by the page all the same", "409", &picked);
    let checkouts = Checkouts::of(stage.topology())?;
    let picked = checkouts.pick(picker.checkout_id()?, NIMBUS).await;
    stage.refused("picking it by gRPC", "BANK_UNAVAILABLE", picked);
    let ticket = checkouts.ticket(placed.signed.signed.to_pb(), NIMBUS).await;
    stage.refused("a ticket with the order itself", "BANK_UNAVAILABLE", ticket);
    Ok(())
}

async fn open_stream(
    stage: &Stage<'_>,
    nimbus: &Speaker<'_>,
) -> Result<tonic::Streaming<pb::WatchBanksResponse>, tonic::Status> {
    let channel = || -> Result<MeshChannel> {
        platform_channel(stage.topology(), identity(stage.topology(), &nimbus.issuer.tls)?)
    };
    let channel = channel().map_err(|error| tonic::Status::unavailable(format!("{error:#}")))?;
    let request = pb::WatchBanksRequest { after_version: 0 };
    Ok(BankDirectoryClient::new(channel).watch_banks(request).await?.into_inner())
}

fn says_suspended(update: &pb::WatchBanksResponse) -> bool {
    use prost::Message as _;

    let Some(Update::Entry(changed)) = &update.update else { return false };
    let body = changed.entry.as_ref().map(|entry| entry.body.clone()).unwrap_or_default();
    pb::DirectoryEntry::decode(body)
        .is_ok_and(|entry| entry.member_id == NIMBUS && entry.status() == pb::MemberStatus::Suspended)
}
