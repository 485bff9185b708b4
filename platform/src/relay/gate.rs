//! The relay's judgement without its connections: for whoever carries the messages another way, as a simulation of
//! the network does.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mesh::clock::Clock;
use mesh::directory::DirectoryHandle;
use mesh::identity::{Peer, Role};
use mesh::status::Refusal;
use proto::authorization::Route;
use proto::directory::MemberRole;
use proto::ids::{AuthorizationId, IssuerId};
use tonic::Status;

use super::enforce::Rules;
use super::limiter::Usages;
use super::refused::Refused;
use super::route;
use crate::ticket::TicketKeys;

/// What may pass through the relay, by the same rules as the mounted one.
pub struct Gate {
    directory: Arc<DirectoryHandle>,
    tickets: Arc<TicketKeys>,
    clock: Arc<dyn Clock>,
    usages: Usages,
}

impl Gate {
    /// A gate for the issuers of the directory as it stands now.
    #[must_use]
    pub fn new(directory: Arc<DirectoryHandle>, tickets: Arc<TicketKeys>, clock: Arc<dyn Clock>) -> Self {
        let usages = Usages::default();
        let current = directory.current();
        let issuers = current.members().map(|member| member.entry()).filter(|entry| entry.role == MemberRole::Issuer);
        usages.follow(issuers.map(|entry| &entry.member));
        Self { directory, tickets, clock, usages }
    }

    /// Whether an authorization request may go on, and where to.
    ///
    /// # Errors
    /// The refusal, as it goes to the caller.
    pub fn authorize(&self, peer: &Peer, message: Bytes) -> Result<Route, Status> {
        self.judge(peer, message, |rules, caller, route| {
            rules
                .authorize(caller, route, |issuer| {
                    let rate = issuer.entry().limits.authorizations_per_second;
                    self.usages.take(&issuer.entry().member, rate, self.clock.elapsed())
                })
                .map(drop)
        })
    }

    /// Whether a question may go on, and where to.
    ///
    /// # Errors
    /// The refusal, as it goes to the caller.
    pub fn resolve(&self, peer: &Peer, message: Bytes) -> Result<Route, Status> {
        self.judge(peer, message, |rules, caller, route| rules.resolve(caller, route).map(drop))
    }

    /// Whether an answer is for this authorization.
    ///
    /// # Errors
    /// The refusal, as it goes to the caller.
    pub fn check_answer(message: Bytes, authorization: &AuthorizationId) -> Result<(), Status> {
        if route::is_answer_for(message, authorization) { Ok(()) } else { Err(Refused::ResponseMismatch.into()) }
    }

    /// The refusal where the acquirer can't be reached.
    #[must_use]
    pub fn unreachable() -> Status {
        Refused::AcquirerUnreachable.into()
    }

    /// The refusal where the acquirer doesn't answer in time.
    #[must_use]
    pub fn too_late() -> Status {
        Refused::DeadlineExceeded.into()
    }

    fn judge(
        &self,
        peer: &Peer,
        message: Bytes,
        judge: impl FnOnce(Rules<'_>, &IssuerId, &Route) -> Result<(), Refused>,
    ) -> Result<Route, Status> {
        let route = route::of_request(message).map_err(|invalid| {
            let violations = invalid.violations.into_iter().map(|wrong| (wrong.path, wrong.description));
            Refusal::fields(violations).into_status()
        })?;
        let caller = Some(&peer.id).filter(|id| id.role() == Role::Issuer);
        let caller: Option<IssuerId> = caller.and_then(|id| id.member().as_str().parse().ok());
        let caller = caller.ok_or(Refused::MemberUnknown)?;
        let directory = self.directory.load();
        let rules = Rules { directory: &directory, tickets: &self.tickets, now: self.clock.now() };
        judge(rules, &caller, &route)?;
        Ok(route)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
