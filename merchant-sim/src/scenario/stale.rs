//! A copy of the directory that nobody has vouched for in the last hour: nothing new starts, and what is
//! under way can still be asked for.
//!
//! Nobody waits for an hour here: the platform's true key signs a head of two hours ago, and a server starts
//! with it while its platform is away.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use super::branch::Branch;
use super::relayed::BASALT;
use super::stage::{Stage, card_that, reason, sign_in};
use crate::device::{Checkouts, Credentials};
use crate::hostile::{Line, RawBank, verdict};
use crate::shop::Shop;

/// What is paid, in minor units.
const AMOUNT: i64 = 19_000;

/// The age of the copy: twice what is allowed.
const AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// With a branch of the bank that is stopped.
pub(super) async fn play(stage: &mut Stage<'_>, branch: &mut Branch) -> Result<()> {
    let customer = stage.bank(BASALT)?.everyday()?;
    let placed = stage.order(AMOUNT).await?;
    let order = placed.signed.signed.to_pb();
    let ticket = Checkouts::of(stage.topology())?.ticket(order.clone(), BASALT).await.context("SelectBank")?;
    branch.start(SystemTime::now()).await?;
    let signed_in = sign_in(&branch.app()?, customer, placed.clone(), ticket).await?;
    stage.ensure("an issuer with a fresh copy and no platform signs in", !signed_in.token.is_empty(), "no session");
    branch.stop().await?;

    branch.start(SystemTime::now() - AGE).await?;
    let app = branch.app()?;
    let charge = signed_in.charge(card_that(customer, "approves")?)?;
    let name = "a charge in that session, with a copy two hours old";
    stage.refused(name, "DIRECTORY_STALE", app.submit(charge).await);
    stage.refused("a sign-in for an order there", "DIRECTORY_STALE", app.start(Some(order)).await);
    let typed = Credentials::from(customer);
    stage.refused("a sign-in without one there", "accepted", app.sign_in(None, &typed).await);
    branch.stop().await?;
    acquirer(stage).await
}

async fn acquirer(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
    let mut branch = Branch::of_acquirer(topology, acquirer)?;
    branch.start(SystemTime::now() - AGE).await?;
    let shop = Shop::new(&branch.topology, stage.shop(0)?.shop.merchant())?;
    let issuer = topology.issuer(BASALT)?;
    let bank = RawBank::of(issuer)?;
    let card = card_that(stage.bank(BASALT)?.everyday()?, "approves")?;
    let placed = shop.place(AMOUNT).await?;
    let line = Line::to_acquirer(&branch.topology, &issuer.tls)?;
    let request = bank.sign(&bank.draft(&placed.signed, card, &Bytes::new())?);
    let refused = line.authorize(request.clone()).await;
    stage.refused("an authorization at an acquirer with such a copy", "DIRECTORY_STALE", refused);
    let asked = match line.resolve(bank.question(&request)?).await {
        Ok(answer) => verdict(&answer)?,
        Err(status) => reason(&status),
    };
    stage.check("the question what became of it there", "NEVER_RECEIVED", &asked);
    let order = shop.order(placed.id.as_str()).await.context("GetOrder")?;
    let got = format!("{}, {} attempts", order.state().as_str_name(), order.attempts);
    stage.check("its order", "ORDER_STATE_OPEN, 0 attempts", &got);
    branch.stop().await
}
