//! The gRPC edges: parse, call, answer.

mod bank_directory;
mod checkout;
mod watch;

pub use bank_directory::BankDirectoryService;
pub use checkout::CheckoutService;

use std::sync::Arc;

use mesh::identity::Peer;
use proto::ids::MemberId;

use crate::error::Error;

/// What stays below the limit of one message, whatever else the message holds.
const LIST_BYTES_MAX: usize = mesh::serve::MESSAGE_BYTES_MAX - 4 * 1024;

/// The caller's id, as the directory has it.
fn member_of(peer: &Arc<Peer>) -> Result<MemberId, Error> {
    // Both sides have the same rule for a member's id.
    peer.id.member().as_str().parse().map_err(|_| Error::MemberUnknown)
}

#[cfg(test)]
mod tests;
