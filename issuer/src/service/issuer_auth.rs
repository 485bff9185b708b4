//! `IssuerAuth`: sign-in.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use mesh::{secret::Secret, serve::RemoteAddr};
use proto::{
    fields::{Fields, Invalid},
    ids::ChallengeId,
    order::SignedOrder,
    pb::{
        self, issuer_auth_server::IssuerAuth, verify_identity_request::Proof as Received,
        verify_identity_response::Outcome,
    },
    require, time,
};
use tonic::{Request, Response, Status};

use crate::{
    audit::Actor,
    auth::{self, Assertion, Inherence, Knowledge, OrderToPay, Possession, Proof, Proven, SessionCall, SignedIn},
    context::Context,
    error::Error,
    orders,
};

mod devices;
mod passkeys;

/// The service.
#[derive(Clone, Debug)]
pub struct IssuerAuthService {
    ctx: Arc<Context>,
}

impl IssuerAuthService {
    /// Serves from this context.
    #[must_use]
    pub fn new(ctx: Arc<Context>) -> Self {
        Self { ctx }
    }
}

#[tonic::async_trait]
impl IssuerAuth for IssuerAuthService {
    async fn start_authentication(
        &self,
        request: Request<pb::StartAuthenticationRequest>,
    ) -> Result<Response<pb::StartAuthenticationResponse>, Status> {
        let origin = origin_of(&request);
        let request = request.into_inner();
        let (begun, session) = if request.session_token.is_empty() {
            self.ctx.audit.admits(self.ctx.clock.as_ref())?;
            let order = request.order.map(|order| self.order_to_pay(order)).transpose()?;
            (auth::begin(&self.ctx, order, origin)?, None)
        } else {
            if request.order.is_some() {
                return Err(Error::from(Invalid::field("order", "must be absent beside a session")).into());
            }
            let call = SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/StartAuthentication")
                .by(origin);
            let session = auth::session(&self.ctx, call).await?;
            (auth::begin_step_up(&self.ctx, &session, origin)?, Some(session))
        };
        Ok(Response::new(pb::StartAuthenticationResponse {
            challenge_id: begun.id.to_string(),
            challenge: bytes::Bytes::copy_from_slice(&begun.challenge),
            expires_at: Some(time::to_pb(begun.expires_at)),
            offered_factors: begun.offered.iter().map(|factor| factor.to_pb().into()).collect(),
            passkey_relying_party_id: passkeys::relying_party_id(&self.ctx),
            feature_count: devices::feature_count(&self.ctx),
            passkey_user_handle: session.map(|session| passkeys::user_handle(&self.ctx, &session)).unwrap_or_default(),
        }))
    }

    async fn verify_identity(
        &self,
        request: Request<pb::VerifyIdentityRequest>,
    ) -> Result<Response<pb::VerifyIdentityResponse>, Status> {
        let origin = origin_of(&request);
        let (challenge, proof) = parse_proof(request.into_inner())?;
        let outcome = match auth::prove(&self.ctx, challenge, proof, origin).await? {
            Proven::Session(new) => Outcome::Session(self.session_to_pb(Some(&new.token), &new.signed_in).await?),
            Proven::SteppedUp(session) => Outcome::Session(self.session_to_pb(None, &session).await?),
            Proven::Missing(factors) => {
                let any_of = factors.iter().map(|factor| factor.to_pb().into()).collect();
                Outcome::Missing(pb::FactorsMissing { any_of })
            }
        };
        Ok(Response::new(pb::VerifyIdentityResponse { outcome: Some(outcome) }))
    }

    async fn bind_device(
        &self,
        request: Request<pb::BindDeviceRequest>,
    ) -> Result<Response<pb::BindDeviceResponse>, Status> {
        let origin = origin_of(&request);
        Ok(Response::new(devices::bind(&self.ctx, request.into_inner(), origin).await?))
    }

    async fn unbind_device(
        &self,
        request: Request<pb::UnbindDeviceRequest>,
    ) -> Result<Response<pb::UnbindDeviceResponse>, Status> {
        let origin = origin_of(&request);
        Ok(Response::new(devices::unbind(&self.ctx, request.into_inner(), origin).await?))
    }

    async fn enroll_features(
        &self,
        request: Request<pb::EnrollFeaturesRequest>,
    ) -> Result<Response<pb::EnrollFeaturesResponse>, Status> {
        let origin = origin_of(&request);
        Ok(Response::new(devices::enroll(&self.ctx, request.into_inner(), origin).await?))
    }

    async fn register_passkey(
        &self,
        request: Request<pb::RegisterPasskeyRequest>,
    ) -> Result<Response<pb::RegisterPasskeyResponse>, Status> {
        let origin = origin_of(&request);
        Ok(Response::new(passkeys::register(&self.ctx, request.into_inner(), origin).await?))
    }

    async fn remove_passkey(
        &self,
        request: Request<pb::RemovePasskeyRequest>,
    ) -> Result<Response<pb::RemovePasskeyResponse>, Status> {
        let origin = origin_of(&request);
        Ok(Response::new(passkeys::remove(&self.ctx, request.into_inner(), origin).await?))
    }

