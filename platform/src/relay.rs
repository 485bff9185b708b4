//! Relaying authorizations between issuers and acquirers.
//!
//! The relay serves the same `Authorization` service as an acquirer. It judges what stands on the
//! outside of a request ([`enforce`](self) holds the rules), hands the bytes on to the acquirer as
//! they came, and compares the authorization id on the way back. It verifies no signature between the
//! two ends and can't open the card: they verify each other, and notice whatever was changed on the way.
//!
//! Its calls run on threads of their own. Each thread keeps its own connections to the acquirers, and
//! what all of them share is read without a lock: the directory, the ticket keys, and one atomic per
//! bank. Nothing on the way of a request waits for a disk or for another replica.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mesh::clock::{Clock, Entropy};
use mesh::directory::DirectoryHandle;
use mesh::identity::{Peer, Role};
use mesh::serve::{Answer, Call, Server, UnaryBytes, Workers};
use mesh::status::Refusal;
use mesh::telemetry::{Counter, Metrics};
use mesh::tls::TlsIdentity;
use proto::authorization::Route;
use proto::directory::MemberRole;
use proto::fields::Invalid;
use proto::ids::IssuerId;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ticket::TicketKeys;

mod enforce;
mod forward;
mod gate;
mod limiter;
mod limits;
mod link;
mod links;
mod refused;
mod route;

pub use gate::Gate;
pub use limits::RelayLimits;

use enforce::Rules;
use forward::{Answered, forward};
use limiter::Usages;
use links::{Links, Outlet};
use refused::{Counters, Refused};

const AUTHORIZE: &str = "/bankside.v1.Authorization/Authorize";
const RESOLVE: &str = "/bankside.v1.Authorization/ResolveAuthorization";

/// What the relay works with.
pub struct Parts {
    /// Who is a member, and under which terms.
    pub directory: Arc<DirectoryHandle>,
    /// Verifies tickets.
    pub tickets: Arc<TicketKeys>,
    /// Our certificate towards acquirers.
    pub identity: Arc<TlsIdentity>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for jitter alone.
    pub entropy: Arc<dyn Entropy>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its limits.
    pub limits: RelayLimits,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Serves `Authorization` on a members' port, whose calls then all run on threads of the relay's. Must
/// be called on a runtime, when the server has its limits; what follows the directory runs there. The connections to the acquirers of
/// the directory in force are begun at once.
///
/// # Errors
/// The operating system gives no threads.
pub fn mount(server: Server, parts: Parts) -> std::io::Result<Server> {
    let Parts { directory, tickets, identity, clock, entropy, metrics, limits } = parts;
    let workers = Workers::start("relay", limits.threads())?;
    let limits = limits.within(server.requests_max_of_each(workers.handles().len()));
    let links: Vec<Arc<Links>> = workers
        .handles()
        .iter()
        .map(|handle| Arc::new(Links::new(Arc::clone(&identity), limits, Arc::clone(&entropy), handle.clone())))
        .collect();
    let usages = Arc::new(Usages::default());
    let stop = CancellationToken::new();
    let following = follow(Arc::clone(&directory), Arc::clone(&usages), links.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    let relay = Arc::new(Relay {
        directory,
        tickets,
        clock,
        usages,
        limits,
        refused: Counters::new(&metrics),
        answered: metrics.counter("bankside_relay_answered_total", "Answers of acquirers handed back.", &[]),
        declined: metrics.counter("bankside_relay_acquirer_refusals_total", "Refusals of acquirers handed back.", &[]),
        _stop: stop.drop_guard(),
    });
    let desk = |links| Arc::new(Desk { relay: Arc::clone(&relay), links }) as Arc<dyn UnaryBytes>;
    Ok(server.unary(workers, links.into_iter().map(desk).collect()))
}

/// What all threads share; nothing in it is locked.
#[derive(Debug)]
struct Relay {
    directory: Arc<DirectoryHandle>,
    tickets: Arc<TicketKeys>,
    clock: Arc<dyn Clock>,
    usages: Arc<Usages>,
    limits: RelayLimits,
    refused: Counters,
    answered: Counter,
    declined: Counter,
    _stop: DropGuard,
}

/// The relay as one thread serves it.
#[derive(Debug)]
struct Desk {
    relay: Arc<Relay>,
    links: Arc<Links>,
}

impl UnaryBytes for Desk {
    fn paths(&self) -> &'static [&'static str] {
        &[AUTHORIZE, RESOLVE]
    }

    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(call).await })
    }
}

