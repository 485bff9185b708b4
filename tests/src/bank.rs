//! An issuer that a test plays: it signs and sends whatever the test wants.

use std::time::SystemTime;

use bytes::Bytes;
use mesh::{
    channel::{MeshChannel, within},
    clock::{Entropy as _, SystemEntropy},
    sealing::SealingPublicKey,
    signing::Signer,
};
use proto::{
    authorization::{Factor, Question, Request, Route, SEALED_CARD_INFO, sealed_card_aad},
    card::CardData,
    ids::AuthorizationId,
    order::SignedOrder,
    pb::{self, authorization_client::AuthorizationClient},
};
use tonic::Status;

use crate::{network::sign, wait::PATIENCE};

/// A played issuer.
#[derive(Clone, Debug)]
pub struct Bank {
    /// Its id.
    pub id: &'static str,
    /// Its signing key.
    pub signer: Signer,
}

impl Bank {
    /// An honest request for an order, under a fresh authorization id.
    #[must_use]
    pub fn request(&self, order: &SignedOrder, card: &CardData) -> Request {
        let id = AuthorizationId::from_random(SystemEntropy::new().id().unwrap());
        let aad = sealed_card_aad(&order.digest, &id);
        let key = SealingPublicKey::from_bytes(&order.order.sealing_key).unwrap();
        Request {
            sealed_card: key.seal(SEALED_CARD_INFO, &aad, &card.encode()).unwrap().into(),
            id,
            issuer: self.id.parse().unwrap(),
            acquirer: order.order.acquirer.clone(),
            order: order.clone(),
            amount: order.order.amount,
            signed_at: SystemTime::now(),
            factors: vec![Factor::Knowledge],
            consent_digest: None,
            device_confirmation: None,
        }
    }

    /// A request as it travels, with a route that agrees with it.
    #[must_use]
    pub fn message(&self, request: &Request, ticket: Bytes) -> pb::AuthorizeRequest {
        let route = Route {
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            authorization: request.id.clone(),
            order_digest: request.order.digest,
            amount: request.amount,
            ticket,
        };
        let signed = sign(&self.signer, &request.to_pb()).to_pb();
        pb::AuthorizeRequest { route: Some(route.to_pb()), request: Some(signed) }
    }

    /// The question what became of a message.
    #[must_use]
    pub fn question(&self, asked: &pb::AuthorizeRequest, request: &Request) -> pb::ResolveAuthorizationRequest {
        let body = asked.request.as_ref().unwrap().body.as_ref();
        let question = Question {
            authorization: request.id.clone(),
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            request_digest: proto::digest::Digest::of(body),
            order_digest: request.order.digest,
            amount: request.amount,
            request_signed_at: request.signed_at,
            signed_at: SystemTime::now(),
        };
        let signed = sign(&self.signer, &question.to_pb()).to_pb();
        pb::ResolveAuthorizationRequest { route: asked.route.clone(), request: Some(signed) }
    }
}

/// Sends a request.
///
/// # Errors
/// The status of whoever refuses it.
pub async fn authorize(by: &MeshChannel, message: pb::AuthorizeRequest) -> Result<pb::AuthorizeResponse, Status> {
    Ok(AuthorizationClient::new(by.clone()).authorize(within(message, PATIENCE)).await?.into_inner())
}

/// Sends a question.
///
/// # Errors
/// The status of whoever refuses it.
pub async fn resolve(
    by: &MeshChannel,
    message: pb::ResolveAuthorizationRequest,
) -> Result<pb::ResolveAuthorizationResponse, Status> {
    Ok(AuthorizationClient::new(by.clone()).resolve_authorization(within(message, PATIENCE)).await?.into_inner())
}
