//! An issuer without an issuer's program: it holds the bank's signing key and says whatever it likes.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use certs::files::read;
use mesh::clock::{Entropy as _, SystemEntropy};
use mesh::sealing::SealingPublicKey;
use mesh::signing::Signer;
use prost::Message as _;
use proto::authorization::{Factor, Question, Request, Route, SEALED_CARD_INFO, sealed_card_aad};
use proto::card::{CardData, Expiry};
use proto::digest::Digest;
use proto::ids::{AuthorizationId, IssuerId};
use proto::order::SignedOrder;
use proto::pb;
use proto::signed::SignedBody;

use crate::topology::{Card, Issuer, KeyPair};

/// A bank's id and signing key.
#[derive(Debug)]
pub struct RawBank {
    id: IssuerId,
    signer: Signer,
}

/// An authorization request that can still be changed, outside and inside.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What a relay sees.
    pub route: pb::AuthorizationRoute,
    /// What the bank signs.
    pub request: pb::AuthorizationRequest,
}

impl RawBank {
    /// A bank of the network.
    ///
    /// # Errors
    /// Its signing key can't be used.
    pub fn of(issuer: &Issuer) -> Result<Self> {
        Self::called(&issuer.id, &issuer.signing)
    }

    /// Whoever holds this key, under this id.
    ///
    /// # Errors
    /// The key can't be used.
    pub fn called(id: &str, signing: &KeyPair) -> Result<Self> {
        let signer = Signer::from_pem(&read(&signing.certificate)?, &read(&signing.key)?)?;
        Ok(Self { id: id.parse()?, signer })
    }

    /// A request that is right in everything, for the whole order.
    ///
    /// # Errors
    /// The card can't be sealed to the order's key.
    pub fn draft(&self, order: &SignedOrder, card: &Card, ticket: &Bytes) -> Result<Draft> {
        let authorization = AuthorizationId::from_random(SystemEntropy::new().id()?);
        let request = Request {
            id: authorization.clone(),
            issuer: self.id.clone(),
            acquirer: order.order.acquirer.clone(),
            order: order.clone(),
            amount: order.order.amount,
            sealed_card: seal(order, &authorization, card)?,
            signed_at: SystemTime::now(),
            factors: vec![Factor::Knowledge],
            consent_digest: None,
            device_confirmation: None,
        };
        let route = Route {
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            authorization,
            order_digest: order.digest,
            amount: request.amount,
            ticket: ticket.clone(),
        };
        Ok(Draft { route: route.to_pb(), request: request.to_pb() })
    }

    /// Signs a draft as it stands.
    #[must_use]
    pub fn sign(&self, draft: &Draft) -> pb::AuthorizeRequest {
        pb::AuthorizeRequest { route: Some(draft.route.clone()), request: Some(sign(&self.signer, &draft.request)) }
    }

    /// The question what became of a request that some bank sent; it is asked under this bank's name.
    ///
    /// # Errors
    /// The request is none.
    pub fn question(&self, sent: &pb::AuthorizeRequest) -> Result<pb::ResolveAuthorizationRequest> {
        let route = Route::parse(sent.route.clone().context("a request without a route")?)?;
        let body = &sent.request.as_ref().context("a request without a body")?.body;
        let said = Request::parse(pb::AuthorizationRequest::decode(body.clone())?)?;
        let question = Question {
            authorization: said.id,
            issuer: self.id.clone(),
            acquirer: said.acquirer,
            request_digest: Digest::of(body),
            order_digest: said.order.digest,
            amount: said.amount,
            request_signed_at: said.signed_at,
            signed_at: SystemTime::now(),
        };
        let route = Route { issuer: self.id.clone(), ticket: Bytes::new(), ..route };
        Ok(pb::ResolveAuthorizationRequest {
            route: Some(route.to_pb()),
            request: Some(sign(&self.signer, &question.to_pb())),
        })
    }
}

/// Serialises once and signs these bytes.
#[must_use]
pub fn sign<M: SignedBody>(signer: &Signer, message: &M) -> pb::Signed {
    let body = Bytes::from(message.encode_to_vec());
    let signature = Bytes::copy_from_slice(&signer.sign(M::NAME, &body));
    pb::Signed { key_id: signer.key_id().to_string(), signature, body }
}

/// Seals a card to an order's key for one authorization.
///
/// # Errors
/// The card or the key is none.
pub fn seal(order: &SignedOrder, authorization: &AuthorizationId, card: &Card) -> Result<Bytes> {
    let card = CardData {
        pan: card.pan.parse().context("the card's number")?,
        expiry: Expiry::new(card.expiry_year, card.expiry_month)?,
        cvv: Some(card.cvv.parse().context("the card's CVV")?),
    };
    let aad = sealed_card_aad(&order.digest, authorization);
    let key = SealingPublicKey::from_bytes(&order.order.sealing_key)?;
    Ok(key.seal(SEALED_CARD_INFO, &aad, &card.encode())?.into())
}
