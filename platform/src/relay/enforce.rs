//! What the relay enforces, in the design's order. The first check that fails decides the answer.
//!
//! Pure: the directory, the keys and the time come in; the one thing that is changed, the bank's usage
//! of its rate, is handed in as a function and called only when everything before it holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh::directory::{Directory, Member};
use proto::authorization::Route;
use proto::directory::MemberStatus;
use proto::ids::IssuerId;

use super::refused::Refused;
use crate::ticket::TicketKeys;

/// What the checks judge by.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) directory: &'a Directory,
    pub(super) tickets: &'a TicketKeys,
    pub(super) now: SystemTime,
}

impl<'a> Rules<'a> {
    /// Whether this caller may have this authorized; then, the acquirer to ask. `take` takes one from
    /// the caller's rate, or says how long until there is one.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(super) fn authorize(
        &self,
        caller: &IssuerId,
        route: &Route,
        take: impl FnOnce(&Member) -> Result<(), Duration>,
    ) -> Result<&'a Arc<Member>, Refused> {
        let issuer = self.directory.issuer(caller).ok_or(Refused::MemberUnknown)?;
        if !issuer.is_active() {
            return Err(Refused::MemberSuspended);
        }
        if route.issuer != *caller {
            return Err(Refused::IssuerMismatch);
        }
        let acquirer = self.directory.acquirer(&route.acquirer).ok_or(Refused::AcquirerUnknown)?;
        if !acquirer.is_active() {
            return Err(Refused::AcquirerSuspended);
        }
        self.tickets.verify(&route.ticket, caller, &route.order_digest, self.now).map_err(Refused::Ticket)?;
        take(issuer).map_err(Refused::RateLimit)?;
        if !issuer.entry().limits.allow(route.amount) {
            return Err(Refused::AmountLimit);
        }
        Ok(acquirer)
    }

    /// Whether this caller may ask what became of this; then, the acquirer to ask. A question can only
    /// bring certainty, so it stays open to a suspended issuer and for a suspended acquirer, and needs
    /// no ticket. A member that was removed has no server of the network any more, and is not asked.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(super) fn resolve(&self, caller: &IssuerId, route: &Route) -> Result<&'a Arc<Member>, Refused> {
        let issuer = self.directory.issuer(caller).ok_or(Refused::MemberUnknown)?;
        if issuer.entry().status == MemberStatus::Removed {
            return Err(Refused::MemberSuspended);
        }
        if route.issuer != *caller {
            return Err(Refused::IssuerMismatch);
        }
        let acquirer = self.directory.acquirer(&route.acquirer).ok_or(Refused::AcquirerUnknown)?;
        if acquirer.entry().status == MemberStatus::Removed {
            return Err(Refused::AcquirerSuspended);
        }
        Ok(acquirer)
    }
}
