//! What a platform's network refuses, tried against the real servers: the reason that was expected beside the
//! one that came, and what the attempt left behind.
//!
//! A relay that refuses leaves a line in its log and one more on a counter, and nothing else: at the end of
//! each topic the order that all attempts were about is as it was made.

mod altered;
mod amounts;
mod directory;
mod members;
mod noted;
mod suspended;
mod tickets;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::order::SignedOrder;
use proto::pb;
use tonic::Status;

use super::relayed::{BASALT, NIMBUS};
use super::stage::{Stage, card_that, reason, short};
use crate::device::Checkouts;
use crate::hostile::{Draft, Line, RawBank, verdict};
use crate::shop::Placed;
use crate::topology::{Card, Issuer};

pub(super) use altered::play as altered;
pub(super) use amounts::play as amounts;
pub(super) use directory::play as directory;
pub(super) use members::play as members;
pub(super) use suspended::play as suspended;
pub(super) use tickets::play as tickets;

/// An ordinary amount, in minor units.
const AMOUNT: i64 = 42_000;

/// A bank that speaks for itself, with its line to the relay and a card.
struct Speaker<'a> {
    issuer: &'a Issuer,
    bank: RawBank,
    relay: Line,
    card: Card,
}

impl<'a> Speaker<'a> {
    fn of(stage: &Stage<'a>, id: &str) -> Result<Self> {
        let issuer = stage.topology().issuer(id)?;
        let customer = issuer.customers.first().context("the bank has no customer")?;
        Ok(Self {
            issuer,
            bank: RawBank::of(issuer)?,
            relay: Line::to_platform(stage.topology(), &issuer.tls)?,
            card: card_that(customer, "approves")?.clone(),
        })
    }

    fn basalt(stage: &Stage<'a>) -> Result<Self> {
        Self::of(stage, BASALT)
    }

    fn nimbus(stage: &Stage<'a>) -> Result<Self> {
        Self::of(stage, NIMBUS)
    }

    /// A genuine ticket for an order.
    async fn ticket(&self, stage: &Stage<'_>, order: &SignedOrder) -> Result<Bytes> {
        let checkouts = Checkouts::of(stage.topology())?;
        checkouts.ticket(order.signed.to_pb(), &self.issuer.id).await.context("SelectBank")
    }

    /// A request that is right in everything.
    async fn draft(&self, stage: &Stage<'_>, placed: &Placed) -> Result<Draft> {
        let ticket = self.ticket(stage, &placed.signed).await?;
        self.bank.draft(&placed.signed, &self.card, &ticket)
    }

    /// Signs a draft, sends it through the relay, and says how that ended.
    async fn send(&self, draft: &Draft) -> String {
        ended(self.relay.authorize(self.bank.sign(draft)).await)
    }
}

/// How a call ended: what the result says, or the reason of the refusal.
fn ended(answer: Result<pb::AuthorizeResponse, Status>) -> String {
    match answer {
        Ok(answer) => verdict(&answer).unwrap_or_else(|error| format!("{error:#}")),
        Err(status) => reason(&status),
    }
}

/// The order is as it was made: nobody has tried to pay it, and its shop has heard nothing.
async fn untouched(stage: &mut Stage<'_>, placed: &Placed) -> Result<()> {
    let open = stage.shop(0)?;
    let order = open.shop.order(placed.id.as_str()).await.context("GetOrder")?;
    let state = short(order.state().as_str_name(), "ORDER_STATE_");
    let events = open.inbox.of(&placed.id).len();
    let got = format!("{state}, {} attempts, {events} events", order.attempts);
    stage.check("after all of it, the order", "OPEN, 0 attempts, 0 events", &got);
    Ok(())
}

/// Flips the last bit of some bytes.
fn flipped(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    changed.into()
}
