//! A bank's app on a shopper's device.

use std::net::SocketAddr;

use bytes::Bytes;
use mesh::{
    channel::{MeshChannel, device_channel, within},
    clock::{Entropy as _, SystemEntropy},
};
use proto::{
    ids::ChargeId,
    pb::{
        self, card_selection_client::CardSelectionClient, issuer_auth_client::IssuerAuthClient,
        verify_identity_request::Proof, verify_identity_response::Outcome,
    },
};
use tonic::Status;

use crate::{
    customers::{Card, Customer},
    network::Network,
    wait::{PATIENCE, soon},
};

/// The app of one bank.
#[derive(Clone, Debug)]
pub struct App {
    auth: IssuerAuthClient<MeshChannel>,
    cards: CardSelectionClient<MeshChannel>,
}

/// A customer who has signed in, for one order.
#[derive(Clone, Debug)]
pub struct Session {
    app: App,
    token: Bytes,
    order: pb::Signed,
}

/// A charge that was submitted.
#[derive(Clone, Debug)]
pub struct Charge {
    session: Session,
    id: String,
}

impl App {
    /// The app of the bank at this address.
    #[must_use]
    pub fn new(network: &Network, at: SocketAddr) -> Self {
        let channel = device_channel(&format!("https://{at}"), &network.path("ca/ca.pem")).unwrap();
        Self { auth: IssuerAuthClient::new(channel.clone()), cards: CardSelectionClient::new(channel) }
    }

    /// Signs a customer in for an order.
    ///
    /// # Errors
    /// What the issuer says against the order.
    pub async fn sign_in(&self, customer: &Customer, order: &pb::Signed) -> Result<Session, Status> {
        let begin = pb::StartAuthenticationRequest { order: Some(order.clone()), ..Default::default() };
        let begun = self.auth.clone().start_authentication(within(begin, PATIENCE)).await?.into_inner();
        let proof = Some(Proof::Knowledge(pb::KnowledgeProof {
            national_id: customer.national_id(),
            user_code: customer.user_code(),
            password: customer.password(),
        }));
        let verify = pb::VerifyIdentityRequest { challenge_id: begun.challenge_id, proof };
        match self.auth.clone().verify_identity(within(verify, PATIENCE)).await?.into_inner().outcome {
            Some(Outcome::Session(session)) => {
                Ok(Session { app: self.clone(), token: session.session_token, order: order.clone() })
            }
            Some(Outcome::Missing(_)) | None => panic!("the customer is not signed in"),
        }
    }
}

impl Session {
    async fn options(&self) -> Vec<pb::CardOption> {
        let request = pb::ListCardOptionsRequest { session_token: self.token.clone(), session_use: None };
        let options = self.app.cards.clone().list_card_options(within(request, PATIENCE)).await;
        options.unwrap().into_inner().card_options
    }

    /// What is left on the customer's account, in minor units.
    pub async fn available(&self) -> i64 {
        self.options().await[0].available.as_ref().unwrap().minor_units
    }

    /// The same session with another order in the app.
    #[must_use]
    pub fn showing(self, order: &pb::Signed) -> Self {
        Self { order: order.clone(), ..self }
    }

    /// Submits a charge for the order under a fresh id.
    ///
    /// # Errors
    /// The issuer's refusal.
    pub async fn pay(&self, card: Card, ticket: Bytes) -> Result<Charge, Status> {
        let options = self.options().await;
        let option = options.iter().find(|option| option.label == card.label()).unwrap();
        let id = ChargeId::from_random(SystemEntropy::new().id().unwrap()).to_string();
        let request = pb::SubmitChargeRequest {
            session_token: self.token.clone(),
            charge_id: id.clone(),
            order: Some(self.order.clone()),
            card_option_id: option.card_option_id.clone(),
            ticket,
            consent: None,
            session_use: None,
            device_confirmation: None,
        };
        self.app.cards.clone().submit_charge(within(request, PATIENCE)).await?;
        Ok(Charge { session: self.clone(), id })
    }
}

impl Charge {
    /// The charge as it stands.
    pub async fn look(&self) -> pb::Charge {
        let request = pb::GetChargeRequest {
            session_token: self.session.token.clone(),
            charge_id: self.id.clone(),
            session_use: None,
        };
        let found = self.session.app.cards.clone().get_charge(within(request, PATIENCE)).await;
        found.unwrap().into_inner().charge.unwrap()
    }

    /// Waits until the charge is final.
    pub async fn end(&self) -> pb::Charge {
        let request = pb::WatchChargeRequest {
            session_token: self.session.token.clone(),
            charge_id: self.id.clone(),
            session_use: None,
        };
        let mut stream = self.session.app.cards.clone().watch_charge(request).await.unwrap().into_inner();
        loop {
            let change = soon("the charge's end", stream.message()).await.unwrap();
            let charge = change.expect("a charge's stream ends with the charge").charge.unwrap();
            if is_final(charge.state()) {
                return charge;
            }
        }
    }
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
