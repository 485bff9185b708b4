//! A bank that lets nobody in with one kind of proof: what is missing is told, and proved under the same
//! challenge.
//!
//! None of the sample banks is like that, so that one of them gets a branch with this policy.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use proto::authorization::Factor::{self, Inherence, Knowledge, Passkey, Possession};
use proto::pb;

use super::names;
use crate::device::authenticators::Algorithm;
use crate::device::{Proved, Wallet};
use crate::sample::customers::{EVERYDAY_PLACE, VERIFIED_PLACE};
use crate::scenario::branch::Branch;
use crate::scenario::relayed::NIMBUS;
use crate::scenario::stage::Stage;
use crate::topology::{Issuer, Policy};

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let sample = stage.topology().issuer(NIMBUS)?.clone();
    let mut branch = Branch::of_issuer(stage.topology(), &Issuer { policy: Policy::Strict, ..sample }).await?;
    branch.start(SystemTime::now()).await?;
    let topology = Arc::clone(&branch.topology);
    let issuer = topology.issuers.first().context("no branch")?;
    let (app, secrets) = (branch.app()?.noting(&stage.network.secrets), &stage.network.secrets);
    let wallet = |place: usize| {
        let customer = issuer.customers.get(place).context("the bank has too few customers")?;
        anyhow::Ok(Wallet::of(customer, &app, secrets))
    };
    let (mut wallet, mut stranger) = (wallet(VERIFIED_PLACE)?, wallet(EVERYDAY_PLACE)?);
    wallet.activate().await?;
    stranger.activate().await?;

    let challenge = app.start(None).await.context("StartAuthentication")?;
    let proof = wallet.proof(Knowledge, &challenge, None)?;
    let first = app.prove(&challenge, proof).await.context("VerifyIdentity")?;
    stage.check("a password alone", "missing POSSESSION,PASSKEY,INHERENCE", &said(&first));
    let other = stranger.proof(Possession, &challenge, None)?;
    let other = app.prove(&challenge, other).await;
    stage.refused("somebody else's device under the same challenge", "IDENTITY_NOT_VERIFIED", other);
    let proof = wallet.proof(Possession, &challenge, None)?;
    let second = app.prove(&challenge, proof).await.context("VerifyIdentity")?;
    stage.check("the customer's own device under it", "a session by KNOWLEDGE,POSSESSION", &said(&second));

    let Proved::In(session) = second else { return branch.stop().await };
    wallet.enroll(&session.session_token).await?;
    wallet.register(&session.session_token, Algorithm::Es256, &issuer.passkeys).await?;
    for (factors, expected) in [
        (&[Inherence][..], "missing KNOWLEDGE,POSSESSION,PASSKEY"),
        (&[Inherence, Possession], "a session by INHERENCE,POSSESSION"),
        (&[Passkey], "a session by PASSKEY"),
    ] {
        let reached = wallet.sign_in(None, factors).await.context("the sign-in")?;
        let reached = reached.session.map_or(Proved::Missing(reached.missing), Proved::In);
        stage.check(&super::together(factors), expected, &said(&reached));
    }
    branch.stop().await
}

/// What a proof led to, in a word.
fn said(proved: &Proved) -> String {
    match proved {
        Proved::In(session) => format!("a session by {}", names(&factors(session))),
        Proved::Missing(missing) => format!("missing {}", names(missing)),
    }
}

fn factors(session: &pb::Session) -> Vec<Factor> {
    session.factors.iter().filter_map(|number| Factor::parse(*number)).collect()
}
