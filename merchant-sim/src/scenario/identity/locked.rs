//! Passwords that somebody else has locked: what runs goes on, and the bound device still pays.

use anyhow::{Context as _, Result};
use proto::authorization::Factor::{Knowledge, Possession};

use super::{Visitor, paid};
use crate::device::Credentials;
use crate::sample::customers::LOCKED_OUT_PLACE;
use crate::scenario::relayed::BASALT;
use crate::scenario::stage::Stage;

/// A small payment, which one factor may make, and a large one, in minor units.
const SMALL: i64 = 20_000;
const LARGE: i64 = 600_000;

/// Failed passwords before a lock.
const TRIES_BEFORE_LOCK: usize = 5;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut visitor = Visitor::of(stage, BASALT, LOCKED_OUT_PLACE)?;
    visitor.wallet.activate().await?;
    let running = visitor.visit(stage, 0, LARGE, &[Knowledge, Possession]).await?;
    let charge = visitor.charge(&running).await?;

    stage.working("five wrong passwords in a row");
    let wrong = Credentials { password: "a stranger's guess".to_owned(), ..visitor.wallet.typed.clone() };
    for _ in 0..TRIES_BEFORE_LOCK {
        // Each is refused like any wrong password; the checks below are about what they lead to.
        let _ = visitor.bank.app.sign_in(None, &wrong).await;
    }
    stage.done();
    let typed = visitor.wallet.typed.clone();
    let locked = visitor.bank.app.sign_in(None, &typed).await;
    stage.refused("the right password on a strange device", "IDENTITY_NOT_VERIFIED", locked);
    stage.check("the payment that was under way", "APPROVED", &paid(&visitor.app(), charge).await);
    let small = visitor.pay(stage, 0, SMALL, &[Possession]).await?;
    stage.check("a small payment with the bound device alone", "APPROVED", &small);
    let large = visitor.pay(stage, 0, LARGE, &[Possession, Knowledge]).await.context("device and password");
    let large = large.unwrap_or_else(|error| format!("{error:#}"));
    stage.check("a large one with the bound device, then the password", "APPROVED", &large);
    Ok(())
}
