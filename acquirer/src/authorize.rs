//! Authorizations: admitted, decided, settled, and found again.
//!
//! What makes a decision safe, line by line:
//!
//! - The intent (order `Authorizing`, attempt `Deciding`, the amount taken up in the day's total) is one
//!   commit, durable before the card network is asked. A crash before it leaves nothing; a crash after it
//!   leaves an attempt that [`recovery`] settles by inquiring, never by asking again.
//! - The outcome (attempt with its signed result, order, event, notification, total, and the reversal
//!   where one is due) is one commit too. Nothing that is signed leaves before it: a caller's answer is
//!   read from the record.
//! - From the first write on the work runs on a task of its own. A caller that goes away stops nothing.
//! - One authorization has one worker in this process ([`InFlight`]); whoever else asks for the same id
//!   waits for that worker and reads the record then. Between processes the store's versions decide.

use std::{fmt, sync::Arc, time::SystemTime};

use mesh::{
    directory::Member,
    identity::MemberId,
    telemetry::{Counter, Metrics},
};
use proto::{
    authorization::{Carried, Decision, Request, Route},
    directory::MemberStatus,
    event::Outcome,
    ids::IssuerId,
    pb,
    signed::{Signed, SignedBody},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{
    context::Context,
    domain::{
        attempt::{AttemptId, State},
        authorization::{Caller, Claim, Purpose, Refusal, Standing, admit, within_reach},
    },
    error::Error,
    network::{AuthorizationNetwork, NetworkId},
    records::Attempt,
    repository::Loaded,
};

mod decide;
mod in_flight;
mod recovery;
mod resolve;
mod result;
mod reversal;
mod settle;

use in_flight::{Entry, InFlight};
pub use recovery::Recovery;
pub use resolve::{Pending, Resolution};

/// Decides authorizations. Shared by the calls and the tasks.
pub struct Authorizer {
    context: Arc<Context>,
    network: Arc<dyn AuthorizationNetwork>,
    in_flight: Arc<InFlight>,
    tasks: TaskTracker,
    other_content: Counter,
}

impl Authorizer {
    /// Decides with this card network, and counts for nobody.
    #[must_use]
    pub fn new(context: Arc<Context>, network: Arc<dyn AuthorizationNetwork>) -> Arc<Self> {
        Self::counted(context, network, &Metrics::new())
    }

    /// Decides with this card network, and counts here.
    #[must_use]
    pub fn counted(context: Arc<Context>, network: Arc<dyn AuthorizationNetwork>, metrics: &Metrics) -> Arc<Self> {
        let other_content = metrics.counter(
            "acquirer_network_other_content_total",
            "Authorizations whose id the card network knew for another payment; any needs an operator.",
            &[],
        );
        Arc::new(Self { context, network, in_flight: Arc::default(), tasks: TaskTracker::new(), other_content })
    }

    /// Decides a request, or finds its result. Returns once the result is durable.
    ///
    /// # Errors
    /// [`Error::Refused`] where the caller is not listened to; any other error leaves the outcome open,
    /// to be asked for with the same bytes or by [`Authorizer::resolve`].
    pub async fn authorize(
        self: &Arc<Self>,
        caller: &Caller,
        route: &Route,
        request: Carried<Request>,
    ) -> Result<Signed, Error> {
        let Request { issuer, acquirer, signed_at, .. } = &request.says;
        let claim = Claim {
            purpose: Purpose::Authorize,
            route_agrees: request.says.agrees_with(route),
            issuer,
            acquirer,
            signed_at: *signed_at,
            request_signed_at: *signed_at,
        };
        self.admit::<pb::AuthorizationRequest>(&claim, caller, &request.signed)?;
        let id = AttemptId { issuer: issuer.clone(), authorization: request.says.id.clone() };
        let digest = request.signed.digest();
        let request = Arc::new(request);
        loop {
            if let Some(Loaded { entity: attempt, .. }) = self.attempt(&id).await? {
                if attempt.request_digest != digest {
                    return Err(Refusal::AuthorizationIdReused.into());
                }
                if let State::Decided(result) = attempt.state {
                    return Ok(result);
                }
            } else {
                self.within_reach(request.says.signed_at)?;
            }
            // A recorded result is given out all the same; only what is new needs a fresh directory.
            if self.context.directory.freshness(self.context.clock.now()).is_stale() {
                return Err(Error::DirectoryStale);
            }
            match InFlight::enter(&self.in_flight, &id) {
                Entry::Claimed(slot) => {
                    let (this, request) = (Arc::clone(self), Arc::clone(&request));
                    let work = async move {
                        let done = this.work(&request, digest).await;
                        drop(slot);
                        done
                    };
                    // The call's span goes along, so that what is logged there names the call.
                    let work = self.tasks.spawn(work.in_current_span());
                    work.await.map_err(|_| Error::Interrupted)??;
                }
                Entry::Taken(worker) => worker.done().await,
                Entry::Full => return Err(Error::Overloaded),
            }
        }
    }

    /// The one platform that may speak for issuers.
    #[must_use]
    pub fn platform(&self) -> Option<&MemberId> {
        self.context.platform.as_ref()
    }

    /// Waits until no decision is under way any more. Call it once no more calls come in.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn admit<M: SignedBody>(&self, claim: &Claim<'_>, caller: &Caller, signed: &Signed) -> Result<(), Refusal> {
        let directory = self.context.directory.current();
        let member = directory.issuer(claim.issuer);
        let standing = member.map_or(Standing::Unknown, |member| standing(member));
        let counts = || member.is_some_and(|member| member.verify::<M>(signed, claim.signed_at).is_ok());
        admit(claim, &self.context.acquirer, caller, standing, counts, self.context.clock.now())
    }

    /// Whether something that was looked for and not found may be treated as new. Call it after the look.
    fn within_reach(&self, request_signed_at: SystemTime) -> Result<(), Refusal> {
        within_reach(request_signed_at, self.context.repository.horizon())
    }

    async fn attempt(&self, id: &AttemptId) -> Result<Option<Loaded<Attempt>>, Error> {
        Ok(self.context.repository.load::<Attempt>(&Attempt::key_of(id)).await?)
    }

    fn bin_is_of(&self, card: &proto::card::CardData, issuer: &IssuerId) -> bool {
        let directory = self.context.directory.current();
        directory.owner_of(card.pan.bin()).is_some_and(|owner| owner.entry().member == issuer.into())
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("network", &self.network).finish_non_exhaustive()
    }
}

fn standing(member: &Member) -> Standing {
    match member.entry().status {
        MemberStatus::Active => Standing::Active,
        MemberStatus::Suspended => Standing::Suspended,
        MemberStatus::Removed => Standing::Removed,
    }
}

fn network_id(id: &AttemptId) -> NetworkId {
    NetworkId { issuer: id.issuer.clone(), authorization: id.authorization.clone() }
}

fn outcome(id: &AttemptId, decision: Decision) -> Outcome {
    Outcome { authorization: id.authorization.clone(), issuer: id.issuer.clone(), decision }
}
