//! The signed result of an authorization.

use std::time::SystemTime;

use proto::{
    authorization::{AuthorizationResult, Decision},
    digest::Digest,
    money::Money,
    signed::Signed,
};

use crate::{context::Context, domain::attempt::AttemptId, records::Attempt};

/// What a result must name of its request.
pub(super) struct Subject<'a> {
    pub(super) id: &'a AttemptId,
    pub(super) request_digest: Digest,
    pub(super) order_digest: Digest,
    pub(super) amount: Money,
    /// When the request was signed; no result is dated before that.
    pub(super) signed_at: SystemTime,
}

impl<'a> Subject<'a> {
    pub(super) const fn of(attempt: &'a Attempt) -> Self {
        Self {
            id: &attempt.id,
            request_digest: attempt.request_digest,
            order_digest: attempt.order_digest,
            amount: attempt.amount,
            signed_at: attempt.signed_at,
        }
    }
}

/// Signs a result. It must not be sent before it is committed.
///
/// It is dated now, but never before its request: an issuer takes a result that is older than its request for
/// another one's, and after a clock was set back the result, which never changes, would be refused for ever.
pub(super) fn sign(context: &Context, subject: &Subject<'_>, decision: Decision, decided_at: SystemTime) -> Signed {
    let result = AuthorizationResult {
        authorization: subject.id.authorization.clone(),
        issuer: subject.id.issuer.clone(),
        acquirer: context.acquirer.clone(),
        request_digest: subject.request_digest,
        order_digest: subject.order_digest,
        amount: subject.amount,
        decision,
        decided_at: decided_at.max(subject.signed_at),
    };
    context.seal.sign(&result.to_pb())
}
