//! One thread's connections to the acquirers of the directory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::Uri;
use mesh::channel::Dialer;
use mesh::clock::Entropy;
use mesh::directory::{Directory, Member};
use mesh::identity::Role;
use mesh::tls::{ExpectedServer, TlsIdentity};
use proto::directory::{MemberRole, MemberStatus};
use proto::ids::MemberId;
use proto::link::WebAddress;
use tokio::runtime::Handle;

use super::limits::RelayLimits;
use super::link::Link;
use super::{AUTHORIZE, RESOLVE};

/// The way to one acquirer.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) link: Link,
    /// Where `Authorize` is, in full.
    pub(super) authorize: Uri,
    /// Where `ResolveAuthorization` is, in full.
    pub(super) resolve: Uri,
    endpoint: WebAddress,
}

/// One thread's connections. Reading takes no lock.
pub(super) struct Links {
    outlets: ArcSwap<HashMap<MemberId, Arc<Outlet>>>,
    /// Taken when the directory changes.
    changing: Mutex<()>,
    identity: Arc<TlsIdentity>,
    limits: RelayLimits,
    entropy: Arc<dyn Entropy>,
    runtime: Handle,
}

impl Links {
    /// None yet; those that come are run on `runtime`.
    pub(super) fn new(
        identity: Arc<TlsIdentity>,
        limits: RelayLimits,
        entropy: Arc<dyn Entropy>,
        runtime: Handle,
    ) -> Self {
        Self { outlets: ArcSwap::default(), changing: Mutex::new(()), identity, limits, entropy, runtime }
    }

    /// The way to an acquirer, where its entry says that it is; `None` for an endpoint that can't be
    /// connected to.
    pub(super) fn to(&self, acquirer: &Member) -> Option<Arc<Outlet>> {
        let entry = acquirer.entry();
        match self.outlets.load().get(&entry.member) {
            Some(outlet) if outlet.endpoint == entry.endpoint => Some(Arc::clone(outlet)),
            Some(_) | None => self.add(acquirer),
        }
    }

    /// Begins to connect to each acquirer that is new or elsewhere now, and lets go of those that have left.
    /// One that is suspended stays connected, for the questions about what it has decided.
    pub(super) fn follow(&self, directory: &Directory) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.outlets.load();
        let acquirers = directory.members().filter(|member| {
            member.entry().role == MemberRole::Acquirer && member.entry().status != MemberStatus::Removed
        });
        let outlets = acquirers.filter_map(|acquirer| {
            let entry = acquirer.entry();
            let kept = current.get(&entry.member).filter(|outlet| outlet.endpoint == entry.endpoint).map(Arc::clone);
            Some((entry.member.clone(), kept.or_else(|| self.open(acquirer))?))
        });
        self.outlets.store(Arc::new(outlets.collect()));
    }

    /// An acquirer that is new, or elsewhere, and asked for before [`Links::follow`] has seen it.
    #[cold]
    fn add(&self, acquirer: &Member) -> Option<Arc<Outlet>> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.outlets.load();
        let entry = acquirer.entry();
        if let Some(outlet) = current.get(&entry.member).filter(|outlet| outlet.endpoint == entry.endpoint) {
            return Some(Arc::clone(outlet));
        }
        let outlet = self.open(acquirer)?;
        let mut changed = HashMap::clone(&current);
        changed.insert(entry.member.clone(), Arc::clone(&outlet));
        self.outlets.store(Arc::new(changed));
        Some(outlet)
    }

    fn open(&self, acquirer: &Member) -> Option<Arc<Outlet>> {
        let entry = acquirer.entry();
        let member = entry.member.as_str().parse().ok()?;
        let expected = ExpectedServer::member(Role::Acquirer, member);
        match Dialer::new(entry.endpoint.as_str(), Arc::clone(&self.identity), expected) {
            Ok(dialer) => {
                let at = |path: &str| {
                    let mut parts = dialer.origin().clone().into_parts();
                    parts.path_and_query = Some(path.parse().ok()?);
                    Uri::from_parts(parts).ok()
                };
                let (authorize, resolve) = (at(AUTHORIZE)?, at(RESOLVE)?);
                let endpoint = entry.endpoint.clone();
                let entropy = Arc::clone(&self.entropy);
                let link = Link::start(dialer, self.limits.under_way_max, entropy, &self.runtime);
                Some(Arc::new(Outlet { link, authorize, resolve, endpoint }))
            }
            Err(error) => {
                tracing::warn!(acquirer = %entry.member, %error, "the acquirer's endpoint can't be used");
                None
            }
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("outlets", &self.outlets.load().len()).finish_non_exhaustive()
    }
}
