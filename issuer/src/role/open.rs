//! What is opened before the issuer can work: the store, and the way to the acquirers.

use std::{fmt, sync::Arc};

use mesh::{
    boot::Failure,
    directory::DirectoryHandle,
    identity::Role,
    store::{
        Store,
        sled::{Options, SledStore},
    },
    tls::TlsIdentity,
};

use crate::{
    client::{AuthorizationClient, DirectClient, RelayedClient},
    config::IssuerConfig,
    domain::policy::Policy,
};

/// A configuration that names something unusable.
pub(super) fn wrong(error: &dyn fmt::Display) -> Failure {
    Failure::Config(error.to_string())
}

/// Our TLS certificate must be the configured issuer's: towards others we are whom it names.
pub(super) fn check_own_id(config: &IssuerConfig, identity: &TlsIdentity) -> Result<(), Failure> {
    let is_ours = identity.own_id().is_some_and(|id| {
        id.role() == Role::Issuer
            && id.member().as_str() == config.issuer_id.as_str()
            && *id.trust_domain() == config.trust_domain
    });
    let problem = format!("field `tls.certificate`: is not a certificate of issuer {}", config.issuer_id);
    if is_ours { Ok(()) } else { Err(Failure::Config(problem)) }
}

/// How the store's folder is opened.
pub(super) fn store_options(config: &IssuerConfig) -> Options {
    Options::new(format!("issuer/{}", config.issuer_id)).cache_bytes(u64::from(config.store.cache_mib) * 1024 * 1024)
}

/// Opens the store's folder, which nobody else may have open.
pub(super) async fn store(config: &IssuerConfig) -> Result<Arc<dyn Store>, Failure> {
    let (folder, options) = (config.store.folder.clone(), store_options(config));
    let at = folder.clone();
    // Opening reads the files, which must not hold up a worker thread.
    let opened = tokio::task::spawn_blocking(move || SledStore::open(at, options)).await;
    match opened {
        Ok(Ok(store)) => Ok(Arc::new(store)),
        Ok(Err(error)) => Err(Failure::data_folder(folder, &error)),
        Err(_) => Err(Failure::Internal("opening the store panicked".to_owned())),
    }
}

/// What the customers must prove.
pub(super) fn policy(config: &IssuerConfig) -> Result<Policy, Failure> {
    config.policy.policy(config.passkeys.is_some()).map_err(|errors| {
        let errors: Vec<String> = errors.into_iter().map(|error| error.under("policy").to_string()).collect();
        Failure::Config(errors.join("; "))
    })
}

/// The next hop of every authorization request: the platform where there is one, else each acquirer.
pub(super) fn client(
    config: &IssuerConfig,
    identity: &Arc<TlsIdentity>,
    directory: &Arc<DirectoryHandle>,
) -> Result<Arc<dyn AuthorizationClient>, Failure> {
    match &config.platform {
        Some(platform) => Ok(Arc::new(RelayedClient::new(platform, Arc::clone(identity))?)),
        None => Ok(Arc::new(DirectClient::new(Arc::clone(identity), Arc::clone(directory)))),
    }
}