    async fn list_credentials(
        &self,
        request: Request<pb::ListCredentialsRequest>,
    ) -> Result<Response<pb::ListCredentialsResponse>, Status> {
        let origin = origin_of(&request);
        let request = request.into_inner();
        let call =
            SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/ListCredentials").by(origin);
        let session = auth::session(&self.ctx, call).await?;
        Ok(Response::new(pb::ListCredentialsResponse {
            devices: devices::list(&self.ctx, &session).await?,
            passkeys: passkeys::list(&self.ctx, &session).await?,
        }))
    }

    async fn end_session(
        &self,
        request: Request<pb::EndSessionRequest>,
    ) -> Result<Response<pb::EndSessionResponse>, Status> {
        let actor = Actor::of(&request);
        auth::end(&self.ctx, &request.into_inner().session_token, actor).await?;
        Ok(Response::new(pb::EndSessionResponse {}))
    }
}

impl IssuerAuthService {
    fn order_to_pay(&self, order: pb::Signed) -> Result<OrderToPay, Error> {
        let order = SignedOrder::parse(order).map_err(|invalid| Error::Invalid(invalid.under("order")))?;
        orders::verify(&self.ctx, &order)?;
        let category = order.order.merchant.category;
        Ok(OrderToPay { digest: order.digest, amount: order.order.amount, category })
    }

    async fn session_to_pb(&self, token: Option<&Secret<[u8; 32]>>, session: &SignedIn) -> Result<pb::Session, Error> {
        let missing = auth::missing_to_pay(&self.ctx, session).await?;
        Ok(pb::Session {
            // The message's own copy can't be wiped: tonic drops it once it is sent.
            session_token: token.map(|token| bytes::Bytes::copy_from_slice(token.expose())).unwrap_or_default(),
            expires_at: Some(time::to_pb(session.expires_at)),
            factors: session.factors.iter().map(|factor| factor.to_pb().into()).collect(),
            can_pay: session.order.is_some() && missing.is_empty(),
            missing_to_pay: missing.iter().map(|factor| factor.to_pb().into()).collect(),
        })
    }
}

/// Where the caller is, for the bound on open challenges. Without an address, which `mesh` never leaves
/// out, all such callers would share one bound.
fn origin_of<T>(request: &Request<T>) -> IpAddr {
    request.extensions().get::<RemoteAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.0.ip())
}

/// The challenge and the proof.
fn parse_proof(request: pb::VerifyIdentityRequest) -> Result<(ChallengeId, Proof), Error> {
    let mut fields = Fields::new();
    let challenge = fields.text::<ChallengeId>("challenge_id", &request.challenge_id);
    let proof = match request.proof {
        Some(Received::Knowledge(proof)) => fields.nested("knowledge", Knowledge::parse(proof)).map(Proof::Knowledge),
        Some(Received::Inherence(proof)) => fields.nested("inherence", Inherence::parse(proof)).map(Proof::Inherence),
        Some(Received::Possession(proof)) => {
            fields.nested("possession", Possession::parse(proof)).map(Proof::Possession)
        }
        Some(Received::Passkey(proof)) => fields.nested("passkey", Assertion::parse(proof)).map(Proof::Passkey),
        None => {
            fields.wrong("proof", "must be set");
            None
        }
    };
    let parts = || -> Result<(ChallengeId, Proof), Invalid> {
        require!(fields; challenge, proof);
        Ok((challenge, proof))
    };
    Ok(parts()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn challenge_id() -> String {
        ChallengeId::from_random([1; 16]).to_string()
    }

    fn request(proof: Option<Received>) -> pb::VerifyIdentityRequest {
        pb::VerifyIdentityRequest { challenge_id: challenge_id(), proof }
    }

    fn knowledge(national_id: &str, user_code: &str, password: &str) -> Option<Received> {
        Some(Received::Knowledge(pb::KnowledgeProof {
            national_id: national_id.into(),
            user_code: user_code.into(),
            password: password.into(),
        }))
    }

    #[test]
    fn everything_malformed_is_named_and_nothing_is_repeated() {
        let bad =
            pb::VerifyIdentityRequest { challenge_id: "x".into(), ..request(knowledge("A123456780", "me", "hunter2")) };
        let error = parse_proof(bad).unwrap_err();
        let text = format!("{error} {error:?}");
        for path in ["challenge_id", "knowledge.national_id", "knowledge.user_code", "knowledge.password"] {
            assert!(text.contains(path), "{text}");
        }
        assert!(!text.contains("A123456780") && !text.contains("hunter2"), "{text}");
        assert!(matches!(parse_proof(request(None)), Err(Error::Invalid(_))));
    }

    #[test]
    fn a_parsed_proof_prints_nothing() {
        let (_, proof) = parse_proof(request(knowledge("A123456789", "mei-lin", "correct horse"))).unwrap();
        let text = format!("{proof:?}");
        assert!(!text.contains("A123456789") && !text.contains("mei-lin") && !text.contains("correct"), "{text}");
    }
}
