//! Binding devices, enrolling features, registering passkeys, and forgetting them.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::authorization::Factor::{Knowledge, Passkey, Possession};
use proto::ids::DeviceId;

use super::Visitor;
use crate::device::authenticators::{Algorithm, Ceremony};
use crate::scenario::stage::{Stage, outcome, reason};

/// Everything for the customer of one bank, who has nothing bound yet.
pub(super) async fn play(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    activate(stage, visitor).await?;
    let token = strong_session(visitor).await?;
    enroll(stage, visitor, &token).await?;
    register(stage, visitor, &token).await?;
    second_device(stage, visitor, &token).await?;
    listed(stage, visitor, &token).await
}

/// A session that has proved two kinds.
async fn strong_session(visitor: &mut Visitor<'_>) -> Result<Bytes> {
    let reached = visitor.wallet.sign_in(None, &[Knowledge, Possession]).await.context("sign-in")?;
    Ok(reached.session.context("password and device are not enough for a session")?.session_token)
}

async fn activate(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let at = visitor.bank_id();
    let app = visitor.app();
    let device = visitor.wallet.new_device()?;
    let wrong = app.bind(device.bind_with_code("AAAA-BBBB-CCCC-DDDD", "Phone")).await;
    stage.refused(&format!("{at}: binding with an activation code that nobody has"), "ACTIVATION_CODE_INVALID", wrong);
    let code = visitor.wallet.activation_code.clone();
    let mut forged = device.bind_with_code(&code, "Phone");
    forged.signature = Bytes::from(vec![7; 64]);
    let forged = app.bind(forged).await;
    stage.refused(&format!("{at}: binding a key that the device does not hold"), "SIGNATURE_INVALID", forged);
    let bound = app.activate(device, &code).await;
    stage.refused(&format!("{at}: binding with the activation code"), "accepted", bound.as_ref().map_err(Clone::clone));
    visitor.wallet.device = Some(Arc::new(bound?));
    let other = visitor.wallet.new_device()?;
    let again = app.bind(other.bind_with_code(&code, "Tablet")).await;
    stage.refused(&format!("{at}: the same code for another device"), "ACTIVATION_CODE_INVALID", again);
    Ok(())
}

async fn enroll(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, token: &Bytes) -> Result<()> {
    let at = visitor.bank_id();
    let app = visitor.app();
    let challenge = app.step_up(token).await.context("StartAuthentication")?;
    let count = visitor.bank.issuer.feature_count.to_string();
    stage.check(&format!("{at}: features have the documented length"), &count, &challenge.feature_count.to_string());
    let features = visitor.wallet.measure();
    let device = visitor.wallet.device.clone().context("no device")?;
    let short = device.enroll(token, &challenge.id, &challenge.bytes, &features[1..]);
    stage.refused(&format!("{at}: enrolling a vector that is too short"), "INVALID_FIELD", app.enroll(short).await);
    let enrolled = visitor.wallet.enroll(token).await;
    let enrolled = enrolled.map_or_else(|error| format!("{error:#}"), |()| "accepted".to_owned());
    stage.check(&format!("{at}: enrolling features"), "accepted", &enrolled);
    Ok(())
}

async fn register(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, token: &Bytes) -> Result<()> {
    let (at, passkeys) = (visitor.bank_id(), &visitor.bank.issuer.passkeys);
    let app = visitor.app();
    let mut stray = visitor.wallet.new_passkey(Algorithm::Es256, passkeys)?;
    let challenge = app.step_up(token).await.context("StartAuthentication")?;
    let named = [challenge.relying_party_id.as_str(), &passkeys.relying_party_id];
    stage.check(&format!("{at}: the relying party"), named[1], named[0]);
    let good = stray.creation(&challenge.bytes);
    let elsewhere = Ceremony { origin: "https://phishing.example".to_owned(), ..good };
    let refused = app.register(token, &challenge, stray.register(&elsewhere)).await;
    stage.refused(&format!("{at}: a passkey made on another site"), "INVALID_FIELD", refused);
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let name = format!("{at}: registering a passkey with {}", algorithm.name());
        let registered = visitor.wallet.register(token, algorithm, passkeys).await;
        let said = registered.as_ref().map_or_else(|error| format!("{error:#}"), |_| "accepted".to_owned());
        stage.check(&name, "accepted", &said);
        let signed_in = visitor.wallet.sign_in(None, &[Passkey]).await;
        stage.refused(&format!("{at}: signing in with it"), "accepted", signed_in);
        if algorithm == Algorithm::EdDsa {
            forget(stage, visitor, token, &registered?).await?;
        }
    }
    Ok(())
}

