//! Tickets that do not hold.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use platform::keys::load_tickets;

use super::noted::{Noted, attempt};
use super::{AMOUNT, Speaker, flipped, untouched};
use crate::scenario::stage::Stage;

/// Longer than a ticket outlives its order.
const LONG_AGO: Duration = Duration::from_secs(120);

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let (basalt, nimbus) = (Speaker::basalt(stage)?, Speaker::nimbus(stage)?);
    let (placed, other) = (stage.order(AMOUNT).await?, stage.order(AMOUNT).await?);
    let good = basalt.draft(stage, &placed).await?;
    // An order lives for longer than this run, so that the platform's own key makes a ticket of the past.
    let keys = load_tickets(&stage.topology().platform.files.keys).context("the ticket keys")?;
    let past = SystemTime::now() - LONG_AGO;
    let expired = keys.issue(&basalt.issuer.id.parse()?, &placed.signed.digest, past);
    let cases = [
        ("no ticket", "TICKET_MISSING", Bytes::new()),
        ("a ticket with one bit changed", "TICKET_INVALID", flipped(&good.route.ticket)),
        ("a ticket made of random bytes", "TICKET_INVALID", Bytes::from(vec![0x5a; 85])),
        ("a ticket whose time is over", "TICKET_EXPIRED", expired),
        ("a ticket for another bank", "TICKET_OF_OTHER_BANK", nimbus.ticket(stage, &placed.signed).await?),
        ("a ticket for another order", "TICKET_OF_OTHER_ORDER", basalt.ticket(stage, &other.signed).await?),
    ];
    for (name, expected, ticket) in cases {
        let mut draft = good.clone();
        draft.route.ticket = ticket;
        attempt(stage, name, expected, Noted::Relay, basalt.send(&draft)).await?;
    }
    untouched(stage, &placed).await?;
    attempt(stage, "the same request with its own ticket", "APPROVED", Noted::Result, basalt.send(&good)).await
}
