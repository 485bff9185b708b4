//! What the issuer answers when the answer is no, and how that travels.
//!
//! This is the one place where the issuer's errors become gRPC statuses. A declined payment is no error.

use std::time::Duration;

use mesh::status::{Refusal, internal, store_failed};
use proto::{authorization::Factor, fields::Invalid, ids::ChargeId, reason::Reason};
use tonic::{Code, Status};

use crate::repository;

/// How long a caller waits who met too much traffic on the same records.
const RETRY_AFTER_CONTENTION: Duration = Duration::from_millis(200);

/// A refusal or failure of the issuer. What the variants without a field say is what the caller reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Some fields of the request are wrong.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The session does not exist or has ended.
    #[error("the session does not exist or has ended; sign in again")]
    SessionInvalid,
    /// The session was begun without an order.
    #[error("the session was begun without an order")]
    SessionCannotPay,
    /// The session was begun with another order.
    #[error("the session was begun with another order")]
    SessionOfOtherOrder,
    /// The customer's identity was not verified. Says nothing about why.
    #[error("the identity was not verified")]
    IdentityNotVerified,
    /// There is no such challenge.
    #[error("there is no such challenge")]
    ChallengeNotFound,
    /// The challenge's time is over.
    #[error("the challenge's time is over; begin again")]
    ChallengeExpired,
    /// This issuer does not offer the credential.
    #[error("this issuer does not offer this credential")]
    CredentialNotOffered,
    /// The session proved too few factors. Each of these would help.
    #[error("the session proved too few factors for this; step it up")]
    FactorsInsufficient(Vec<Factor>),
    /// The bank has no such customer.
    #[error("the bank has no such customer")]
    CustomerNotFound,
    /// The customer has no such device.
    #[error("the customer has no such device")]
    DeviceNotFound,
    /// The customer has no such passkey.
    #[error("the customer has no such passkey")]
    PasskeyNotFound,
    /// The activation code does not exist, was used, or is too old.
    #[error("the activation code does not exist, was used, or is too old")]
    ActivationCodeInvalid,
    /// The customer has as many devices or passkeys as are kept.
    #[error("the customer has as many devices or passkeys as are kept; forget one first")]
    CredentialsMax,
    /// A signature over a registration is wrong.
    #[error("the signature is not that of the key")]
    SignatureInvalid,
    /// The charge needs a consent.
    #[error("the charge needs the consent of a bound device")]
    ConsentRequired,
    /// The consent does not fit the charge.
    #[error("the consent does not fit the charge: {0}")]
    ConsentInvalid(&'static str),
    /// The caller must come back later.
    #[error("too many calls")]
    RateLimited(Duration),
    /// The server has more to do than it can.
    #[error("the server is busy")]
    Overloaded(Duration),
    /// The order is not one that its acquirer signed.
    #[error("the order is not one that its acquirer signed; do not pay it")]
    OrderSignatureInvalid,
    /// The order's time is over.
    #[error("the order's time is over")]
    OrderExpired,
    /// The order's acquirer is no member.
    #[error("the order's acquirer is not in the bank directory")]
    AcquirerUnknown,
    /// The order's acquirer is suspended.
    #[error("the order's acquirer is suspended")]
    AcquirerSuspended,
    /// The copy of the directory is too old.
    #[error("the copy of the bank directory is too old to start a payment")]
    DirectoryStale,
    /// Our next hop is a platform, and there is no ticket to show it.
    #[error("this bank pays by way of the platform; get a ticket from Checkout.SelectBank first")]
    TicketMissing,
    /// The order demands to be paid on the device that opened the payment page, and nothing shows it.
    #[error("the order is paid on the device that opened the payment page; get a confirmation from its acquirer first")]
    DeviceConfirmationRequired,
    /// The customer has no such card option.
    #[error("the customer has no such card option")]
    CardOptionNotFound,
    /// The card is expired, blocked, or of another currency.
    #[error("the card cannot be used for this order")]
    CardNotUsable,
    /// The account has not enough left.
    #[error("the card's account has not enough left")]
    InsufficientFunds,
    /// Another charge for the order is under way: this one, where it is the customer's own.
    #[error("another charge for this order is under way")]
    ChargeInProgress(Option<ChargeId>),
    /// The order has been paid here: by this charge, where it is the customer's own.
    #[error("this order has been paid at this issuer")]
    OrderAlreadyCharged(Option<ChargeId>),
    /// The charge id was used for other content.
    #[error("the charge id was used for other content")]
    ChargeIdReused,
    /// The customer has no such charge.
    #[error("the customer has no such charge")]
    ChargeNotFound,
    /// Too many others changed the same records meanwhile.
    #[error("the records changed too often")]
    Contended,
    /// The server is about to stop.
    #[error("the server is stopping; try again")]
    Stopping,
    /// The store failed.
    #[error("the store failed: {0}")]
    Repository(#[from] repository::Error),
    /// Something else failed inside.
    #[error("{doing}: {problem}")]
    Internal {
        /// What was being done, for the log.
        doing: &'static str,
        /// What went wrong, for the log; never a secret.
        problem: String,
    },
}

impl Error {
    /// A failure inside, from anything that says in words what is wrong and holds no secret.
    pub fn internal(doing: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Internal { doing, problem: problem.to_string() }
    }
}

impl From<crate::records::Damaged> for Error {
    fn from(damaged: crate::records::Damaged) -> Self {
        Self::Repository(damaged.into())
    }
}

impl From<mesh::clock::EntropyFailed> for Error {
    fn from(error: mesh::clock::EntropyFailed) -> Self {
        Self::internal("drawing random bytes", error)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let sentence = error.to_string();
        let (code, reason) = match error {
            Error::Invalid(invalid) => return invalid_fields(&invalid),
            Error::Repository(repository::Error::Store(failure)) => {
                return store_failed("reading or writing the store", &failure);
            }
            Error::Repository(failure) => return internal("reading or writing the store", &failure),
            Error::Internal { doing, problem } => return internal(doing, &problem),
            Error::RateLimited(wait) => {
                return retry(Reason::RateLimit, Code::ResourceExhausted, "too many calls; wait before the next", wait);
            }
            Error::Overloaded(wait) => {
                return retry(Reason::Overloaded, Code::ResourceExhausted, "the server is busy; wait a little", wait);
            }
            Error::Contended => {
                let sentence = "too many changes at once; try again with the same id";
                return retry(Reason::Unavailable, Code::Unavailable, sentence, RETRY_AFTER_CONTENTION);
            }
            Error::FactorsInsufficient(missing) => {
                let any_of: Vec<&str> = missing.iter().map(|factor| factor.as_wire()).collect();
                return Refusal::new(Code::FailedPrecondition, Reason::FactorsInsufficient, sentence)
                    .metadata("any_of", any_of.join(","))
                    .into_status();
            }
            Error::ChargeInProgress(own) => {
                return other_charge(Refusal::new(Code::FailedPrecondition, Reason::ChargeInProgress, sentence), own);
            }
            Error::OrderAlreadyCharged(own) => {
                return other_charge(
                    Refusal::new(Code::FailedPrecondition, Reason::OrderAlreadyCharged, sentence),
                    own,
                );
            }
            Error::CustomerNotFound => (Code::NotFound, Reason::CustomerNotFound),
            Error::DeviceNotFound => (Code::NotFound, Reason::DeviceNotFound),
            Error::PasskeyNotFound => (Code::NotFound, Reason::PasskeyNotFound),
            Error::ActivationCodeInvalid => (Code::Unauthenticated, Reason::ActivationCodeInvalid),
            Error::CredentialsMax => (Code::FailedPrecondition, Reason::CredentialsMax),
            Error::SignatureInvalid => (Code::Unauthenticated, Reason::SignatureInvalid),
            Error::ConsentRequired => (Code::FailedPrecondition, Reason::ConsentRequired),
            Error::ConsentInvalid(_) => (Code::InvalidArgument, Reason::ConsentInvalid),
            Error::SessionInvalid => (Code::Unauthenticated, Reason::SessionInvalid),
            Error::SessionCannotPay => (Code::PermissionDenied, Reason::SessionCannotPay),
            Error::SessionOfOtherOrder => (Code::PermissionDenied, Reason::SessionOfOtherOrder),
            Error::IdentityNotVerified => (Code::Unauthenticated, Reason::IdentityNotVerified),
            Error::ChallengeNotFound => (Code::NotFound, Reason::ChallengeNotFound),
            Error::ChallengeExpired => (Code::FailedPrecondition, Reason::ChallengeExpired),
            Error::CredentialNotOffered => (Code::Unimplemented, Reason::CredentialNotOffered),
            Error::OrderSignatureInvalid => (Code::Unauthenticated, Reason::OrderSignatureInvalid),
            Error::OrderExpired => (Code::FailedPrecondition, Reason::OrderExpired),
            Error::AcquirerUnknown => (Code::NotFound, Reason::AcquirerUnknown),
            Error::AcquirerSuspended => (Code::FailedPrecondition, Reason::AcquirerSuspended),
            Error::DirectoryStale => (Code::Unavailable, Reason::DirectoryStale),
            Error::DeviceConfirmationRequired => (Code::FailedPrecondition, Reason::DeviceConfirmationRequired),
            Error::TicketMissing => (Code::FailedPrecondition, Reason::TicketMissing),
            Error::CardOptionNotFound => (Code::NotFound, Reason::CardOptionNotFound),
            Error::CardNotUsable => (Code::FailedPrecondition, Reason::CardNotUsable),
            Error::InsufficientFunds => (Code::FailedPrecondition, Reason::InsufficientFunds),
            Error::ChargeIdReused => (Code::AlreadyExists, Reason::ChargeIdReused),
            Error::ChargeNotFound => (Code::NotFound, Reason::ChargeNotFound),
            Error::Stopping => (Code::Unavailable, Reason::Unavailable),
        };
        Refusal::new(code, reason, sentence).into_status()
    }
}

/// The contracts' own reason for wrong fields, with every path.
fn invalid_fields(invalid: &Invalid) -> Status {
    let refusal =
        Refusal::new(Code::InvalidArgument, Reason::InvalidField, "the request has fields that are missing or wrong");
    let add = |refusal: Refusal, violation: &proto::fields::Violation| {
        refusal.violation(violation.path.clone(), violation.description.clone())
    };
    invalid.violations.iter().fold(refusal, add).into_status()
}

/// Which charge the order's is, where the customer may know it.
fn other_charge(refusal: Refusal, own: Option<ChargeId>) -> Status {
    match own {
        Some(charge) => refusal.metadata("charge_id", charge.as_str()).into_status(),
        None => refusal.into_status(),
    }
}

fn retry(reason: Reason, code: Code, sentence: &'static str, wait: Duration) -> Status {
    Refusal::new(code, reason, sentence).retry_after(wait).into_status()
}

#[cfg(test)]
mod tests {
    use mesh::status::{reason_of, retry_after_of, violations_of};
    use mesh::store::StoreError;

    use super::*;

    #[test]
    fn every_error_has_its_code_and_reason() {
        let second = Duration::from_secs(1);
        let table = [
            (Error::Invalid(Invalid::field("card_option_id", "must be set")), Code::InvalidArgument, "INVALID_FIELD"),
            (Error::SessionInvalid, Code::Unauthenticated, "SESSION_INVALID"),
            (Error::SessionCannotPay, Code::PermissionDenied, "SESSION_CANNOT_PAY"),
            (Error::SessionOfOtherOrder, Code::PermissionDenied, "SESSION_OF_OTHER_ORDER"),
            (Error::IdentityNotVerified, Code::Unauthenticated, "IDENTITY_NOT_VERIFIED"),
            (Error::ChallengeNotFound, Code::NotFound, "CHALLENGE_NOT_FOUND"),
            (Error::ChallengeExpired, Code::FailedPrecondition, "CHALLENGE_EXPIRED"),
            (Error::CredentialNotOffered, Code::Unimplemented, "CREDENTIAL_NOT_OFFERED"),
            (
                Error::FactorsInsufficient(vec![Factor::Possession, Factor::Passkey]),
                Code::FailedPrecondition,
                "FACTORS_INSUFFICIENT",
            ),
            (Error::CustomerNotFound, Code::NotFound, "CUSTOMER_NOT_FOUND"),
            (Error::DeviceNotFound, Code::NotFound, "DEVICE_NOT_FOUND"),
            (Error::PasskeyNotFound, Code::NotFound, "PASSKEY_NOT_FOUND"),
            (Error::ActivationCodeInvalid, Code::Unauthenticated, "ACTIVATION_CODE_INVALID"),
            (Error::CredentialsMax, Code::FailedPrecondition, "CREDENTIALS_MAX"),
            (Error::SignatureInvalid, Code::Unauthenticated, "SIGNATURE_INVALID"),
            (Error::ConsentRequired, Code::FailedPrecondition, "CONSENT_REQUIRED"),
            (Error::ConsentInvalid("its amount is another"), Code::InvalidArgument, "CONSENT_INVALID"),
            (Error::RateLimited(second), Code::ResourceExhausted, "RATE_LIMIT"),
            (Error::Overloaded(second), Code::ResourceExhausted, "OVERLOADED"),
            (Error::OrderSignatureInvalid, Code::Unauthenticated, "ORDER_SIGNATURE_INVALID"),
            (Error::OrderExpired, Code::FailedPrecondition, "ORDER_EXPIRED"),
            (Error::AcquirerUnknown, Code::NotFound, "ACQUIRER_UNKNOWN"),
            (Error::AcquirerSuspended, Code::FailedPrecondition, "ACQUIRER_SUSPENDED"),
            (Error::DirectoryStale, Code::Unavailable, "DIRECTORY_STALE"),
            (Error::DeviceConfirmationRequired, Code::FailedPrecondition, "DEVICE_CONFIRMATION_REQUIRED"),
            (Error::TicketMissing, Code::FailedPrecondition, "TICKET_MISSING"),
            (Error::CardOptionNotFound, Code::NotFound, "CARD_OPTION_NOT_FOUND"),
            (Error::CardNotUsable, Code::FailedPrecondition, "CARD_NOT_USABLE"),
            (Error::InsufficientFunds, Code::FailedPrecondition, "INSUFFICIENT_FUNDS"),
            (Error::ChargeInProgress(None), Code::FailedPrecondition, "CHARGE_IN_PROGRESS"),
            (Error::OrderAlreadyCharged(None), Code::FailedPrecondition, "ORDER_ALREADY_CHARGED"),
            (Error::ChargeIdReused, Code::AlreadyExists, "CHARGE_ID_REUSED"),
            (Error::ChargeNotFound, Code::NotFound, "CHARGE_NOT_FOUND"),
            (Error::Contended, Code::Unavailable, "UNAVAILABLE"),
            (Error::Stopping, Code::Unavailable, "UNAVAILABLE"),
            (Error::Repository(StoreError::Halted.into()), Code::Internal, "INTERNAL"),
            (Error::internal("sealing a card", "no"), Code::Internal, "INTERNAL"),
        ];
        for (error, code, reason) in table {
            let text = format!("{error:?}");
            let status = Status::from(error);
            assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{text}");
        }
    }

    #[test]
    fn what_helps_the_caller_travels_and_what_is_inside_does_not() {
        let invalid = Status::from(Error::Invalid(Invalid::field("order.body", "must be set")));
        assert_eq!(violations_of(&invalid), [("order.body".to_owned(), "must be set".to_owned())]);
        let busy = Status::from(Error::Overloaded(Duration::from_secs(3)));
        assert_eq!(retry_after_of(&busy), Some(Duration::from_secs(3)));
        let inside = Status::from(Error::internal("opening a card", "disk 7 is gone"));
        assert!(!format!("{inside:?}").contains("disk 7"));
    }
}
