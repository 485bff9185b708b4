#![allow(clippy::unwrap_used)]

use mesh::status::{reason_of, retry_after_of, violations_of};

use super::*;

#[test]
fn each_refusal_has_its_code_and_reason() {
    let overlap = ChangeRefused::BinRangeOverlap { path: "bin_ranges[2]".into(), other: "bank-b".parse().unwrap() };
    let status_change = ChangeRefused::StatusChangeNotAllowed { from: "removed", to: "active" };
    let cases = [
        (Error::Invalid(Invalid::field("code", "wrong")), Code::InvalidArgument, "INVALID_FIELD"),
        (Error::EntrySignature(EntryFault::OperatorUnknown), Code::Unauthenticated, "SIGNATURE_INVALID"),
        (ChangeRefused::Fields(Invalid::field("role", "x")).into(), Code::InvalidArgument, "INVALID_FIELD"),
        (ChangeRefused::BankNotFound.into(), Code::NotFound, "BANK_NOT_FOUND"),
        (
            ChangeRefused::VersionNotIncreased { held: 2, offered: 2 }.into(),
            Code::FailedPrecondition,
            "VERSION_NOT_INCREASED",
        ),
        (status_change.into(), Code::FailedPrecondition, "STATUS_CHANGE_NOT_ALLOWED"),
        (overlap.into(), Code::AlreadyExists, "BIN_RANGE_OVERLAP"),
        (Error::MemberUnknown, Code::PermissionDenied, "MEMBER_UNKNOWN"),
        (Error::MemberSuspended, Code::PermissionDenied, "MEMBER_SUSPENDED"),
        (Error::AcquirerMismatch, Code::PermissionDenied, "ACQUIRER_MISMATCH"),
        (Error::AcquirerSuspended, Code::FailedPrecondition, "ACQUIRER_SUSPENDED"),
        (Error::OrderSignature(OrderSignature::FromFuture), Code::Unauthenticated, "ORDER_SIGNATURE_INVALID"),
        (Error::OrderExpired, Code::FailedPrecondition, "ORDER_EXPIRED"),
        (Error::CheckoutNotFound, Code::NotFound, "CHECKOUT_NOT_FOUND"),
        (Error::CheckoutExpired, Code::FailedPrecondition, "CHECKOUT_EXPIRED"),
        (Error::BankNotFound, Code::NotFound, "BANK_NOT_FOUND"),
        (Error::BankUnavailable, Code::FailedPrecondition, "BANK_UNAVAILABLE"),
        (Error::CodeNotFound, Code::NotFound, "CODE_NOT_FOUND"),
        (Error::SlowReader, Code::ResourceExhausted, "OVERLOADED"),
        (Error::Contended, Code::Unavailable, "UNAVAILABLE"),
        (Error::Stopping, Code::Unavailable, "UNAVAILABLE"),
        (Error::Entropy(EntropyFailed), Code::Internal, "INTERNAL"),
        (Error::Inconsistent("x"), Code::Internal, "INTERNAL"),
        (Error::StoredDirectory(DirectoryError::HeadMismatch), Code::Internal, "INTERNAL"),
        (Damaged { kind: "code", field: "bank" }.into(), Code::Internal, "INTERNAL"),
    ];
    for (error, code, reason) in cases {
        let text = error.to_string();
        let status = Status::from(error);
        assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{text}");
        // Every reason is one of the contracts.
        assert!(Reason::from_wire(reason).is_some(), "{reason}");
    }
}

#[test]
fn a_refused_change_names_its_field_as_the_caller_sees_it() {
    let path = |refused: ChangeRefused| violations_of(&Error::from(refused).into()).into_iter().next().unwrap().0;
    assert_eq!(path(ChangeRefused::Fields(Invalid::field("endpoint", "x"))), "entry.body.endpoint");
    let other = "bank-b".parse().unwrap();
    assert_eq!(
        path(ChangeRefused::BinRangeOverlap { path: "bin_ranges[2]".into(), other }),
        "entry.body.bin_ranges[2]"
    );
    assert_eq!(path(ChangeRefused::VersionNotIncreased { held: 2, offered: 1 }), "entry.body.version");
    let status_change = ChangeRefused::StatusChangeNotAllowed { from: "removed", to: "active" };
    assert_eq!(path(status_change), "entry.body.status");
}

#[test]
fn who_may_try_again_is_told_when() {
    assert_eq!(retry_after_of(&Error::SlowReader.into()), Some(RETRY_AFTER_SLOWNESS));
    assert_eq!(retry_after_of(&Error::Contended.into()), Some(RETRY_AFTER_CONTENTION));
}
