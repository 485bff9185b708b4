//! What every procedure of the issuer works with.

use std::sync::Arc;

use mesh::{
    clock::{Clock, Entropy},
    directory::DirectoryHandle,
    telemetry::Metrics,
};
use proto::ids::IssuerId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Standing,
    auth::Auth,
    charges::{Bells, Numbers},
    client::AuthorizationClient,
    config::{AuthLimits, ChargeLimits},
    domain::policy::Policy,
    keys::Keys,
    repository::Repository,
    vault::{CardVerification, LookupKeys},
};

/// Everything that the issuer's procedures need; shared as `Arc<Context>`.
#[derive(Debug)]
pub struct Context {
    /// This bank.
    pub issuer: IssuerId,
    /// The records.
    pub repository: Repository,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The signing key and the vault.
    pub keys: Keys,
    /// The keys of the hashes under which customers are found.
    pub lookup: LookupKeys,
    /// Where card verification values come from.
    pub verification: Box<dyn CardVerification>,
    /// The bank directory.
    pub directory: Arc<DirectoryHandle>,
    /// The way to the acquirers.
    pub client: Arc<dyn AuthorizationClient>,
    /// What sign-in keeps in memory.
    pub auth: Auth,
    /// Which factors are needed for what.
    pub policy: Policy,
    /// Limits of sign-in and sessions.
    pub auth_limits: AuthLimits,
    /// Limits of charges.
    pub charge_limits: ChargeLimits,
    /// The process's numbers.
    pub metrics: Metrics,
    /// The numbers of the charges.
    pub numbers: Numbers,
    /// Rung when a charge changes.
    pub bells: Bells,
    /// Whether entries come into the audit trail.
    pub audit: Standing,
    /// What goes on after a caller is gone; the role waits for it before it returns.
    pub tasks: TaskTracker,
    /// Cancelled when the role should drain.
    pub stop: CancellationToken,
}
