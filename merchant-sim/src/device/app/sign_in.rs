//! Signing in: a challenge, proofs under it, and a session that can be stepped up.

use bytes::Bytes;
use mesh::channel::within;
use proto::authorization::Factor;
use proto::pb;
use proto::pb::verify_identity_request::Proof;
use proto::pb::verify_identity_response::Outcome;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{BankApp, CALL_TIME, Credentials};

/// A challenge, as the bank gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Names it in `VerifyIdentity`.
    pub id: String,
    /// What a device, a passkey or a consent signs.
    pub bytes: [u8; 32],
    /// What can be proved here.
    pub offered: Vec<Factor>,
    /// The relying party of passkeys here; empty where there are none.
    pub relying_party_id: String,
    /// How many values a feature vector has here; zero where features are not offered.
    pub feature_count: usize,
    /// What a new passkey is registered for; empty where there is no session.
    pub user_handle: Bytes,
}

/// What a proof led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Proved {
    /// The customer is signed in.
    In(pb::Session),
    /// One of these is needed, too.
    Missing(Vec<Factor>),
}

impl BankApp {
    /// Begins a sign-in, for an order or without one.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn start(&self, order: Option<pb::Signed>) -> Result<Challenge, Status> {
        let request = pb::StartAuthenticationRequest { order, session_token: Bytes::new(), session_use: None };
        self.challenge(request).await
    }

    /// Begins to add a factor, a passkey or features to a session.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn step_up(&self, session_token: &Bytes) -> Result<Challenge, Status> {
        let session_use = self.session_use(session_token, "IssuerAuth/StartAuthentication");
        let session_token = session_token.clone();
        self.challenge(pb::StartAuthenticationRequest { order: None, session_token, session_use }).await
    }

    /// Proves one factor.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn prove(&self, challenge: &Challenge, proof: Proof) -> Result<Proved, Status> {
        if let Proof::Inherence(proof) = &proof {
            self.secrets.note_features(&proof.features);
        }
        let request = pb::VerifyIdentityRequest { challenge_id: challenge.id.clone(), proof: Some(proof) };
        let answer = self.auth.clone().verify_identity(within(request, CALL_TIME)).await?.into_inner();
        match answer.outcome {
            Some(Outcome::Session(session)) => {
                if !session.session_token.is_empty() {
                    self.secrets.note_token(&session.session_token);
                }
                Ok(Proved::In(session))
            }
            Some(Outcome::Missing(missing)) => Ok(Proved::Missing(factors(&missing.any_of))),
            None => Err(Status::data_loss("an answer without an outcome")),
        }
    }

    /// Proves one factor that is enough.
    ///
    /// # Errors
    /// The issuer's status; `FAILED_PRECONDITION` where the bank wants a further factor.
    pub async fn prove_last(&self, challenge: &Challenge, proof: Proof) -> Result<pb::Session, Status> {
        match self.prove(challenge, proof).await? {
            Proved::In(session) => Ok(session),
            Proved::Missing(_) => Err(Status::failed_precondition("the bank wants another factor")),
        }
    }

    /// Proves what the customer knows.
    ///
    /// # Errors
    /// As [`BankApp::prove_last`].
    pub async fn verify(&self, challenge: &Challenge, typed: &Credentials) -> Result<pb::Session, Status> {
        self.prove_last(challenge, typed.proof()).await
    }

    /// Signs in for an order with a password, both calls.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn sign_in(&self, order: Option<pb::Signed>, typed: &Credentials) -> Result<pb::Session, Status> {
        let challenge = self.start(order).await?;
        self.verify(&challenge, typed).await
    }

    async fn challenge(&self, request: pb::StartAuthenticationRequest) -> Result<Challenge, Status> {
        let answer = self.auth.clone().start_authentication(within(request, CALL_TIME)).await?.into_inner();
        let bytes = answer.challenge.as_ref().try_into();
        Ok(Challenge {
            id: answer.challenge_id,
            bytes: bytes.map_err(|_| Status::data_loss("a challenge that is not 32 bytes"))?,
            offered: factors(&answer.offered_factors),
            relying_party_id: answer.passkey_relying_party_id,
            feature_count: usize::try_from(answer.feature_count).unwrap_or_default(),
            user_handle: answer.passkey_user_handle,
        })
    }
}

impl Credentials {
    /// The proof of knowing them.
    #[must_use]
    pub fn proof(&self) -> Proof {
        Proof::Knowledge(pb::KnowledgeProof {
            national_id: self.national_id.clone(),
            user_code: self.user_code.clone(),
            password: self.password.clone(),
        })
    }
}

/// Which factors would help, where a call was refused for too few of them: what stands under "any_of" in
/// the status's ErrorInfo.
#[must_use]
pub fn any_of(status: &Status) -> Option<String> {
    status.get_details_error_info()?.metadata.get("any_of").cloned()
}

fn factors(numbers: &[i32]) -> Vec<Factor> {
    numbers.iter().filter_map(|number| Factor::parse(*number)).collect()
}
