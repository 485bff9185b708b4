//! The platform as a process: what is opened in which order, what runs beside each other, and how it ends.

use std::{fs, sync::Arc};

use mesh::{
    admin,
    boot::{self, Failure},
    identity::Role,
    serve::{MESSAGE_BYTES_MAX, Server},
    store::{
        Store,
        sled::{Options, SledStore},
    },
    tls::{ServerTls, TlsIdentity},
};
use proto::{
    FILE_DESCRIPTOR_SET,
    pb::{bank_directory_server::BankDirectoryServer, checkout_server::CheckoutServer},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    access,
    config::PlatformConfig,
    context::Context,
    directory::{Register, RegisterParts},
    error::Error,
    health::HealthBoard,
    keys::Keys,
    page, relay,
    repository::Repository,
    service::{BankDirectoryService, CheckoutService},
    tasks::{self, Prober, TlsProbe},
};

/// What works without the store: the relay has the directory in memory and keeps nothing.
const RELAY: &[&str] = &["bankside.v1.Authorization"];

/// Runs the platform until it is asked to stop.
///
/// The ports drain first, so that every call gets its answer; then the tasks end, and the store is
/// closed last.
///
/// # Errors
/// [`Failure`], which names the field or the file where one is at fault.
pub async fn run(config: PlatformConfig, mut boot: boot::Context) -> Result<(), Failure> {
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    check_own_id(&config, &identity)?;
    let web = match &config.web_tls {
        Some(files) => TlsIdentity::load_web(&files.certificate, &files.key)?,
        None => Arc::clone(&identity),
    };
    let keys = Keys::load(&config).map_err(|error| Failure::Config(error.to_string()))?;
    let store = open_store(&config).await?;
    let context = Arc::new(context(&config, &boot, keys, Arc::clone(&store)).await?);
    add_first(&config, &context).await?;

    let members = members_port(&config, &mut boot, &context, &identity)?.needs_store(Arc::clone(&store), RELAY);
    let devices = devices_port(&config, &mut boot, &context, &web)?.needs_store(Arc::clone(&store), &[]);
    let tls = config.listen.pages.has_tls().then(|| ServerTls::device(Arc::clone(&web)));
    let pages = Server::http("pages", boot.listeners.take("listen.pages")?, tls, page::routes(Arc::clone(&context)));
    let pages = pages.limits(config.serve).metrics(boot.metrics.clone()).entropy(Arc::clone(&boot.entropy));
    let numbers = admin::server(boot.listeners.take(admin::LISTENER)?, boot.metrics.clone(), config.serve);

    let stop_tasks = CancellationToken::new();
    let background = TaskTracker::new();
    background.spawn(Arc::clone(&identity).watch(stop_tasks.clone()));
    if !Arc::ptr_eq(&identity, &web) {
        background.spawn(web.watch(stop_tasks.clone()));
    }
    background.spawn(tasks::renew_heads(Arc::clone(&context), stop_tasks.clone()));
    background.spawn(tasks::clean_up(Arc::clone(&context), stop_tasks.clone()));
    background.spawn(prober(&config, &context).run(stop_tasks.clone()));
    boot.ready();
    tokio::join!(
        members.serve(boot.stop.clone()),
        devices.serve(boot.stop.clone()),
        pages.serve(boot.stop.clone()),
        numbers.serve(boot.stop.clone()),
    );

    stop_tasks.cancel();
    background.close();
    background.wait().await;
    store.close().await;
    Ok(())
}

fn members_port(
    config: &PlatformConfig,
    boot: &mut boot::Context,
    context: &Arc<Context>,
    identity: &Arc<TlsIdentity>,
) -> Result<Server, Failure> {
    let listener = boot.listeners.take("listen.members")?;
    let tls = ServerTls::mutual(Arc::clone(identity))?;
    let server = Server::grpc("members", listener, tls, access::members(), services(context))
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy));
    let server = if config.reflection { server.reflection(FILE_DESCRIPTOR_SET)? } else { server };
    let parts = relay::Parts {
        directory: Arc::clone(&context.directory),
        tickets: Arc::clone(&context.tickets),
        identity: Arc::clone(identity),
        clock: Arc::clone(&boot.clock),
        entropy: Arc::clone(&boot.entropy),
        metrics: boot.metrics.clone(),
        limits: config.relay,
    };
    relay::mount(server, parts).map_err(|error| Failure::Internal(format!("the relay has no threads: {error}")))
}

