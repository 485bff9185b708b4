//! A server is killed in the middle of a payment and started again: the money must be where everybody
//! says that it is.

use anyhow::{Context as _, Result};
use proto::authorization::Decision;
use proto::pb;

use super::agreement::available;
use super::stage::{SignedIn, Stage, TOLD_TIME, card_that, ending};
use crate::console::Console;
use crate::network::Network;
use crate::report::Report;
use crate::sample::customers;

/// What is paid, in minor units.
const AMOUNT: i64 = 77_000;

/// Which server is killed.
#[derive(Clone, Copy)]
enum Victim {
    Acquirer,
    Issuer,
}

/// Plays the part; the network is changed by it, so that it comes in its own hands.
pub(super) async fn play(network: &mut Network, console: &Console, report: Report) -> Result<Report> {
    let mut report = report;
    for (victim, group) in [
        (Victim::Acquirer, "The acquirer is killed while the card network decides"),
        (Victim::Issuer, "The issuer is killed while it waits for the result"),
    ] {
        let mut stage = Stage::resume(network, console, report)?;
        let mut begun = None;
        stage
            .part(group, async |stage| {
                begun = Some(begin(stage).await?);
                Ok(())
            })
            .await;
        report = stage.into_report();
        let Some((signed_in, charge_id)) = begun else { continue };
        let id = match victim {
            Victim::Acquirer => network.topology.acquirers.first().map(|acquirer| acquirer.id.clone()),
            Victim::Issuer => network.topology.issuers.first().map(|issuer| issuer.id.clone()),
        };
        network.kill_and_restart(&id.context("nobody to kill")?, console).await?;
        let mut stage = Stage::resume(network, console, report)?;
        stage.again(group, async |stage| finish(stage, &signed_in, &charge_id).await).await;
        report = stage.into_report();
    }
    Ok(report)
}

/// A payment with a card whose network takes two seconds, up to the moment when it is asked.
async fn begin(stage: &mut Stage<'_>) -> Result<(SignedIn, String)> {
    let customer = stage.customer(customers::EVERYDAY)?;
    let signed_in = stage.sign_in(customer, stage.order(AMOUNT).await?).await?;
    let request = signed_in.charge(card_that(customer, "approves after 2 s")?)?;
    let charge_id = request.charge_id.clone();
    stage.app.submit(request).await.context("SubmitCharge")?;
    let shop = &stage.shop(0)?.shop;
    super::stage::wait_until_authorizing(shop, signed_in.placed.id.as_str()).await?;
    Ok((signed_in, charge_id))
}

/// Whatever the outcome is, it is one, and the same for everybody.
async fn finish(stage: &mut Stage<'_>, signed_in: &SignedIn, charge_id: &str) -> Result<()> {
    let paid = stage.app.watch(signed_in.token.clone(), charge_id).await.context("WatchCharge")?;
    let outcome = ending(Ok(paid.clone()));
    let settled = matches!(paid.charge.state(), pb::ChargeState::Approved | pb::ChargeState::Declined);
    stage.ensure("the charge comes to its end by itself", settled, &outcome);
    let open = stage.shop(0)?;
    let order = open.shop.order(signed_in.placed.id.as_str()).await.context("GetOrder")?;
    let known = order.last_authorization.context("the acquirer knows of no authorization")?;
    stage.check("it is the acquirer's authorization", &known.authorization_id, &paid.charge.authorization_id);
    let approved = paid.charge.state() == pb::ChargeState::Approved;
    let said = if known.decision() == pb::Decision::Approved {
        "APPROVED".to_owned()
    } else {
        super::stage::short(known.decline_reason().as_str_name(), "DECLINE_REASON_")
    };
    stage.check("acquirer and issuer say the same", &said, &outcome);
    let result = |event: &proto::event::OrderEvent| event.authorization.is_some();
    let told = open.inbox.wait_for(&signed_in.placed.id, TOLD_TIME, result).await.context("the shop was not told")?;
    let told = told.authorization.is_some_and(|result| matches!(result.decision, Decision::Approved(_)));
    stage.check("so does the shop's event", &approved.to_string(), &told.to_string());
    let options = stage.app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let option = &paid.charge.card_option_id;
    let moved = available(&signed_in.options, option) - available(&options, option);
    let expected = if approved { AMOUNT } else { 0 };
    stage.check("the credit line agrees with it", &expected.to_string(), &moved.to_string());
    Ok(())
}
