//! Certificates that change while everything runs: one that was stolen is revoked, and the servers' own are
//! renewed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::identity::Role;
use proto::pb;
use proto::pb::bank_directory_client::BankDirectoryClient;
use tokio_util::sync::CancellationToken;

use super::payments::{self, Ended};
use super::relayed::BASALT;
use super::stage::{Stage, card_that, ending, reason};
use super::strangers::{knock, presented};
use super::timing::{check_in_time, refused_in_time, time_until};
use crate::device::Checkouts;
use crate::hostile::line::platform_channel;
use crate::hostile::{Line, RawBank};
use crate::pki::Pki;
use crate::shop::identity;
use crate::topology::KeyPair;

/// What is paid, in minor units.
const AMOUNT: i64 = 33_000;

/// How long a stream may flow before it is given up.
const STREAM_TIME: Duration = Duration::from_secs(60);

/// Somebody has copied a bank's certificate and key. The bank gets new ones, and the old one is revoked.
pub(super) async fn revoke(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let issuer = topology.issuer(BASALT)?;
    let stolen = copy(&issuer.tls, &topology.folder.join("outsiders").join("stolen"))?;
    let mut pki = Pki::open(&topology.folder, std::time::SystemTime::now())?;
    let begin = Instant::now();
    let old = presented(topology, &issuer.endpoint).await?;
    pki.renew(Role::Issuer, &issuer.id, &issuer.tls)?;
    let renewed =
        time_until(begin, async || presented(topology, &issuer.endpoint).await.is_ok_and(|now| now != old)).await;
    check_in_time(stage, "the bank presents its new certificate", "renewed", renewed);

    // The thief sends what can't be good, over and over, on connections that stay open.
    let bank = RawBank::of(issuer)?;
    let card = card_that(stage.bank(BASALT)?.everyday()?, "approves")?;
    let placed = stage.order(AMOUNT).await?;
    let mut nonsense = bank.sign(&bank.draft(&placed.signed, card, &Bytes::new())?);
    nonsense.request.as_mut().context("a request without a body")?.signature = Bytes::from(vec![7; 64]);
    let relay = Line::to_platform(topology, &stolen)?;
    let acquirer = Line::to_acquirer(topology, &stolen)?;
    let heard = async |line: &Line| match line.authorize(nonsense.clone()).await {
        Ok(_) => "accepted".to_owned(),
        Err(status) => reason(&status),
    };
    stage.check("before: the thief is heard by the relay", "TICKET_MISSING", &heard(&relay).await);
    stage.check("before: the thief is heard by the acquirer", "SIGNATURE_INVALID", &heard(&acquirer).await);
    let mut client = BankDirectoryClient::new(platform_channel(topology, identity(topology, &stolen)?)?);
    let mut stream = client.watch_banks(pb::WatchBanksRequest { after_version: 0 }).await?.into_inner();
    stream.message().await.context("the thief's stream")?.context("the thief's stream brings nothing")?;
    let reading = tokio::spawn(async move {
        while let Ok(Some(_)) = stream.message().await {}
        Instant::now()
    });

    let begin = Instant::now();
    pki.revoke(&stolen.certificate)?;
    let cut = time_until(begin, async || heard(&relay).await == "CONNECTION_REFUSED").await;
    refused_in_time(stage, "its live connection to the relay is cut", "CONNECTION_REFUSED", cut);
    let cut = time_until(begin, async || heard(&acquirer).await == "CONNECTION_REFUSED").await;
    refused_in_time(stage, "its live connection to the acquirer is cut", "CONNECTION_REFUSED", cut);
    let end = tokio::time::timeout(STREAM_TIME, reading).await.context("the thief's stream does not end")??;
    refused_in_time(stage, "its open stream is cut", "ended", Some(end - begin));
    let knocked = knock(topology, &topology.platform.endpoint, Some(&stolen)).await?;
    stage.refusal("a new connection with it, to the platform", "turned away", &knocked);
    let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
    let knocked = knock(topology, &acquirer.endpoint, Some(&stolen)).await?;
    stage.refusal("a new connection with it, to the acquirer", "turned away", &knocked);

    let bank = stage.bank(BASALT)?;
    let ticket = Checkouts::of(topology)?.ticket(placed.signed.signed.to_pb(), BASALT).await.context("SelectBank")?;
    let signed_in = bank.sign_in(placed, ticket).await?;
    let paid = bank.app.pay(signed_in.charge(card)?).await;
    stage.check("the bank itself goes on, with its new one", "APPROVED", &ending(paid));
    Ok(())
}

/// The platform's and the acquirer's certificates are renewed while cardholders of all banks pay.
pub(super) async fn renew(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let pki = Pki::open(&topology.folder, std::time::SystemTime::now())?;
    let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
    let stop = CancellationToken::new();
    stage.working("payments run while certificates are renewed");
    let paying = tokio::spawn(payments::run(payments::Payers::of(stage.network)?, stop.clone()));
    for (role, id, endpoint, files) in [
        (Role::Platform, &topology.platform.id, &topology.platform.endpoint, &topology.platform.tls),
        (Role::Acquirer, &acquirer.id, &acquirer.endpoint, &acquirer.tls),
    ] {
        let old = presented(topology, endpoint).await?;
        let begin = Instant::now();
        pki.renew(role, id, files)?;
        let renewed = time_until(begin, async || presented(topology, endpoint).await.is_ok_and(|now| now != old)).await;
        check_in_time(stage, &format!("{id} presents its new certificate"), "renewed", renewed);
    }
    // What goes on from here goes over new connections.
    payments::let_pass(topology).await?;
    stop.cancel();
    let Ended { approved, problems } = paying.await.context("the payers panicked")??;
    stage.done();
    let name = format!("of {approved} payments meanwhile, dropped or held up");
    stage.check(&name, "none", if problems.is_empty() { "none" } else { &problems });
    stage.ensure("payments were under way", approved >= MEANWHILE_MIN, &approved.to_string());
    Ok(())
}

/// Fewer payments than this would show nothing.
const MEANWHILE_MIN: usize = 20;

/// The same certificate and key in other files.
fn copy(own: &KeyPair, folder: &std::path::Path) -> Result<KeyPair> {
    certs::files::make_folder(folder)?;
    let copied = KeyPair { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    std::fs::copy(&own.certificate, &copied.certificate).context("cannot copy a certificate")?;
    std::fs::copy(&own.key, &copied.key).context("cannot copy a key")?;
    Ok(copied)
}