fn devices_port(
    config: &PlatformConfig,
    boot: &mut boot::Context,
    context: &Arc<Context>,
    web: &Arc<TlsIdentity>,
) -> Result<Server, Failure> {
    let listener = boot.listeners.take("listen.devices")?;
    let tls = ServerTls::device(Arc::clone(web));
    let server = Server::grpc("devices", listener, tls, access::devices(), services(context))
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy));
    Ok(if config.reflection { server.reflection(FILE_DESCRIPTOR_SET)? } else { server })
}

/// Both ports mount the same services; their tables say which of the RPCs exist there.
fn services(context: &Arc<Context>) -> Routes {
    let directory = BankDirectoryServer::new(BankDirectoryService::new(Arc::clone(context)));
    let checkout = CheckoutServer::new(CheckoutService::new(Arc::clone(context)));
    Routes::default()
        .add_service(directory.max_encoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(checkout.max_encoding_message_size(MESSAGE_BYTES_MAX))
}

async fn context(
    config: &PlatformConfig,
    boot: &boot::Context,
    keys: Keys,
    store: Arc<dyn Store>,
) -> Result<Context, Failure> {
    let repository = Repository::new(store);
    let register = Register::open(RegisterParts {
        repository: repository.clone(),
        trust: keys.trust,
        domain: config.trust_domain.clone(),
        operators: keys.operators,
        seal: keys.seal,
        clock: Arc::clone(&boot.clock),
    });
    // An entry that doesn't count any more is for the operator to look at, anything else for us.
    let register = register.await.map_err(|error| {
        if let Error::StoredDirectory(fault) = &error {
            wrong("directory", fault)
        } else {
            Failure::Internal(error.to_string())
        }
    })?;
    Ok(Context {
        platform: config.platform.clone(),
        directory: register.handle(),
        register,
        health: Arc::new(HealthBoard::new()),
        tickets: Arc::new(keys.tickets),
        repository,
        public_url: config.checkout.public_url.clone(),
        limits: config.checkout.limits,
        clock: Arc::clone(&boot.clock),
        entropy: Arc::clone(&boot.entropy),
        metrics: boot.metrics.clone(),
        stop: boot.stop.clone(),
    })
}

async fn add_first(config: &PlatformConfig, context: &Context) -> Result<(), Failure> {
    let Some(path) = &config.directory.first else { return Ok(()) };
    let named =
        |problem: &dyn std::fmt::Display| wrong("directory.first", &format_args!("{}: {problem}", path.display()));
    let advice = "check the path and the file's permissions";
    let file = fs::read(path).map_err(|error| named(&format_args!("cannot be read ({error}); {advice}")))?;
    let added = context.register.add_first(&file).await.map_err(|error| named(&error))?;
    tracing::info!(added, members = context.directory.current().len(), "the bank directory is loaded");
    Ok(())
}

fn prober(config: &PlatformConfig, context: &Arc<Context>) -> Prober {
    let authority = config.health.authority.clone().unwrap_or_else(|| config.tls.authority.clone());
    let probe = TlsProbe::new(authority, config.health.answer.get());
    Prober::new(Arc::clone(context), Arc::new(probe), config.health.clone())
}

/// Our certificate must be the configured platform's.
fn check_own_id(config: &PlatformConfig, identity: &TlsIdentity) -> Result<(), Failure> {
    let is_ours = identity.own_id().is_some_and(|id| {
        id.role() == Role::Platform && *id.member() == config.platform && *id.trust_domain() == config.trust_domain
    });
    if is_ours { Ok(()) } else { Err(wrong("tls.certificate", &format!("is not of platform {}", config.platform))) }
}

async fn open_store(config: &PlatformConfig) -> Result<Arc<dyn Store>, Failure> {
    let folder = config.store.folder.clone();
    let cache_bytes = u64::from(config.store.cache_mib) * 1024 * 1024;
    let options = Options::new(format!("platform/{}", config.platform)).cache_bytes(cache_bytes);
    let opening = folder.clone();
    // sled recovers while it opens, which may take long.
    let opened = tokio::task::spawn_blocking(move || SledStore::open(opening, options)).await;
    match opened {
        Ok(Ok(store)) => Ok(Arc::new(store)),
        Ok(Err(error)) => Err(Failure::data_folder(folder, &error)),
        Err(_) => Err(Failure::DataFolder { folder, problem: "opening it panicked".to_owned() }),
    }
}

fn wrong(field: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Config(format!("field `{field}`: {error}"))
}

#[cfg(test)]
mod tests;
