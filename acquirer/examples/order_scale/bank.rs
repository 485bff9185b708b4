//! An acquirer over a store, as far as its start needs one.

use std::{sync::Arc, time::SystemTime};

use acquirer::{
    authorize::{Authorizer, Recovery},
    config::{Limits, RetentionConfig},
    context::{Context, Merchants},
    device_check::DeviceTokens,
    domain::{authentication::Policy, same_device::SameDevice},
    keys::{Seal, SealingKeys},
    network::SimulatedNetwork,
    orders::Orders,
    repository::Repository,
    tasks::Retention,
};
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use mesh::{
    clock::{Clock, ManualClock, SystemEntropy},
    directory::DirectoryHandle,
    identity::Role,
    sealing::at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    signing::Signer,
    store::Store,
    telemetry::Metrics,
};
use tokio::sync::Notify;

use super::Failed;

/// Puts the marks in force, expires what is due and settles what was under way, as the server does after it was
/// started. How many orders expired, and how many authorizations were settled.
pub(crate) async fn recover(store: &Arc<dyn Store>, now: SystemTime) -> Result<(usize, usize), Failed> {
    let context = Arc::new(context(store, now)?);
    let (repository, clock) = (context.repository.clone(), Arc::clone(&context.clock));
    let periods = RetentionConfig::default().periods();
    Retention::new(repository, Arc::clone(&clock), periods, None, &Metrics::new()).prepare().await?;
    let network = SimulatedNetwork::new(Arc::clone(store), clock);
    let expired = Orders::new(Arc::clone(&context)).expire_due().await?;
    let recovered = Authorizer::new(context, Arc::new(network)).recover(Recovery::Everything).await?;
    Ok((expired, recovered))
}

fn context(store: &Arc<dyn Store>, now: SystemTime) -> Result<Context, Failed> {
    let authority = Authority::create("scale.example".parse()?, "scale", AUTHORITY_LIFETIME, now)?;
    let issued = authority.issue(&LeafRequest::signing(Role::Acquirer, "scale".parse()?), now)?;
    let signer = Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes())?;
    let (key, _) = KeyEncryptionKey::generate(KeyVersion::new(1))?;
    Ok(Context {
        acquirer: "scale".parse()?,
        merchants: Merchants::new([]),
        limits: Limits::default(),
        authentication: Policy::default(),
        same_device: SameDevice::default(),
        device_tokens: DeviceTokens::new(&[3; 32]),
        public_url: "https://pay.example/".parse()?,
        repository: Repository::new(Arc::clone(store)),
        clock: Arc::new(ManualClock::new(now)) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy::new()),
        seal: Seal::new(signer),
        sealing_keys: SealingKeys::new(Vault::new([key])?),
        platform: None,
        directory: Arc::<DirectoryHandle>::default(),
        reversals: Notify::new(),
    })
}
