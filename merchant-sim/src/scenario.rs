//! The end-to-end scenario: one payment step by step, then everything that must be refused.
//!
//! Each part is a file of its own that works on a [`Stage`]; a further flow is a further file.

mod agreement;
mod branch;
mod certificates;
mod crashes;
mod declines;
mod devices;
mod direct;
mod expiry;
mod hostile_relay;
mod idempotence;
mod identity;
mod payments;
mod refusals;
mod relayed;
mod rotation;
mod shops;
mod stage;
mod stale;
mod strangers;
mod timing;

use std::time::Instant;

use anyhow::Result;

use crate::console::Console;
use crate::network::Network;
use crate::report::Report;

use branch::Branch;

pub use rotation::RATE as ROTATION_RATE;
pub use stage::Stage;

/// What to play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Whether there is time to wait for an order to expire, which takes a minute.
    pub patient: bool,
    /// Whether the first bank's vault gets a new key; it must move its records at [`ROTATION_RATE`].
    pub rotate: bool,
}

/// Plays everything on a running network.
///
/// # Errors
/// The stage can't be set up, or a server doesn't come up again. What goes wrong otherwise is a failed
/// check in the report.
pub async fn play(network: &mut Network, wishes: Wishes, console: &Console) -> Result<Report> {
    let begin = Instant::now();
    let mut stage = Stage::new(network, console)?;
    let expiring = if wishes.patient { Some(expiry::begin(&stage).await?) } else { None };
    stage.part("One payment, directly (embodiment 1)", direct::play).await;
    stage.part("One payment by way of the platform (embodiment 2)", relayed::by_clicking).await;
    stage.part("Another bank, shop and currency, picked by an app", relayed::by_calling).await;
    stage.part("A scanned QR code in the platform's network", relayed::by_scanning).await;
    stage.part("Orders that a shop may not make, and whose", shops::play).await;
    stage.part("Callers without the right certificate", strangers::play).await;
    stage.part("Sign-in and charges that a device may not make", devices::play).await;
    stage.part("The same twice", idempotence::play).await;
    stage.part("Cards that the network declines", declines::play).await;
    identity::play(&mut stage).await?;
    stage.part("Refused: who asks, and for whom", refusals::members).await;
    stage.part("Refused: tickets", refusals::tickets).await;
    stage.part("Refused: amounts", refusals::amounts).await;
    stage.part("Refused: altered, swapped, played again", refusals::altered).await;
    stage.part("Refused: changes of the directory", refusals::directory).await;
    stage.part("Refused: a suspended bank", refusals::suspended).await;
    let basalt = network.topology.issuer(relayed::BASALT)?;
    let mut branch = Branch::of_issuer(&network.topology, basalt).await?;
    let lies = async |stage: &mut Stage<'_>| hostile_relay::play(stage, &mut branch).await;
    stage.part("Refused: a platform that lies about results", lies).await;
    let ages = async |stage: &mut Stage<'_>| stale::play(stage, &mut branch).await;
    stage.part("Refused: a directory that is two hours old", ages).await;
    stage.part("A stolen certificate is revoked", certificates::revoke).await;
    stage.part("Certificates are renewed while payments run", certificates::renew).await;
    let report = stage.into_report();
    let mut report = crashes::play(network, console, report).await?;
    if wishes.rotate {
        report = rotation::play(network, console, report).await?;
    }
    if let Some(expiring) = expiring {
        let mut stage = Stage::resume(network, console, report)?;
        stage.part("An order that nobody pays", async |stage| expiry::finish(stage, expiring).await).await;
        report = stage.into_report();
    } else {
        report.skip(
            console,
            "an order that nobody pays",
            "an order lives for a minute at least; --patient waits for it",
        );
    }
    report.finish(console, begin.elapsed());
    Ok(report)
}
