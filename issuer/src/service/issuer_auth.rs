//! `IssuerAuth`: sign-in.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use mesh::serve::RemoteAddr;
use proto::{
    fields::{Fields, Invalid},
    ids::ChallengeId,
    order::SignedOrder,
    pb::{self, issuer_auth_server::IssuerAuth, verify_identity_request::Proof},
    require, time,
};
use tonic::{Request, Response, Status};

use crate::{
    auth::{self, Knowledge, NewSession, OrderToPay},
    context::Context,
    error::Error,
    orders,
};

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
        let order = match request.into_inner().order {
            None => None,
            Some(order) => {
                let order = SignedOrder::parse(order).map_err(|invalid| Error::Invalid(invalid.under("order")))?;
                orders::verify(&self.ctx, &order)?;
                Some(OrderToPay { digest: order.digest, amount: order.order.amount })
            }
        };
        let begun = auth::begin(&self.ctx, order, origin)?;
        Ok(Response::new(pb::StartAuthenticationResponse {
            challenge_id: begun.id.to_string(),
            challenge: bytes::Bytes::copy_from_slice(&begun.challenge),
            expires_at: Some(time::to_pb(begun.expires_at)),
            offered_factors: begun.offered.iter().map(|factor| factor.to_pb().into()).collect(),
        }))
    }

    async fn verify_identity(
        &self,
        request: Request<pb::VerifyIdentityRequest>,
    ) -> Result<Response<pb::VerifyIdentityResponse>, Status> {
        let (challenge, knowledge) = parse_proof(request.into_inner())?;
        let session = auth::prove_knowledge(&self.ctx, &challenge, knowledge).await?;
        Ok(Response::new(pb::VerifyIdentityResponse {
            outcome: Some(pb::verify_identity_response::Outcome::Session(session_to_pb(&session))),
        }))
    }

    async fn bind_device(&self, _: Request<pb::BindDeviceRequest>) -> Result<Response<pb::BindDeviceResponse>, Status> {
        Err(Error::CredentialNotOffered.into())
    }

    async fn unbind_device(
        &self,
        _: Request<pb::UnbindDeviceRequest>,
    ) -> Result<Response<pb::UnbindDeviceResponse>, Status> {
        Err(Error::CredentialNotOffered.into())
    }

    async fn end_session(
        &self,
        request: Request<pb::EndSessionRequest>,
    ) -> Result<Response<pb::EndSessionResponse>, Status> {
        auth::end(&self.ctx, &request.into_inner().session_token).await.map_err(Error::from)?;
        Ok(Response::new(pb::EndSessionResponse {}))
    }
}

/// Where the caller is, for the bound on open challenges. Without an address, which `mesh` never leaves
/// out, all such callers would share one bound.
fn origin_of<T>(request: &Request<T>) -> IpAddr {
    request.extensions().get::<RemoteAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.0.ip())
}

/// The challenge, and the proof where it is of a kind that is offered.
fn parse_proof(request: pb::VerifyIdentityRequest) -> Result<(ChallengeId, Knowledge), Error> {
    let mut fields = Fields::new();
    let challenge = fields.text::<ChallengeId>("challenge_id", &request.challenge_id);
    let knowledge = match request.proof {
        Some(Proof::Knowledge(proof)) => fields.nested("knowledge", Knowledge::parse(proof)),
        Some(Proof::Inherence(_) | Proof::Possession(_) | Proof::Passkey(_)) => {
            return Err(Error::CredentialNotOffered);
        }
        None => {
            fields.wrong("proof", "must be set");
            None
        }
    };
    Ok(required(fields, challenge, knowledge)?)
}

fn required<A, B>(fields: Fields, challenge: Option<A>, knowledge: Option<B>) -> Result<(A, B), Invalid> {
    require!(fields; challenge, knowledge);
    Ok((challenge, knowledge))
}

fn session_to_pb(session: &NewSession) -> pb::Session {
    pb::Session {
        // The message's own copy can't be wiped: tonic drops it once it is sent.
        session_token: bytes::Bytes::copy_from_slice(session.token.expose()),
        expires_at: Some(time::to_pb(session.signed_in.expires_at)),
        factors: session.signed_in.factors.iter().map(|factor| factor.to_pb().into()).collect(),
        can_pay: session.signed_in.can_pay,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tonic::Code;

    use super::*;

    fn challenge_id() -> String {
        ChallengeId::from_random([1; 16]).to_string()
    }

    fn request(proof: Option<Proof>) -> pb::VerifyIdentityRequest {
        pb::VerifyIdentityRequest { challenge_id: challenge_id(), proof }
    }

    fn knowledge(national_id: &str, user_code: &str, password: &str) -> Option<Proof> {
        Some(Proof::Knowledge(pb::KnowledgeProof {
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

    #[test]
    fn other_credentials_are_not_offered() {
        for proof in [
            Proof::Inherence(pb::InherenceProof::default()),
            Proof::Possession(pb::PossessionProof::default()),
            Proof::Passkey(pb::PasskeyProof::default()),
        ] {
            let status = Status::from(parse_proof(request(Some(proof))).unwrap_err());
            assert_eq!(status.code(), Code::Unimplemented);
            assert_eq!(mesh::status::reason_of(&status).as_deref(), Some("CREDENTIAL_NOT_OFFERED"));
        }
    }
}
