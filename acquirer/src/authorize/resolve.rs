//! What became of an authorization: the answer to an issuer that lost its own.

use std::time::Duration;

use proto::{
    authorization::{Carried, Decision, DeclineReason, Question, Route},
    pb,
    signed::Signed,
};

use super::{
    Authorizer,
    result::{self, Subject},
};
use crate::{
    domain::{
        attempt::{AttemptId, State},
        authorization::{Caller, Claim, Purpose, Refusal},
    },
    error::Error,
    orders::COMMIT_TRIES_MAX,
    records::Attempt,
    repository::{Changes, Loaded, Outcome},
};

/// What is known of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Its result.
    Result(Signed),
    /// It is being decided; ask again after this long.
    Pending(Duration),
}

impl Authorizer {
    /// Says what became of an authorization. One that was never received is declined by this for ever:
    /// the decline is committed where the request would be, so that one of the two comes first.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Contended`], [`Error::Repository`].
    pub async fn resolve(
        &self,
        caller: &Caller,
        route: &Route,
        question: &Carried<Question>,
    ) -> Result<Resolution, Error> {
        let asked = &question.says;
        let claim = Claim {
            purpose: Purpose::Resolve,
            route_agrees: asked.agrees_with(route),
            issuer: &asked.issuer,
            acquirer: &asked.acquirer,
            signed_at: asked.signed_at,
            request_signed_at: asked.request_signed_at,
        };
        self.admit::<pb::ResolveRequest>(&claim, caller, &question.signed)?;
        let id = AttemptId { issuer: asked.issuer.clone(), authorization: asked.authorization.clone() };
        for _ in 0..COMMIT_TRIES_MAX {
            if let Some(Loaded { entity: attempt, .. }) = self.attempt(&id).await? {
                if attempt.request_digest != asked.request_digest {
                    return Err(Refusal::AuthorizationIdReused.into());
                }
                return Ok(match attempt.state {
                    State::Decided(result) => Resolution::Result(result),
                    State::Deciding { .. } => Resolution::Pending(self.context.limits.resolve_retry_after.get()),
                });
            }
            let (tombstone, result) = self.tombstone(&id, asked);
            match self.context.repository.commit(Changes::new().create(&tombstone)).await? {
                Outcome::Committed(_) => {
                    tracing::info!(attempt = %id, "declined for ever: it was never received");
                    return Ok(Resolution::Result(result));
                }
                // The request came first, or another question did.
                Outcome::Stale | Outcome::Duplicate(_) => {}
            }
        }
        Err(Error::Contended)
    }

    fn tombstone(&self, id: &AttemptId, asked: &Question) -> (Attempt, Signed) {
        let subject = Subject {
            id,
            request_digest: asked.request_digest,
            order_digest: asked.order_digest,
            amount: asked.amount,
        };
        let decision = Decision::Declined(DeclineReason::NeverReceived);
        let result = result::sign(&self.context, &subject, decision, self.context.clock.now());
        let attempt = Attempt {
            id: id.clone(),
            request_digest: asked.request_digest,
            order_digest: asked.order_digest,
            amount: asked.amount,
            signed_at: asked.request_signed_at,
            order: None,
            factors: Vec::new(),
            consent_digest: None,
            state: State::Decided(result.clone()),
        };
        (attempt, result)
    }
}
