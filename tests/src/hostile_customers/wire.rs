//! A bank's device port, as somebody calls it who sends whatever he likes.

use std::net::SocketAddr;

use bytes::Bytes;
use mesh::channel::{MeshChannel, device_channel, within};
use proto::{
    order::SignedOrder,
    pb::{
        self, card_selection_client::CardSelectionClient, issuer_auth_client::IssuerAuthClient,
        verify_identity_request::Proof, verify_identity_response::Outcome,
    },
};
use tonic::Status;

use crate::{network::Network, wait::PATIENCE};

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    auth: IssuerAuthClient<MeshChannel>,
    cards: CardSelectionClient<MeshChannel>,
}

/// A challenge.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) id: String,
    pub(crate) bytes: [u8; 32],
}

impl Wire {
    /// A connection of its own.
    pub(crate) fn new(network: &Network, at: SocketAddr) -> Self {
        let channel = device_channel(&format!("https://{at}"), &network.path("ca/ca.pem")).unwrap();
        Self { auth: IssuerAuthClient::new(channel.clone()), cards: CardSelectionClient::new(channel) }
    }

    /// Begins a sign-in, or with a session its step-up.
    pub(crate) async fn start(&self, request: pb::StartAuthenticationRequest) -> Result<Challenge, Status> {
        let begun = self.auth.clone().start_authentication(within(request, PATIENCE)).await?.into_inner();
        Ok(Challenge { id: begun.challenge_id, bytes: begun.challenge.as_ref().try_into().unwrap() })
    }

    /// Begins a sign-in.
    pub(crate) async fn begin(&self, order: Option<&SignedOrder>) -> Challenge {
        let order = order.map(|order| order.signed.to_pb());
        self.start(pb::StartAuthenticationRequest { order, ..Default::default() }).await.unwrap()
    }

    /// Proves a factor.
    pub(crate) async fn verify(&self, challenge: &str, proof: Proof) -> Result<Outcome, Status> {
        let request = pb::VerifyIdentityRequest { challenge_id: challenge.to_owned(), proof: Some(proof) };
        let answered = self.auth.clone().verify_identity(within(request, PATIENCE)).await?;
        Ok(answered.into_inner().outcome.unwrap())
    }

    /// The same, and what came of it in a word.
    pub(crate) async fn prove(&self, challenge: &str, proof: Proof) -> Result<String, Status> {
        self.verify(challenge, proof).await.map(|outcome| told(&outcome))
    }

    pub(crate) async fn bind(&self, request: pb::BindDeviceRequest) -> Result<String, Status> {
        Ok(self.auth.clone().bind_device(within(request, PATIENCE)).await?.into_inner().device_id)
    }

    pub(crate) async fn unbind(&self, request: pb::UnbindDeviceRequest) -> Result<String, Status> {
        self.auth.clone().unbind_device(within(request, PATIENCE)).await.map(|_| "unbound".into())
    }

    pub(crate) async fn enroll(&self, request: pb::EnrollFeaturesRequest) -> Result<String, Status> {
        self.auth.clone().enroll_features(within(request, PATIENCE)).await.map(|_| "enrolled".into())
    }

    pub(crate) async fn register(&self, request: pb::RegisterPasskeyRequest) -> Result<String, Status> {
        self.auth.clone().register_passkey(within(request, PATIENCE)).await.map(|_| "registered".into())
    }

    pub(crate) async fn remove(&self, request: pb::RemovePasskeyRequest) -> Result<String, Status> {
        self.auth.clone().remove_passkey(within(request, PATIENCE)).await.map(|_| "removed".into())
    }

    pub(crate) async fn credentials(
        &self,
        request: pb::ListCredentialsRequest,
    ) -> Result<pb::ListCredentialsResponse, Status> {
        Ok(self.auth.clone().list_credentials(within(request, PATIENCE)).await?.into_inner())
    }

    pub(crate) async fn end(&self, session_token: Bytes) {
        let request = pb::EndSessionRequest { session_token };
        self.auth.clone().end_session(within(request, PATIENCE)).await.unwrap();
    }

    pub(crate) async fn options(&self, request: pb::ListCardOptionsRequest) -> Result<Vec<pb::CardOption>, Status> {
        Ok(self.cards.clone().list_card_options(within(request, PATIENCE)).await?.into_inner().card_options)
    }

    /// Submits a charge, and tells that it was taken.
    pub(crate) async fn submit(&self, request: pb::SubmitChargeRequest) -> Result<String, Status> {
        self.cards.clone().submit_charge(within(request, PATIENCE)).await.map(|_| "charged".into())
    }

    pub(crate) async fn look(&self, request: pb::GetChargeRequest) -> Result<pb::Charge, Status> {
        Ok(self.cards.clone().get_charge(within(request, PATIENCE)).await?.into_inner().charge.unwrap())
    }

    /// Opens the stream of a charge, and tells how it stands.
    pub(crate) async fn watch(&self, request: pb::WatchChargeRequest) -> Result<String, Status> {
        let mut stream = self.cards.clone().watch_charge(request).await?.into_inner();
        let first = crate::wait::soon("a charge", stream.message()).await?;
        Ok(format!("{:?}", first.and_then(|change| change.charge).map(|charge| charge.state())))
    }
}

/// What a proof led to, in a word.
pub(crate) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Session(session) => format!("a session of {}", names(&session.factors)),
        Outcome::Missing(missing) => format!("missing {}", names(&missing.any_of)),
    }
}

fn names(factors: &[i32]) -> String {
    let name = |number: &i32| {
        let factor = pb::AuthenticationFactor::try_from(*number).unwrap_or_default();
        factor.as_str_name().trim_start_matches("AUTHENTICATION_FACTOR_").to_owned()
    };
    factors.iter().map(name).collect::<Vec<_>>().join(", ")
}
