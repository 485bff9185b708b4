//! Why a call is refused, and the one place where that becomes a gRPC status.
//!
//! A declined payment is no error: it is a signed result.

use std::time::Duration;

use mesh::{clock::EntropyFailed, status};
use proto::{fields::Invalid, reason::Reason};
use tonic::{Code, Status};

use crate::{domain::authorization::Refusal, keys::KeyError, outbox, repository};

/// What a caller of a contended record is told to wait: the conflicts that it lost to are over by then.
const CONTENDED_RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a caller is told to wait where there is no room: some of the work has ended by then.
const OVERLOADED_RETRY_AFTER: Duration = Duration::from_millis(200);

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are wrong.
    #[error("the request is malformed: {0}")]
    Invalid(#[from] Invalid),
    /// The caller is no merchant of ours.
    #[error("the merchant is unknown")]
    MerchantUnknown,
    /// The amount or currency is not allowed.
    #[error("the amount is over the merchant's limit")]
    MerchantLimit,
    /// The reference stands for an order with other content.
    #[error("the reference was used for other content")]
    ReferenceReused,
    /// The reference stands for an order that was removed, and for no other yet.
    #[error("the reference stands for an order that was removed")]
    OrderRemoved,
    /// Events that come after the cursor were removed.
    #[error("events after the cursor were removed")]
    EventsRemoved,
    /// The merchant has no such order.
    #[error("the order is not found")]
    OrderNotFound,
    /// The acquirer keeps no such order, whoever's it is.
    #[error("the order is not kept")]
    OrderNotKept,
    /// The acquirer has taken on no such merchant, for an operator who asks about it.
    #[error("there is no such merchant")]
    MerchantNotKept,
    /// The caller is not listened to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our copy of the bank directory is too old to start anything new.
    #[error("the copy of the bank directory is too old")]
    DirectoryStale,
    /// The record changed under every try.
    #[error("the record is contended")]
    Contended,
    /// More is worked on than there is room for; nothing was recorded.
    #[error("too many authorizations are worked on")]
    Overloaded,
    /// The task that works on it ended early; what it had committed stands.
    #[error("the work was interrupted")]
    Interrupted,
    /// The store failed, or holds what it can't hold.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The outbox can't be looked at.
    #[error(transparent)]
    Outbox(#[from] outbox::ParkedError),
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There are no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Records contradict each other.
    #[error("inconsistent: {0}")]
    Inconsistent(&'static str),
}

impl From<repository::Damaged> for Error {
    fn from(damaged: repository::Damaged) -> Self {
        Self::Repository(damaged.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let refuse = |code, reason: Reason, message: &str| status::Refusal::new(code, reason, message);
        match error {
            Error::Invalid(invalid) => {
                let message = "the request has fields that are missing or wrong";
                let refusal = refuse(Code::InvalidArgument, Reason::InvalidField, message);
                let add = |refusal: status::Refusal, wrong: proto::fields::Violation| {
                    refusal.violation(wrong.path, wrong.description)
                };
                invalid.violations.into_iter().fold(refusal, add).into()
            }
            Error::MerchantUnknown => {
                refuse(Code::PermissionDenied, Reason::MerchantUnknown, "this acquirer does not know this merchant")
                    .into()
            }
            Error::MerchantLimit => refuse(
                Code::FailedPrecondition,
                Reason::MerchantLimit,
                "the amount or its currency is not one that this merchant may take",
            )
            .into(),
            Error::ReferenceReused => refuse(
                Code::AlreadyExists,
                Reason::ReferenceReused,
                "this reference stands for an order with other content; take a new one",
            )
            .into(),
            Error::OrderRemoved => refuse(
                Code::FailedPrecondition,
                Reason::OutsideRetention,
                "this reference stands for an order that was removed long ago; take a new one",
            )
            .into(),
            Error::EventsRemoved => refuse(
                Code::OutOfRange,
                Reason::OutsideRetention,
                "events after this cursor were removed; begin without a cursor at the oldest that is kept, and ask \
                 for the orders that you miss",
            )
            .into(),
            Error::OrderNotFound => not_found(Reason::OrderNotFound, "the merchant has no such order"),
            Error::OrderNotKept => not_found(Reason::OrderNotFound, "this acquirer keeps no such order"),
            Error::MerchantNotKept => not_found(Reason::MerchantUnknown, "this acquirer has no such merchant"),
            Error::Refused(refusal) => refused(refusal).into(),
            Error::Contended => refuse(Code::Unavailable, Reason::Unavailable, "too many changes at once; try again")
                .retry_after(CONTENDED_RETRY_AFTER)
                .into(),
            Error::DirectoryStale => refuse(
                Code::Unavailable,
                Reason::DirectoryStale,
                "the copy of the bank directory is too old to start an authorization",
            )
            .into(),
            Error::Overloaded => {
                refuse(Code::ResourceExhausted, Reason::Overloaded, "too many authorizations at once; try again later")
                    .retry_after(OVERLOADED_RETRY_AFTER)
                    .into()
            }
            Error::Interrupted => {
                refuse(Code::Unavailable, Reason::Unavailable, "the work was interrupted; ask again with the same id")
                    .into()
            }
            Error::Repository(repository::Error::Store(error)) => status::store_failed("using the store", &error),
            Error::Repository(error) => status::internal("using the store", error),
            Error::Outbox(error) => status::internal("looking at the outbox", error),
            Error::Key(error) => status::internal("using a key", error),
            Error::Entropy(error) => status::internal("drawing random bytes", error),
            Error::Inconsistent(what) => status::internal("comparing records", what),
        }
    }
}

fn not_found(reason: Reason, message: &str) -> Status {
    status::Refusal::new(Code::NotFound, reason, message).into()
}

fn refused(refusal: Refusal) -> status::Refusal {
    let (code, reason) = match refusal {
        Refusal::RouteMismatch => (Code::InvalidArgument, Reason::RouteMismatch),
        Refusal::AcquirerMismatch => (Code::InvalidArgument, Reason::AcquirerMismatch),
        Refusal::IssuerMismatch => (Code::PermissionDenied, Reason::IssuerMismatch),
        Refusal::MemberUnknown => (Code::PermissionDenied, Reason::MemberUnknown),
        Refusal::MemberSuspended => (Code::PermissionDenied, Reason::MemberSuspended),
        Refusal::SignatureInvalid => (Code::Unauthenticated, Reason::SignatureInvalid),
        Refusal::SignedAhead => (Code::InvalidArgument, Reason::SignedAtOutOfRange),
        Refusal::OutsideRetention => (Code::FailedPrecondition, Reason::OutsideRetention),
        Refusal::AuthorizationIdReused => (Code::AlreadyExists, Reason::AuthorizationIdReused),
    };
    status::Refusal::new(code, reason, refusal.to_string())
}

#[cfg(test)]
mod tests;
