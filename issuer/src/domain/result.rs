//! Whether a result answers the request that was sent.
//!
//! A valid signature says who decided and what; it doesn't say that this is *our* answer. An old decline,
//! or the approval of another amount, is just as well signed.

use std::time::SystemTime;

use proto::{
    authorization::{AuthorizationResult, Decision},
    digest::Digest,
    ids::{AcquirerId, AuthorizationId, IssuerId},
    money::Money,
    time::CLOCK_SKEW_MAX,
};

/// What was asked: everything that a result must repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The authorization.
    pub authorization: AuthorizationId,
    /// The issuer that asked.
    pub issuer: IssuerId,
    /// The acquirer that was asked.
    pub acquirer: AcquirerId,
    /// The request's body.
    pub request_digest: Digest,
    /// The order's body.
    pub order_digest: Digest,
    /// The amount.
    pub amount: Money,
    /// When the request was signed.
    pub signed_at: SystemTime,
}

/// What in a result is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnswer {
    /// It decides another authorization.
    #[error("the result is for another authorization")]
    Authorization,
    /// It is another issuer's.
    #[error("the result is for another issuer")]
    Issuer,
    /// Another acquirer decided.
    #[error("the result is another acquirer's")]
    Acquirer,
    /// It decides another request.
    #[error("the result is for another request")]
    Request,
    /// It decides another order.
    #[error("the result is for another order")]
    Order,
    /// It decides another amount.
    #[error("the result is for another amount")]
    Amount,
    /// It says that it was decided before the request was made.
    #[error("the result says that it is older than the request")]
    BeforeRequest,
    /// It says that it was decided in the future.
    #[error("the result says that it is from the future")]
    InFuture,
}

impl Asked {
    /// The decision, where the result answers this request.
    ///
    /// The times matter because a signature is judged at the time that the signed body names: whoever
    /// has got hold of a retired key could date a result back into the key's time, but not after our request.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn answered_by(&self, result: &AuthorizationResult, now: SystemTime) -> Result<Decision, NotAnAnswer> {
        let checks = [
            (self.authorization == result.authorization, NotAnAnswer::Authorization),
            (self.issuer == result.issuer, NotAnAnswer::Issuer),
            (self.acquirer == result.acquirer, NotAnAnswer::Acquirer),
            (self.request_digest == result.request_digest, NotAnAnswer::Request),
            (self.order_digest == result.order_digest, NotAnAnswer::Order),
            (self.amount == result.amount, NotAnAnswer::Amount),
            (result.decided_at + CLOCK_SKEW_MAX >= self.signed_at, NotAnAnswer::BeforeRequest),
            (result.decided_at <= now + CLOCK_SKEW_MAX, NotAnAnswer::InFuture),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, difference)) => Err(difference),
            None => Ok(result.decision),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, UNIX_EPOCH};

    use proto::authorization::DeclineReason;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn money(code: &str, units: i64) -> Money {
        Money::new(code.parse().unwrap(), units).unwrap()
    }

    fn asked() -> Asked {
        Asked {
            authorization: AuthorizationId::from_random([1; 16]),
            issuer: "bank-a".parse().unwrap(),
            acquirer: "bank-b".parse().unwrap(),
            request_digest: Digest::of(b"request"),
            order_digest: Digest::of(b"order"),
            amount: money("TWD", 100),
            signed_at: at(0),
        }
    }

    fn result() -> AuthorizationResult {
        let asked = asked();
        AuthorizationResult {
            authorization: asked.authorization,
            issuer: asked.issuer,
            acquirer: asked.acquirer,
            request_digest: asked.request_digest,
            order_digest: asked.order_digest,
            amount: asked.amount,
            decision: Decision::Approved("A1B2C3".parse().unwrap()),
            decided_at: at(1),
        }
    }

    #[test]
    fn the_answer_is_taken() {
        assert_eq!(asked().answered_by(&result(), at(2)), Ok(result().decision));
        let declined = AuthorizationResult { decision: Decision::Declined(DeclineReason::NeverReceived), ..result() };
        assert_eq!(asked().answered_by(&declined, at(2)), Ok(declined.decision));
    }

    #[test]
    fn every_difference_is_noticed() {
        let cases = [
            (
                NotAnAnswer::Authorization,
                AuthorizationResult { authorization: AuthorizationId::from_random([2; 16]), ..result() },
            ),
            (NotAnAnswer::Issuer, AuthorizationResult { issuer: "bank-c".parse().unwrap(), ..result() }),
            (NotAnAnswer::Acquirer, AuthorizationResult { acquirer: "bank-c".parse().unwrap(), ..result() }),
            (NotAnAnswer::Request, AuthorizationResult { request_digest: Digest::of(b"other"), ..result() }),
            (NotAnAnswer::Order, AuthorizationResult { order_digest: Digest::of(b"other"), ..result() }),
            (NotAnAnswer::Amount, AuthorizationResult { amount: money("TWD", 99), ..result() }),
            (NotAnAnswer::Amount, AuthorizationResult { amount: money("USD", 100), ..result() }),
        ];
        for (expected, wrong) in cases {
            assert_eq!(asked().answered_by(&wrong, at(2)), Err(expected));
        }
    }

    #[test]
    fn clocks_may_differ_by_a_minute_and_no_more() {
        let decided = |decided_at| AuthorizationResult { decided_at, ..result() };
        let early = at(0) - CLOCK_SKEW_MAX;
        assert!(asked().answered_by(&decided(early), at(0)).is_ok());
        let earlier = early - Duration::from_millis(1);
        assert_eq!(asked().answered_by(&decided(earlier), at(0)), Err(NotAnAnswer::BeforeRequest));
        let late = at(0) + CLOCK_SKEW_MAX;
        assert!(asked().answered_by(&decided(late), at(0)).is_ok());
        let later = late + Duration::from_millis(1);
        assert_eq!(asked().answered_by(&decided(later), at(0)), Err(NotAnAnswer::InFuture));
    }
}
