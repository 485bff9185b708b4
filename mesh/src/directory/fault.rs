//! What can be wrong with a directory.

use proto::{fields::Invalid, ids::MemberId};

use crate::signing::SigningError;

/// Why a directory can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The bytes are no directory file.
    #[error("this is no directory file; make one with `certs directory sign`")]
    NotADirectory,
    /// The file is larger than any directory.
    #[error("this is no directory file: it is larger than 64 MiB")]
    TooLarge,
    /// An operator's certificate does not count.
    #[error("an operator's certificate in the directory does not count: {0}")]
    Operator(CertificateFault),
    /// There are more operator's certificates than any operator has.
    #[error(
        "the directory brings more operator's certificates than the {} that are taken",
        super::OPERATOR_CERTIFICATES_MAX
    )]
    ManyOperators,
    /// An entry breaks a rule of the contracts.
    #[error("an entry of the directory is malformed: {0}")]
    Malformed(#[from] Invalid),
    /// An entry does not count.
    #[error("the entry of {member} does not count: {fault}")]
    Entry {
        /// Whose entry.
        member: MemberId,
        /// Why.
        fault: EntryFault,
    },
    /// Two entries are for one member.
    #[error("{0} has two entries")]
    Twice(MemberId),
    /// Two members claim the same BINs.
    #[error("BIN ranges of {0} and {1} overlap")]
    Overlap(MemberId, MemberId),
    /// An entry is older than the one that is held, or as old and different.
    #[error("version {offered} of {member}'s entry would take the place of version {held}")]
    Older {
        /// Whose entry.
        member: MemberId,
        /// The version that is held.
        held: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// An entry would bring back a member that has left for good.
    #[error("{0} has left for good and cannot come back")]
    HasLeft(MemberId),
    /// The entries are not those that the platform's head speaks of.
    #[error("the entries are not those that the platform has signed for")]
    HeadMismatch,
    /// The certificate beside the head is not the platform's.
    #[error("the certificate beside the directory's head does not count: {0}")]
    Platform(CertificateFault),
    /// The head's signature is wrong.
    #[error("the directory's head does not count: {0}")]
    HeadSignature(SignatureError),
    /// The head is older than the one that is held.
    #[error("the head of directory version {offered} is older than the one that is held, of version {held}")]
    HeadOlder {
        /// The directory version of the head that is held.
        held: u64,
        /// The directory version of the head that was offered.
        offered: u64,
    },
    /// The head claims to be signed later than any honest clock allows.
    #[error("the directory's head was signed in the future; compare the clocks")]
    HeadFromFuture,
    /// There are more entries than any network has.
    #[error("the directory has more entries than the {} that are taken", super::MEMBERS_MAX)]
    ManyMembers,
}

/// Why an entry does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Its key is none of the operator's.
    #[error("the operator didn't sign it: its key is not one of the operator's")]
    OperatorUnknown,
    /// The operator's signature is wrong.
    #[error("the operator didn't sign it: {0}")]
    Signature(SigningError),
    /// One of its certificates is not the member's.
    #[error("signing_certificates[{0}]: {1}")]
    Certificate(usize, CertificateFault),
}

/// Why a certificate does not count as somebody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is no signing certificate of the network.
    #[error(transparent)]
    Unusable(#[from] SigningError),
    /// It names somebody else.
    #[error("it belongs to {0}")]
    OtherHolder(String),
}

/// Why a signature does not count as a member's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is none of the member's.
    #[error("the key is not one of the member's signing keys in the directory")]
    KeyUnknown,
    /// The signature is wrong, or made at a wrong time.
    #[error(transparent)]
    Signature(#[from] SigningError),
}
