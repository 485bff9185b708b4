//! Why a call is refused, and the one place where that becomes a gRPC status. The relay has its own,
//! because each of its refusals is counted.

use std::time::Duration;

use mesh::{
    clock::EntropyFailed,
    directory::{DirectoryError, EntryFault, SignatureError},
    status::{Refusal, internal, store_failed},
};
use proto::{fields::Invalid, reason::Reason};
use tonic::{Code, Status};

use crate::{domain::change::ChangeRefused, records::Damaged, repository};

/// What a caller of a contended record is told to wait: the conflicts that it lost to are over by then.
const RETRY_AFTER_CONTENTION: Duration = Duration::from_millis(100);
/// What a reader that was too slow is told to wait before it opens its stream again.
const RETRY_AFTER_SLOWNESS: Duration = Duration::from_secs(5);

/// Why a call is refused. What is shown of it to the caller is its text, except for failures inside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are wrong.
    #[error("the request is malformed: {0}")]
    Invalid(#[from] Invalid),
    /// The operator didn't sign the entry.
    #[error("the operator didn't sign the entry: {0}")]
    EntrySignature(EntryFault),
    /// The directory may not be changed like this.
    #[error(transparent)]
    Change(#[from] ChangeRefused),
    /// The caller is not in the directory.
    #[error("the caller is not in the bank directory")]
    MemberUnknown,
    /// The caller is suspended or has left.
    #[error("the caller is suspended")]
    MemberSuspended,
    /// The order is another acquirer's than the caller.
    #[error("the order is another acquirer's")]
    AcquirerMismatch,
    /// The order's acquirer is suspended or has left.
    #[error("the order's acquirer is suspended")]
    AcquirerSuspended,
    /// The order's signature doesn't hold.
    #[error("the order's signature does not hold: {0}")]
    OrderSignature(OrderSignature),
    /// The order's time is over.
    #[error("the order's time is over")]
    OrderExpired,
    /// There is no such checkout.
    #[error("there is no such checkout")]
    CheckoutNotFound,
    /// The checkout has ended.
    #[error("the checkout has ended with its order")]
    CheckoutExpired,
    /// There is no such bank to pick.
    #[error("there is no such bank")]
    BankNotFound,
    /// The bank can't be picked now.
    #[error("the bank can't be picked now; pick another one")]
    BankUnavailable,
    /// The code doesn't exist, has expired, or was used by another device.
    #[error("the code does not exist, has expired or was used; pick the bank again")]
    CodeNotFound,
    /// The caller doesn't read what it asked for.
    #[error("the stream was not read fast enough; open it again at the version that you hold")]
    SlowReader,
    /// Too many others changed the same records meanwhile.
    #[error("too many changes at once; try again")]
    Contended,
    /// The server is stopping.
    #[error("the server is stopping; try again")]
    Stopping,
    /// The store failed.
    #[error("the store failed: {0}")]
    Repository(#[from] repository::Error),
    /// There are no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// What the store holds is no directory any more.
    #[error("the stored directory: {0}")]
    StoredDirectory(DirectoryError),
    /// Something that holds everywhere else doesn't hold here.
    #[error("inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// Why an order's signature doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderSignature {
    /// Its acquirer is no member.
    #[error("its acquirer is not in the directory")]
    AcquirerUnknown,
    /// It claims to be made later than any honest clock allows.
    #[error("it was made in the future")]
    FromFuture,
    /// The signature is wrong.
    #[error(transparent)]
    Wrong(#[from] SignatureError),
}

impl From<Damaged> for Error {
    fn from(damaged: Damaged) -> Self {
        Self::Repository(damaged.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        tracing::debug!(%error, "refused");
        let sentence = error.to_string();
        let (code, reason) = match error {
            Error::Invalid(invalid) => return invalid_fields(&invalid),
            Error::Change(refused) => return change(&refused),
            Error::Repository(repository::Error::Store(failure)) => {
                return store_failed("reading or writing the store", &failure);
            }
            Error::Repository(failure) => return internal("reading or writing the store", &failure),
            Error::Entropy(failure) => return internal("drawing random bytes", &failure),
            Error::StoredDirectory(failure) => return internal("reading the stored directory", &failure),
            Error::Inconsistent(what) => return internal("comparing records", what),
            Error::Contended => {
                let refusal = Refusal::new(Code::Unavailable, Reason::Unavailable, sentence);
                return refusal.retry_after(RETRY_AFTER_CONTENTION).into_status();
            }
            Error::SlowReader => {
                let refusal = Refusal::new(Code::ResourceExhausted, Reason::Overloaded, sentence);
                return refusal.retry_after(RETRY_AFTER_SLOWNESS).into_status();
            }
            Error::EntrySignature(_) => (Code::Unauthenticated, Reason::SignatureInvalid),
            Error::MemberUnknown => (Code::PermissionDenied, Reason::MemberUnknown),
            Error::MemberSuspended => (Code::PermissionDenied, Reason::MemberSuspended),
            Error::AcquirerMismatch => (Code::PermissionDenied, Reason::AcquirerMismatch),
            Error::AcquirerSuspended => (Code::FailedPrecondition, Reason::AcquirerSuspended),
            Error::OrderSignature(_) => (Code::Unauthenticated, Reason::OrderSignatureInvalid),
            Error::OrderExpired => (Code::FailedPrecondition, Reason::OrderExpired),
            Error::CheckoutNotFound => (Code::NotFound, Reason::CheckoutNotFound),
            Error::CheckoutExpired => (Code::FailedPrecondition, Reason::CheckoutExpired),
            Error::BankNotFound => (Code::NotFound, Reason::BankNotFound),
            Error::BankUnavailable => (Code::FailedPrecondition, Reason::BankUnavailable),
            Error::CodeNotFound => (Code::NotFound, Reason::CodeNotFound),
            Error::Stopping => (Code::Unavailable, Reason::Unavailable),
        };
        Refusal::new(code, reason, sentence).into_status()
    }
}

/// Paths in a change begin at the entry's body; the caller sees them from its request.
fn change(refused: &ChangeRefused) -> Status {
    const ENTRY: &str = "entry.body";

    let (code, reason) = match refused {
        ChangeRefused::Fields(invalid) => return invalid_fields(&invalid.clone().under(ENTRY)),
        ChangeRefused::BankNotFound => (Code::NotFound, Reason::BankNotFound),
        ChangeRefused::VersionNotIncreased { .. } => (Code::FailedPrecondition, Reason::VersionNotIncreased),
        ChangeRefused::StatusChangeNotAllowed { .. } => (Code::FailedPrecondition, Reason::StatusChangeNotAllowed),
        ChangeRefused::BinRangeOverlap { .. } => (Code::AlreadyExists, Reason::BinRangeOverlap),
    };
    let refusal = Refusal::new(code, reason, refused.to_string());
    match refused {
        ChangeRefused::BinRangeOverlap { path, other } => refusal
            .violation(format!("{ENTRY}.{path}"), format!("overlaps with a range of {other}"))
            .metadata("member_id", other.to_string()),
        ChangeRefused::VersionNotIncreased { held, .. } => {
            refusal.violation(format!("{ENTRY}.version"), format!("must be more than {held}"))
        }
        ChangeRefused::StatusChangeNotAllowed { .. } => {
            refusal.violation(format!("{ENTRY}.status"), refused.to_string())
        }
        ChangeRefused::Fields(_) | ChangeRefused::BankNotFound => refusal,
    }
    .into_status()
}

/// The contracts' own reason for wrong fields, with every path.
fn invalid_fields(invalid: &Invalid) -> Status {
    let violations = invalid.violations.iter();
    Refusal::fields(violations.map(|violation| (violation.path.clone(), violation.description.clone()))).into_status()
}

#[cfg(test)]
mod tests;
