//! Who calls, and what the trail says of a call that was refused.

use std::net::{IpAddr, Ipv4Addr};

use mesh::{serve::RemoteAddr, status::reason_of};
use proto::reason::Reason;
use tonic::{Request, Status};

use super::{Actor, Entry, Outcome, note};
use crate::{error::Error, repository::Repository};

impl Actor {
    /// The caller of this request. Without an address, which `mesh` never leaves out, it is nobody's.
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Self {
        let remote = request.extensions().get::<RemoteAddr>();
        Self::Source(remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.0.ip()))
    }
}

/// The answer to a call that was refused, once the trail has it with the reason. A call that only failed, or that
/// could not be read, is not told: nothing was decided about it.
pub async fn refuse(repository: &Repository, told: Entry, error: Error) -> Status {
    let status = Status::from(error);
    let Some(why) = reason_of(&status).and_then(|reason| Reason::from_wire(&reason)).filter(|why| decides(*why)) else {
        return status;
    };
    match note(repository, &told.outcome(Outcome::Refused(why.as_wire()))).await {
        Ok(()) => status,
        // What was refused stays refused, but not unseen: the caller is to come again.
        Err(error) => Error::from(error).into(),
    }
}

/// Whether the reason is a decision about the caller, and not a mishap or a malformed message.
fn decides(reason: Reason) -> bool {
    let mishaps = [
        Reason::Unspecified,
        Reason::InvalidField,
        Reason::Overloaded,
        Reason::Unavailable,
        Reason::Internal,
        Reason::DirectoryStale,
    ];
    !mishaps.contains(&reason)
}
