//! The bank's app: signs its customer in, lists the cards, pays, and follows the charge.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::channel::{MeshChannel, device_channel, within};
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::ids::ChargeId;
use proto::pb;
use proto::pb::card_selection_client::CardSelectionClient;
use proto::pb::issuer_auth_client::IssuerAuthClient;
use tonic::Status;

use super::authenticators::BoundDevice;
use crate::secrets::Secrets;
use crate::topology::{Customer, Issuer};

mod credentials;
mod sign_in;

pub use sign_in::{Challenge, Proved, any_of};

/// How long the app waits for its bank. Signing in costs the bank a password hash, and many may wait
/// for theirs at once.
const CALL_TIME: Duration = Duration::from_secs(30);

/// How long a charge is followed: the bank's own wait for a result is 10 s, and one that had to be
/// asked for again takes a few rounds more.
const WATCH_TIME: Duration = Duration::from_secs(60);

/// What a customer types in.
#[derive(Clone)]
pub struct Credentials {
    /// The national id.
    pub national_id: String,
    /// The user code.
    pub user_code: String,
    /// The password.
    pub password: String,
}

impl From<&Customer> for Credentials {
    fn from(customer: &Customer) -> Self {
        Self {
            national_id: customer.national_id.clone(),
            user_code: customer.user_code.clone(),
            password: customer.password.clone(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// A charge that was followed to its end.
#[derive(Clone, Debug)]
pub struct Paid {
    /// As it ended.
    pub charge: pb::Charge,
    /// Every state that was seen, in order.
    pub states: Vec<pb::ChargeState>,
}

/// The app of one bank on one device.
#[derive(Clone, Debug)]
pub struct BankApp {
    auth: IssuerAuthClient<MeshChannel>,
    cards: CardSelectionClient<MeshChannel>,
    /// Signs each use of a session, where the app has a bound device's key.
    device: Option<Arc<BoundDevice>>,
    /// Where the tokens and features that pass here are noted.
    secrets: Secrets,
}

impl BankApp {
    /// The app of this bank, with a connection of its own.
    ///
    /// # Errors
    /// The address or the authority's file can't be used.
    pub fn of(issuer: &Issuer, authority: &Path) -> Result<Self> {
        let channel = device_channel(&issuer.endpoint, authority)?;
        let (auth, cards) = (IssuerAuthClient::new(channel.clone()), CardSelectionClient::new(channel));
        Ok(Self { auth, cards, device: None, secrets: Secrets::default() })
    }

    /// The same app with the key of a bound device, which signs each use of a session from now on.
    #[must_use]
    pub fn on(&self, device: &Arc<BoundDevice>) -> Self {
        Self { device: Some(Arc::clone(device)), ..self.clone() }
    }

    /// The same app, which notes the secrets that pass it.
    #[must_use]
    pub fn noting(self, secrets: &Secrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// The customer's cards.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn card_options(&self, session_token: Bytes) -> Result<Vec<pb::CardOption>, Status> {
        let session_use = self.session_use(&session_token, "CardSelection/ListCardOptions");
        let request = within(pb::ListCardOptionsRequest { session_token, session_use }, CALL_TIME);
        Ok(self.cards.clone().list_card_options(request).await?.into_inner().card_options)
    }

    /// Submits a charge.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn submit(&self, mut request: pb::SubmitChargeRequest) -> Result<pb::Charge, Status> {
        request.session_use = self.session_use(&request.session_token, "CardSelection/SubmitCharge");
        let answer = self.cards.clone().submit_charge(within(request, CALL_TIME)).await?.into_inner();
        answer.charge.ok_or_else(|| Status::data_loss("an answer without a charge"))
    }

    /// A charge as it stands.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn charge(&self, session_token: Bytes, charge_id: &str) -> Result<pb::Charge, Status> {
        let session_use = self.session_use(&session_token, "CardSelection/GetCharge");
        let request = pb::GetChargeRequest { session_token, charge_id: charge_id.to_owned(), session_use };
        let answer = self.cards.clone().get_charge(within(request, CALL_TIME)).await?.into_inner();
        answer.charge.ok_or_else(|| Status::data_loss("an answer without a charge"))
    }

    /// Follows a charge until it is final.
    ///
    /// # Errors
    /// The issuer's status; `DATA_LOSS` where the stream ends before the charge does.
    pub async fn watch(&self, session_token: Bytes, charge_id: &str) -> Result<Paid, Status> {
        let session_use = self.session_use(&session_token, "CardSelection/WatchCharge");
        let request = pb::WatchChargeRequest { session_token, charge_id: charge_id.to_owned(), session_use };
        let mut stream = self.cards.clone().watch_charge(within(request, WATCH_TIME)).await?.into_inner();
        let mut states = Vec::new();
        while let Some(answer) = stream.message().await? {
            let charge = answer.charge.ok_or_else(|| Status::data_loss("an answer without a charge"))?;
            if states.last() != Some(&charge.state()) {
                states.push(charge.state());
            }
            if is_final(charge.state()) {
                return Ok(Paid { charge, states });
            }
        }
        Err(Status::data_loss("the stream ended before the charge"))
    }

    /// Submits a charge and follows it to its end.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn pay(&self, request: pb::SubmitChargeRequest) -> Result<Paid, Status> {
        let (token, charge_id) = (request.session_token.clone(), request.charge_id.clone());
        self.submit(request).await?;
        self.watch(token, &charge_id).await
    }

    /// The device's signature over a use of a session, where the app has a device.
    fn session_use(&self, token: &Bytes, rpc: &str) -> Option<pb::Signed> {
        let rpc = format!("bankside.v1.{rpc}");
        self.device.as_ref().map(|device| device.session_use(token, &rpc, SystemTime::now()))
    }
}

/// A charge request with a fresh id.
///
/// # Errors
/// The system gives no random bytes.
pub fn charge_request(token: &Bytes, order: pb::Signed, card_option_id: &str) -> Result<pb::SubmitChargeRequest> {
    let id = SystemEntropy::new().id().context("no charge id")?;
    Ok(pb::SubmitChargeRequest {
        session_token: token.clone(),
        charge_id: ChargeId::from_random(id).to_string(),
        order: Some(order),
        card_option_id: card_option_id.to_owned(),
        ticket: Bytes::new(),
        consent: None,
        session_use: None,
        device_confirmation: None,
    })
}

/// Whether a charge in this state stays in it.
#[must_use]
pub fn is_final(state: pb::ChargeState) -> bool {
    match state {
        pb::ChargeState::Approved | pb::ChargeState::Declined | pb::ChargeState::Abandoned => true,
        pb::ChargeState::Unspecified | pb::ChargeState::Held | pb::ChargeState::Sent | pb::ChargeState::Unknown => {
            false
        }
    }
}
