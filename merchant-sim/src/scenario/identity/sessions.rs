//! A bank that binds sessions to devices: a token alone, in whatever hands, is worth nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use mesh::channel::{device_channel, within};
use proto::authorization::Factor::{Knowledge, Possession};
use proto::ids::DeviceId;
use proto::pb;
use proto::pb::card_selection_client::CardSelectionClient;

use super::Visitor;
use crate::device::authenticators::SoftDevice;
use crate::scenario::stage::{Stage, TOLD_TIME};

/// Further off the bank's clock than a signed use may be.
const LATE: Duration = Duration::from_secs(10 * 60);

pub(super) async fn play(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let reached = visitor.wallet.sign_in(None, &[Possession]).await.context("sign-in")?;
    let token = reached.session.context("a device alone is not enough for a session")?.session_token;
    let own = visitor.app().card_options(token.clone()).await;
    stage.refused("the session that a device proved, on that device", "accepted", own);
    let stolen = visitor.bank.app.card_options(token.clone()).await;
    stage.refused("its token on another machine", "SESSION_INVALID", stolen);
    let device = visitor.wallet.device.clone().context("no device")?;
    let thief = Arc::new(SoftDevice::generate()?.bound_as(device.id().clone()));
    let forged = visitor.bank.app.on(&thief).card_options(token.clone()).await;
    stage.refused("its token under another key's signature", "SESSION_INVALID", forged);
    let stranger = Arc::new(SoftDevice::generate()?.bound_as(DeviceId::from_random([6; 16])));
    let strange = visitor.bank.app.on(&stranger).card_options(token.clone()).await;
    stage.refused("its token under an unknown device's signature", "SESSION_INVALID", strange);

    let channel = device_channel(&visitor.bank.issuer.endpoint, &stage.topology().authority)?;
    let mut cards = CardSelectionClient::new(channel);
    let mut list = async |session_use| {
        let request = pb::ListCardOptionsRequest { session_token: token.clone(), session_use: Some(session_use) };
        cards.list_card_options(within(request, TOLD_TIME)).await
    };
    let (now, list_cards) = (SystemTime::now(), "bankside.v1.CardSelection/ListCardOptions");
    let other = device.session_use(&token, "bankside.v1.CardSelection/GetCharge", now);
    stage.refused("a signature for another call", "SESSION_INVALID", list(other).await);
    let late = device.session_use(&token, list_cards, now - LATE);
    stage.refused("a signature of ten minutes ago", "SESSION_INVALID", list(late).await);
    let good = device.session_use(&token, list_cards, now);
    stage.refused("a signature for this call, of now", "accepted", list(good).await);

    let reached = visitor.wallet.sign_in(None, &[Knowledge]).await.context("sign-in")?;
    let token = reached.session.context("a password alone is not enough for a session")?.session_token;
    let free = visitor.bank.app.card_options(token).await;
    stage.refused("a session that a password proved, without a device", "accepted", free);
    Ok(())
}
