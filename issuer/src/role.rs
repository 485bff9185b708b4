//! The issuer as a process: everything is opened, the last run's charges are put right, then it serves.

use std::sync::Arc;

use mesh::{
    admin,
    boot::{self, Failure},
    config::ProcessEnvironment,
    directory::DirectoryHandle,
    serve::{MESSAGE_BYTES_MAX, Server},
    store::Store,
    tls::{ServerTls, TlsIdentity},
};
use proto::pb::{card_selection_server::CardSelectionServer, issuer_auth_server::IssuerAuthServer};
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::{
    access, auth,
    charges::{Bells, Numbers},
    client::AuthorizationClient,
    config::IssuerConfig,
    context::Context,
    keys::Keys,
    repository::Repository,
    service::{card_selection::CardSelectionService, issuer_auth::IssuerAuthService},
    tasks,
    vault::{LookupKeys, needs},
};

mod audit;
mod directory;
mod import;
mod open;
mod operate;
mod pages;
mod vault;

pub use audit::audit_command;
pub use import::import_command;
pub use operate::operate_command;
pub use vault::vault_command;

/// The port's name in the configuration.
const DEVICES: &str = "listen.devices";

/// Runs the issuer until it is asked to stop.
///
/// # Errors
/// [`Failure`], which names the file or field where one is to blame.
pub async fn run(config: IssuerConfig, mut boot: boot::Context) -> Result<(), Failure> {
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    open::check_own_id(&config, &identity)?;
    let devices = match &config.device_tls {
        Some(files) => TlsIdentity::load_web(&files.certificate, &files.key)?,
        None => Arc::clone(&identity),
    };
    let members = directory::Source::open(&config, &identity, &boot)?;
    let directory = members.directory();
    let client = open::client(&config, &identity, &directory)?;
    let (keys, kept) = Keys::load(&config, &ProcessEnvironment).map_err(|error| open::wrong(&error))?;
    let standing = directory::standing(&config, &keys.signer, &directory, &boot)?;
    let beside = TaskTracker::new();
    beside.spawn(members.follow(boot.stop.clone()).await?);
    beside.spawn(standing.watch(Arc::clone(&directory), Arc::clone(&boot.clock), boot.stop.clone()));
    let store = open::store(&config).await?;
    let unfit_keys = |unfit: needs::Unfit| vault::unfit_keys(kept.source(), &unfit);
    needs::fits(store.as_ref(), &keys.vault).await.map_err(unfit_keys)?;
    let ctx = Arc::new(context(&config, &boot, keys, Arc::clone(&store), directory, client).await?);

    let carrying = audit::start(&config, &boot, &ctx).await?;
    needs::admit(store.as_ref(), &ctx.keys.vault).await.map_err(unfit_keys)?;
    audit::told_start(&ctx).await?;
    tasks::recovery::recover(&ctx).await.map_err(|error| Failure::Internal(error.to_string()))?;
    let retention =
        tasks::retention::Retention::new(Arc::clone(&ctx), config.retention.periods(), Some(config.retention.rate));
    retention.prepare().await.map_err(|error| Failure::Internal(error.to_string()))?;
    let server = devices_port(&config, &mut boot, &devices, &ctx)?;
    beside.spawn(tasks::resolve::run(Arc::clone(&ctx)));
    beside.spawn(tasks::recovery::run(Arc::clone(&ctx)));
    beside.spawn(retention.run());
    beside.spawn(tasks::rotation::run(Arc::clone(&ctx), kept, config.vault.rotation_rate));
    beside.spawn(Arc::clone(&identity).watch(boot.stop.clone()));
    if !Arc::ptr_eq(&identity, &devices) {
        beside.spawn(Arc::clone(&devices).watch(boot.stop.clone()));
    }
    let cleaning = Arc::clone(&ctx);
    beside.spawn(async move { auth::clean_up(&cleaning, cleaning.stop.clone()).await });
    if config.listen.admin.is_some() {
        let numbers = admin::server(boot.listeners.take(admin::LISTENER)?, boot.metrics.clone(), config.serve);
        beside.spawn(numbers.serve(boot.stop.clone()));
    }
    if config.listen.operations.is_some() {
        let server = operate::server(&config, &mut boot, &identity, &ctx)?;
        beside.spawn(server.serve(boot.stop.clone()));
    }
    pages::serve(&config, &mut boot, &devices, &ctx, &beside)?;
    boot.ready();
    server.serve(boot.stop.clone()).await;

    // A panic in the server would come here without a stop; the tasks must not be waited for in vain.
    boot.stop.cancel();
    beside.close();
    beside.wait().await;
    // What was sent has its answer or its deadline within seconds; waiting saves the next start the questions.
    ctx.tasks.close();
    ctx.tasks.wait().await;
    audit::told_stop(&ctx).await;
    carrying.finish().await;
    store.close().await;
    Ok(())
}

/// The port of the bank's app.
fn devices_port(
    config: &IssuerConfig,
    boot: &mut boot::Context,
    identity: &Arc<TlsIdentity>,
    ctx: &Arc<Context>,
) -> Result<Server, Failure> {
    let listener = boot.listeners.take(DEVICES)?;
    let tls = ServerTls::device(Arc::clone(identity));
    let server = Server::grpc("devices", listener, tls, access::devices(), routes(ctx))
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy))
        .needs_store(Arc::clone(ctx.repository.store()), &[]);
    if config.reflection { Ok(server.reflection(proto::FILE_DESCRIPTOR_SET)?) } else { Ok(server) }
}

async fn context(
    config: &IssuerConfig,
    boot: &boot::Context,
    keys: Keys,
    store: Arc<dyn Store>,
    directory: Arc<DirectoryHandle>,
    client: Arc<dyn AuthorizationClient>,
) -> Result<Context, Failure> {
    let lookup = LookupKeys::open(store.as_ref(), &keys.vault, boot.entropy.as_ref()).await;
    let lookup = lookup.map_err(|error| open::wrong(&error))?;
    let auth = auth::Auth::new(&config.passwords, Arc::clone(&boot.entropy), &keys.vault)
        .map_err(|error| Failure::Internal(error.to_string()))?
        .with_devices(auth::DeviceRules::new(config.devices, config.features))
        .with_passkeys(config.passkeys.as_ref().map(auth::Passkeys::new));
    Ok(Context {
        issuer: config.issuer_id.clone(),
        repository: Repository::new(store),
        clock: Arc::clone(&boot.clock),
        entropy: Arc::clone(&boot.entropy),
        keys,
        lookup,
        verification: config.card_verification.source(),
        directory,
        client,
        auth,
        policy: open::policy(config)?,
        auth_limits: config.auth,
        charge_limits: config.charges,
        metrics: boot.metrics.clone(),
        numbers: Numbers::new(&boot.metrics),
        bells: Bells::new(),
        audit: audit::standing(config),
        tasks: TaskTracker::new(),
        stop: boot.stop.clone(),
    })
}

fn routes(ctx: &Arc<Context>) -> Routes {
    let auth = IssuerAuthServer::new(IssuerAuthService::new(Arc::clone(ctx)));
    let cards = CardSelectionServer::new(CardSelectionService::new(Arc::clone(ctx)));
    Routes::default()
        .add_service(auth.max_encoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(cards.max_encoding_message_size(MESSAGE_BYTES_MAX))
}
