//! Whether to believe a result.

use std::time::SystemTime;

use mesh::directory::{Directory, SignatureError};
use proto::{
    authorization::{AuthorizationResult, Carried, Decision},
    fields::Invalid,
    pb,
    signed::Signed,
};

use crate::domain::result::{Asked, NotAnAnswer};

/// Why a result is not believed. The charge stays as unknown as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It breaks the contracts.
    #[error("the result is malformed: {0}")]
    Malformed(#[from] Invalid),
    /// It is somebody else's answer, or answers something else.
    #[error(transparent)]
    NotAnAnswer(#[from] NotAnAnswer),
    /// The acquirer has no entry in the directory.
    #[error("the acquirer is not in the bank directory")]
    AcquirerUnknown,
    /// The signature is not the acquirer's, or was made outside its certificate's time.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The decision in a signed result, where the order's acquirer signed it and it answers what was asked.
///
/// The acquirer's status doesn't matter: a suspended one can still say what became of a request.
pub(super) fn verify(
    directory: &Directory,
    asked: &Asked,
    signed: &Signed,
    now: SystemTime,
) -> Result<Decision, Untrusted> {
    let Carried { says, .. } = Carried::<AuthorizationResult>::parse(signed.to_pb())?;
    let decision = asked.answered_by(&says, now)?;
    let acquirer = directory.acquirer(&asked.acquirer).ok_or(Untrusted::AcquirerUnknown)?;
    acquirer.verify::<pb::AuthorizationResult>(signed, says.decided_at)?;
    Ok(decision)
}