/// A passkey is forgotten and can't sign in any more.
async fn forget(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, token: &Bytes, id: &Bytes) -> Result<()> {
    let (at, app) = (visitor.bank_id(), visitor.app());
    stage.refused(&format!("{at}: forgetting it"), "accepted", app.remove(token, id).await);
    stage.refused(&format!("{at}: forgetting it again"), "PASSKEY_NOT_FOUND", app.remove(token, id).await);
    let signed_in = visitor.wallet.sign_in(None, &[Passkey]).await;
    stage.refused(&format!("{at}: signing in with a forgotten passkey"), "IDENTITY_NOT_VERIFIED", signed_in);
    Ok(())
}

/// A second device is bound in a session, and unbound.
async fn second_device(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, token: &Bytes) -> Result<()> {
    let (at, app) = (visitor.bank_id(), visitor.app());
    let device = visitor.wallet.new_device()?;
    let weak = visitor.wallet.sign_in(None, &[Knowledge]).await.context("sign-in")?;
    if let Some(weak) = weak.session {
        let refused = app.bind(device.bind_in_session(&weak.session_token, "Tablet")).await;
        stage.refused(&format!("{at}: binding after a password alone"), "FACTORS_INSUFFICIENT", refused);
    }
    let first = app.bind(device.bind_in_session(token, "Tablet")).await;
    stage.refused(&format!("{at}: binding after two kinds of proof"), "accepted", first.as_ref().map_err(Clone::clone));
    let (first, again) = (first?, app.bind(device.bind_in_session(token, "Tablet")).await);
    let same = again.map_or_else(|status| reason(&status), |id| id.to_string());
    stage.check(&format!("{at}: binding the same key again gives the same device"), first.as_str(), &same);

    let second = Arc::new(device.bound_as(first.clone()));
    let main = visitor.wallet.device.replace(Arc::clone(&second));
    let own = visitor.wallet.sign_in(None, &[Knowledge, Possession]).await.context("sign-in")?;
    let own = own.session.context("no session")?.session_token;
    let (theirs, before) = (visitor.app(), "accepted");
    let listing = theirs.card_options(own.clone()).await;
    stage.refused(&format!("{at}: a session of the second device"), before, listing);
    stage.refused(&format!("{at}: unbinding it from the first"), "accepted", app.unbind(token, first.as_str()).await);
    let ended = theirs.card_options(own).await;
    stage.refused(&format!("{at}: its session after that"), "SESSION_INVALID", ended);
    let gone = visitor.wallet.sign_in(None, &[Possession]).await;
    stage.refused(&format!("{at}: signing in with an unbound device"), "IDENTITY_NOT_VERIFIED", gone);
    visitor.wallet.device = main;
    let unknown = DeviceId::from_random([8; 16]);
    let nobody = app.unbind(token, unknown.as_str()).await;
    stage.refused(&format!("{at}: unbinding a device that is not there"), "DEVICE_NOT_FOUND", nobody);
    Ok(())
}

async fn listed(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, token: &Bytes) -> Result<()> {
    let at = visitor.bank_id();
    let listed = match visitor.app().credentials(token).await {
        Ok(list) => {
            let with_features = list.devices.iter().filter(|device| device.has_features).count();
            let (devices, passkeys) = (list.devices.len(), list.passkeys.len());
            format!("{devices} device, {with_features} with features, {passkeys} passkey")
        }
        Err(status) => outcome::<()>(Err(status)),
    };
    stage.check(&format!("{at}: what is registered in the end"), "1 device, 1 with features, 1 passkey", &listed);
    Ok(())
}
