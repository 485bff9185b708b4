//! A charge that needs more than the session has proved: the session is stepped up, and the same charge
//! goes through.

use anyhow::{Context as _, Result};
use proto::authorization::Factor::{self, Knowledge, Passkey, Possession};

use super::{Visitor, names, paid};
use crate::scenario::stage::Stage;

/// Above what either bank lets pass with a password alone, in minor units.
const AMOUNT: i64 = 600_000;

/// Directly, and by way of the platform.
pub(super) async fn play(stage: &mut Stage<'_>, direct: &mut Visitor<'_>, relayed: &mut Visitor<'_>) -> Result<()> {
    charge(stage, direct, Possession).await?;
    charge(stage, direct, Passkey).await?;
    charge(stage, relayed, Possession).await
}

async fn charge(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, factor: Factor) -> Result<()> {
    let at = format!("{}, with {}", visitor.bank_id(), names(&[factor]).to_lowercase());
    let mut visit = visitor.visit(stage, 0, AMOUNT, &[Knowledge]).await?;
    let session = visit.session()?.clone();
    stage.check(&format!("{at}: a password's session can't pay yet"), "false", &session.can_pay.to_string());
    let offered: Vec<Factor> = session.missing_to_pay.iter().filter_map(|number| Factor::parse(*number)).collect();
    let mut charge = visitor.charge(&visit).await?;
    let refused = paid(&visitor.app(), charge.clone()).await;
    let expected = format!("FACTORS_INSUFFICIENT, any of {}", names(&offered));
    stage.refusal(&format!("{at}: the charge"), &expected, &refused);
    let helps = offered.contains(&factor);
    stage.ensure(&format!("{at}: it would help"), helps, &names(&offered));
    let digest = visit.placed.signed.digest;
    let stepped = visitor.wallet.step_up(&session.session_token, factor, Some(&digest)).await;
    let stepped = stepped.context("stepping up")?;
    let same = stepped.session_token == session.session_token;
    stage.ensure(&format!("{at}: the stepped-up session keeps its token"), same, "another token");
    stage.check(&format!("{at}: it can pay now"), "true", &stepped.can_pay.to_string());
    visit.reached.session = Some(stepped);
    visitor.sign(&mut charge, &visit)?;
    stage.check(&format!("{at}: the same charge again"), "APPROVED", &paid(&visitor.app(), charge).await);
    Ok(())
}
