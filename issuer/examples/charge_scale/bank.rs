//! An issuer over a store, as far as its start and its removals need one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use issuer::{
    audit::Standing,
    auth::{Auth, PasswordConfig},
    charges::{Bells, Numbers},
    client::{Answer, AuthorizationClient, Call, Unanswered},
    config::{AuthLimits, ChargeLimits},
    context::Context,
    domain::policy::Policy,
    keys::Keys,
    repository::Repository,
    vault::{LookupKeys, StoredVerification},
};
use mesh::{
    clock::{Clock, Entropy, SystemEntropy},
    identity::Role,
    sealing::at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    signing::Signer,
    store::Store,
    telemetry::Metrics,
};
use proto::signed::Signed;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Failed;

/// The keys are always the same, so that a second process opens what the first one kept.
const KEY: [u8; 32] = [7; 32];

/// A context over this store.
pub(crate) async fn context(store: &Arc<dyn Store>, clock: Arc<dyn Clock>, now: SystemTime) -> Result<Context, Failed> {
    let authority = Authority::create("scale.example".parse()?, "scale", AUTHORITY_LIFETIME, now)?;
    let issued = authority.issue(&LeafRequest::signing(Role::Issuer, "scale".parse()?), now)?;
    let signer = Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes())?;
    let vault = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &KEY)?])?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let metrics = Metrics::new();
    Ok(Context {
        issuer: "scale".parse()?,
        repository: Repository::new(Arc::clone(store)),
        clock,
        lookup: LookupKeys::open(store.as_ref(), &vault, entropy.as_ref()).await?,
        auth: Auth::new(&PasswordConfig::default(), Arc::clone(&entropy), &vault)?,
        keys: Keys { signer, vault },
        entropy,
        verification: Box::new(StoredVerification),
        directory: Arc::default(),
        client: Arc::new(Nobody),
        policy: Policy::one_factor(),
        auth_limits: AuthLimits::default(),
        charge_limits: ChargeLimits::default(),
        numbers: Numbers::new(&metrics),
        metrics,
        bells: Bells::new(),
        audit: Standing::default(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    })
}

/// No acquirer can be reached: nothing here asks one.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl AuthorizationClient for Nobody {
    async fn authorize(&self, _request: &Call, _wait: Duration) -> Result<Signed, Unanswered> {
        Err(Unanswered::TooLate)
    }

    async fn resolve(&self, _question: &Call, _wait: Duration) -> Result<Answer, Unanswered> {
        Err(Unanswered::TooLate)
    }

    fn needs_ticket(&self) -> bool {
        false
    }
}
