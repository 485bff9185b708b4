//! Amounts that differ by one cent, and amounts beyond a bank's limit.

use anyhow::{Context as _, Result};

use super::noted::{Noted, attempt};
use super::{AMOUNT, Speaker, untouched};
use crate::sample::BASALT_AMOUNT_MAX;
use crate::scenario::stage::Stage;

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let basalt = Speaker::basalt(stage)?;
    let placed = stage.order(AMOUNT).await?;
    let good = basalt.draft(stage, &placed).await?;
    for (name, cents) in [("one cent more on the outside", 1), ("one cent less on the outside", -1)] {
        let mut draft = good.clone();
        draft.route.amount.as_mut().context("a route without an amount")?.minor_units += cents;
        attempt(stage, name, "ROUTE_MISMATCH", Noted::Acquirer, basalt.send(&draft)).await?;
    }
    let over = stage.order(BASALT_AMOUNT_MAX + 1).await?;
    let draft = basalt.draft(stage, &over).await?;
    let name = "one cent over the bank's limit";
    attempt(stage, name, "AMOUNT_LIMIT", Noted::Relay, basalt.send(&draft)).await?;
    untouched(stage, &over).await?;
    untouched(stage, &placed).await?;

    // Outside and inside agree here, and the bank signs it: the order alone says otherwise.
    for (name, cents) in [("one cent less than the order", -1), ("one cent more than the order", 1)] {
        let placed = stage.order(AMOUNT).await?;
        let mut draft = basalt.draft(stage, &placed).await?;
        for amount in [draft.route.amount.as_mut(), draft.request.amount.as_mut()].into_iter().flatten() {
            amount.minor_units += cents;
        }
        attempt(stage, name, "AMOUNT_MISMATCH", Noted::Result, basalt.send(&draft)).await?;
    }
    let exact = stage.order(BASALT_AMOUNT_MAX).await?;
    let draft = basalt.draft(stage, &exact).await?;
    attempt(stage, "the bank's limit to the cent", "APPROVED", Noted::Result, basalt.send(&draft)).await
}
