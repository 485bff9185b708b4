//! What became of an authorization: the answer to an issuer that lost its own.

use std::time::{Duration, SystemTime};

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
    bounds::Awaited,
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
    /// It is being decided.
    Pending(Pending),
}

/// What is known of an authorization that is being decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Ask again after this long.
    pub retry_after: Duration,
    /// Who owes the next message, and by when.
    pub awaited: Awaited,
    /// By when it has its result, if nothing is broken.
    pub decided_by: SystemTime,
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
                // A question that names another order or amount is about another request, whatever digest it has.
                let named = (asked.request_digest, asked.order_digest, asked.amount);
                if (attempt.request_digest, attempt.order_digest, attempt.amount) != named {
                    return Err(Refusal::AuthorizationIdReused.into());
                }
                return Ok(match attempt.state {
                    State::Decided(result) => Resolution::Result(result),
                    State::Deciding { deadline, .. } => Resolution::Pending(self.pending(deadline)),
                });
            }
            self.within_reach(asked.request_signed_at)?;
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

    fn pending(&self, deadline: SystemTime) -> Pending {
        let bounds = self.context.bounds();
        Pending {
            retry_after: self.context.limits.resolve_retry_after.get(),
            awaited: bounds.awaited(deadline, self.context.clock.now()),
            decided_by: bounds.decided_by(deadline),
        }
    }

    fn tombstone(&self, id: &AttemptId, asked: &Question) -> (Attempt, Signed) {
        let subject = Subject {
            id,
            request_digest: asked.request_digest,
            order_digest: asked.order_digest,
            amount: asked.amount,
            signed_at: asked.request_signed_at,
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
