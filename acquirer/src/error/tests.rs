#![allow(clippy::unwrap_used)]

use mesh::{
    sealing::at_rest::VaultError,
    status::{reason_of, retry_after_of, violations_of},
    store::StoreError,
};

use super::*;

#[test]
fn every_error_has_its_status() {
    let internal = (Code::Internal, "INTERNAL");
    let cases = [
        (Error::Invalid(Invalid::field("amount", "must be set")), (Code::InvalidArgument, "INVALID_FIELD")),
        (Error::MerchantUnknown, (Code::PermissionDenied, "MERCHANT_UNKNOWN")),
        (Error::MerchantLimit, (Code::FailedPrecondition, "MERCHANT_LIMIT")),
        (Error::ReferenceReused, (Code::AlreadyExists, "REFERENCE_REUSED")),
        (Error::OrderRemoved, (Code::FailedPrecondition, "OUTSIDE_RETENTION")),
        (Error::EventsRemoved, (Code::OutOfRange, "OUTSIDE_RETENTION")),
        (Error::OrderNotFound, (Code::NotFound, "ORDER_NOT_FOUND")),
        (Refusal::RouteMismatch.into(), (Code::InvalidArgument, "ROUTE_MISMATCH")),
        (Refusal::AcquirerMismatch.into(), (Code::InvalidArgument, "ACQUIRER_MISMATCH")),
        (Refusal::IssuerMismatch.into(), (Code::PermissionDenied, "ISSUER_MISMATCH")),
        (Refusal::MemberUnknown.into(), (Code::PermissionDenied, "MEMBER_UNKNOWN")),
        (Refusal::MemberSuspended.into(), (Code::PermissionDenied, "MEMBER_SUSPENDED")),
        (Refusal::SignatureInvalid.into(), (Code::Unauthenticated, "SIGNATURE_INVALID")),
        (Refusal::SignedAhead.into(), (Code::InvalidArgument, "SIGNED_AT_OUT_OF_RANGE")),
        (Refusal::OutsideRetention.into(), (Code::FailedPrecondition, "OUTSIDE_RETENTION")),
        (Refusal::AuthorizationIdReused.into(), (Code::AlreadyExists, "AUTHORIZATION_ID_REUSED")),
        (Error::DirectoryStale, (Code::Unavailable, "DIRECTORY_STALE")),
        (Error::Contended, (Code::Unavailable, "UNAVAILABLE")),
        (Error::Overloaded, (Code::ResourceExhausted, "OVERLOADED")),
        (Error::Interrupted, (Code::Unavailable, "UNAVAILABLE")),
        (repository::Error::Store(StoreError::Halted).into(), internal),
        (repository::Damaged("an order").into(), internal),
        (KeyError::Vault(VaultError::Decrypt).into(), internal),
        (EntropyFailed.into(), internal),
        (Error::Inconsistent("records"), internal),
    ];
    for (error, (code, reason)) in cases {
        let text = error.to_string();
        let status = Status::from(error);
        assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{text}");
    }
}

#[test]
fn wrong_fields_are_named_and_a_contended_caller_is_told_to_wait() {
    let invalid = Invalid::field("lines[2].quantity", "must be 1 to 10000");
    let status = Status::from(Error::Invalid(invalid));
    assert_eq!(violations_of(&status), [("lines[2].quantity".to_owned(), "must be 1 to 10000".to_owned())]);
    assert_eq!(retry_after_of(&Error::Contended.into()), Some(CONTENDED_RETRY_AFTER));
    assert_eq!(retry_after_of(&Error::Overloaded.into()), Some(OVERLOADED_RETRY_AFTER));
}

#[test]
fn internals_stay_inside() {
    let status = Status::from(Error::from(repository::Damaged("an order's secret place")));
    assert!(!status.message().contains("secret place"), "{}", status.message());
}