/// Why there is no answer of an acquirer's.
enum NoAnswer {
    Invalid(Invalid),
    Refused(Refused),
}

impl From<Refused> for NoAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Desk {
    async fn answer(&self, call: Call) -> Answer {
        match self.relay(call).await {
            Ok(Answered::Message(message)) => {
                self.relay.answered.increment();
                Answer::Message(message)
            }
            Ok(Answered::Refusal(trailers)) => {
                self.relay.declined.increment();
                Answer::Trailers(trailers)
            }
            Err(NoAnswer::Refused(refused)) => {
                self.relay.refused.count(refused);
                tracing::info!(reason = refused.reason().as_wire(), "not relayed");
                Answer::Refused(refused.into())
            }
            Err(NoAnswer::Invalid(invalid)) => {
                let violations = invalid.violations.into_iter().map(|wrong| (wrong.path, wrong.description));
                Answer::Refused(Refusal::fields(violations).into_status())
            }
        }
    }

    async fn relay(&self, call: Call) -> Result<Answered, NoAnswer> {
        let route = route::of_request(call.message.message()).map_err(NoAnswer::Invalid)?;
        let outlet = self.judge(call.rpc, call.peer.as_deref(), &route)?;
        let _place = outlet.link.place().ok_or(Refused::Overloaded(self.relay.limits.retry_after()))?;
        let allowed = call.deadline.left().min(self.relay.limits.acquirer_wait.get());
        let to = if call.rpc == RESOLVE { &outlet.resolve } else { &outlet.authorize };
        let answered = match timeout(allowed, forward(&outlet.link, to, call.message, allowed)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                tracing::info!(acquirer = %route.acquirer, %error, "no answer");
                return Err(Refused::AcquirerUnreachable.into());
            }
            Err(_) => return Err(Refused::DeadlineExceeded.into()),
        };
        if let Answered::Message(message) = &answered
            && !route::is_answer_for(message.message(), &route.authorization)
        {
            tracing::warn!(acquirer = %route.acquirer, authorization = %route.authorization, "answer for another request");
            return Err(Refused::ResponseMismatch.into());
        }
        Ok(answered)
    }

    /// Applies the rules, and finds the way to the acquirer.
    fn judge(&self, rpc: &str, peer: Option<&Peer>, route: &Route) -> Result<Arc<Outlet>, Refused> {
        let relay = &self.relay;
        let caller = peer.filter(|peer| peer.id.role() == Role::Issuer).ok_or(Refused::MemberUnknown)?;
        let caller: IssuerId = caller.id.member().as_str().parse().map_err(|_| Refused::MemberUnknown)?;
        let directory = relay.directory.load();
        let rules = Rules { directory: &directory, tickets: &relay.tickets, now: relay.clock.now() };
        let acquirer = if rpc == RESOLVE {
            rules.resolve(&caller, route)?
        } else {
            rules.authorize(&caller, route, |issuer| {
                let entry = issuer.entry();
                let rate = entry.limits.authorizations_per_second;
                relay.usages.take(&entry.member, rate, relay.clock.elapsed())
            })?
        };
        self.links.to(acquirer).ok_or(Refused::AcquirerUnreachable)
    }
}

/// Keeps the places of the banks and the connections to the acquirers as the directory has them.
async fn follow(directory: Arc<DirectoryHandle>, usages: Arc<Usages>, links: Vec<Arc<Links>>) {
    let mut changes = directory.subscribe();
    loop {
        changes.borrow_and_update();
        let current = directory.current();
        let issuers = current.members().map(|member| member.entry()).filter(|entry| entry.role == MemberRole::Issuer);
        usages.follow(issuers.map(|entry| &entry.member));
        for links in &links {
            links.follow(&current);
        }
        drop(current);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
