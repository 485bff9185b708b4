//! The acquirer as a process: what is opened in which order, what runs beside each other, and how it ends.

use std::{fs, path::Path, sync::Arc};

use mesh::{
    admin,
    boot::{self, Failure},
    config::FieldError,
    directory::{DirectoryHandle, follow::channel_to},
    identity::{Role, SpiffeId},
    sealing::at_rest::Vault,
    serve::Server,
    signing::Signer,
    store::{
        Store,
        sled::{Options, SledStore},
    },
    tls::{ServerTls, TlsIdentity},
};
use proto::FILE_DESCRIPTOR_SET;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use zeroize::Zeroizing;

use crate::{
    access,
    authorize::Authorizer,
    checkout::{BankChoice, PlatformPublisher},
    config::AcquirerConfig,
    context::{Context, Merchants},
    device_check::DeviceTokens,
    keys::{Seal, SealingKeys},
    orders::Orders,
    outbox::{MeshCourier, Worker},
    page,
    repository::Repository,
    service::{AuthorizationService, OrdersService},
    tasks::{self, Retention},
};

mod directory;
mod line;
mod operate;

use line::Line;
pub use operate::operate_command;

/// Runs the acquirer until it is asked to stop.
///
/// The ports drain first, so that every call gets its answer; then the decisions end whose callers have
/// gone, then the tasks, and the store is closed last.
///
/// # Errors
/// [`Failure`], which names the field or the file where one is at fault.
pub async fn run(config: AcquirerConfig, mut boot: boot::Context) -> Result<(), Failure> {
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    let page_identity = match (&config.page.certificate, &config.page.key) {
        (Some(certificate), Some(key)) => TlsIdentity::load_web(certificate, key)?,
        (None, None) | (Some(_), None) | (None, Some(_)) => Arc::clone(&identity),
    };
    let own = own_id(&config, &identity)?;
    let signer = signer(&config, &own)?;
    let vault = Vault::from_file(&config.vault.keys).map_err(|error| wrong("vault.keys", &error))?;
    let source = directory::Source::open(&config, &identity, &boot)?;
    let directory = source.directory();
    let standing = directory::standing(&config, &signer, &directory, &boot)?;
    let choice = bank_choice(&config, &identity)?;
    let line = Line::open(&config)?;
    let stop_tasks = CancellationToken::new();
    let background = TaskTracker::new();
    background.spawn(source.follow(stop_tasks.clone(), &boot.stop).await?);
    background.spawn(standing.watch(Arc::clone(&directory), Arc::clone(&boot.clock), stop_tasks.clone()));

    let store = open_store(&config).await?;
    let context = Arc::new(context(&config, &boot, Arc::clone(&store), signer, vault, directory).await?);
    let retention = Retention::new(
        context.repository.clone(),
        Arc::clone(&boot.clock),
        config.retention.periods(),
        Some(config.retention.rate),
        &boot.metrics,
    );
    retention.prepare().await.map_err(|error| Failure::Internal(error.to_string()))?;
    if let Some(identity) = line.identity() {
        background.spawn(identity.watch(stop_tasks.clone()));
    }
    let authorizer = Authorizer::counted(Arc::clone(&context), line.network(&config, &context), &boot.metrics);
    let orders = Orders::new(Arc::clone(&context));
    let courier = courier(&context, &identity)?;
    let outbox = Worker::new(
        Arc::clone(&store),
        Arc::clone(&boot.clock),
        Arc::clone(&boot.entropy),
        Arc::new(courier),
        &boot.metrics,
    );

    background.spawn(Arc::clone(&identity).watch(stop_tasks.clone()));
    if !Arc::ptr_eq(&identity, &page_identity) {
        background.spawn(Arc::clone(&page_identity).watch(stop_tasks.clone()));
    }
    background.spawn(tasks::expire_orders(orders.clone(), stop_tasks.clone()));
    let clock = Arc::clone(&boot.clock);
    background.spawn(tasks::recover_authorizations(Arc::clone(&authorizer), clock, stop_tasks.clone()));
    background.spawn(tasks::send_reversals(Arc::clone(&authorizer), Arc::clone(&context), stop_tasks.clone()));
    background.spawn(outbox.run(stop_tasks.clone()));
    background.spawn(retention.run(stop_tasks.clone()));

    let members = members_port(&config, &mut boot, &identity, orders, Arc::clone(&authorizer))?;
    let members = members.needs_store(Arc::clone(&store), &[]);
    let browsers = page_port(&config, &mut boot, page_identity, &context, choice)?;
    for port in own_ports(&config, &mut boot, &identity, &context)? {
        background.spawn(port.serve(boot.stop.clone()));
    }
    boot.ready();
    tokio::join!(members.serve(boot.stop.clone()), browsers.serve(boot.stop.clone()));

    authorizer.drain().await;
    stop_tasks.cancel();
    background.close();
    background.wait().await;
    store.close().await;
    Ok(())
}

fn members_port(
    config: &AcquirerConfig,
    boot: &mut boot::Context,
    identity: &Arc<TlsIdentity>,
    orders: Orders,
    authorizer: Arc<Authorizer>,
) -> Result<Server, Failure> {
    let routes = Routes::new(OrdersService::server(orders)).add_service(AuthorizationService::server(authorizer));
    let listener = boot.listeners.take("listen.members")?;
    let tls = ServerTls::mutual(Arc::clone(identity))?;
    let server = Server::grpc("members", listener, tls, access::table(), routes)
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy));
    Ok(if config.reflection { server.reflection(FILE_DESCRIPTOR_SET)? } else { server })
}

fn page_port(
    config: &AcquirerConfig,
    boot: &mut boot::Context,
    identity: Arc<TlsIdentity>,
    context: &Arc<Context>,
    choice: Option<BankChoice>,
) -> Result<Server, Failure> {
    let link = config.page.link().map_err(|error| Failure::Config(error.under("page").to_string()))?;
    let router = page::router(page::Parts::of(context, link, choice));
    let listener = boot.listeners.take("listen.page")?;
    let tls = config.listen.page.has_tls().then(|| ServerTls::device(identity));
    let server = Server::http("page", listener, tls, router);
    Ok(server.limits(config.serve).metrics(boot.metrics.clone()).entropy(Arc::clone(&boot.entropy)))
}

/// The ports for our own people and our own monitor, where the configuration names them.
fn own_ports(
    config: &AcquirerConfig,
    boot: &mut boot::Context,
    identity: &Arc<TlsIdentity>,
    context: &Arc<Context>,
) -> Result<Vec<Server>, Failure> {
    let mut ports = Vec::new();
    if config.listen.admin.is_some() {
        let listener = boot.listeners.take(admin::LISTENER)?;
        ports.push(admin::server(listener, boot.metrics.clone(), config.serve));
    }
    if config.listen.operations.is_some() {
        ports.push(operate::server(config, boot, identity, context)?);
    }
    Ok(ports)
}

/// What the page offers beside its QR code, where there is a platform with pages.
fn bank_choice(config: &AcquirerConfig, identity: &Arc<TlsIdentity>) -> Result<Option<BankChoice>, Failure> {
    let (Some(platform), Some(pages)) = (&config.platform, &config.page.bank_picker) else { return Ok(None) };
    let channel = channel_to(platform, Arc::clone(identity))?;
    Ok(Some(BankChoice::new(Arc::new(PlatformPublisher::new(channel)), pages.clone())))
}

async fn context(
    config: &AcquirerConfig,
    boot: &boot::Context,
    store: Arc<dyn Store>,
    signer: Signer,
    vault: Vault,
    directory: Arc<DirectoryHandle>,
) -> Result<Context, Failure> {
    let failure = |errors: Vec<FieldError>| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::Config(errors.join("; "))
    };
    let profiles = config.profiles().map_err(failure)?;
    let authentication = config
        .authentication
        .policy()
        .map_err(|errors| failure(errors.into_iter().map(|error| error.under("authentication")).collect()))?;
    Ok(Context {
        acquirer: config.acquirer_id.clone(),
        merchants: Merchants::new(profiles),
        limits: config.limits,
        authentication,
        same_device: config.page.same_device().map_err(failure)?,
        device_tokens: device_tokens(&store, &vault, boot).await?,
        public_url: config.page.public_url.clone(),
        repository: Repository::new(store),
        clock: Arc::clone(&boot.clock),
        entropy: Arc::clone(&boot.entropy),
        seal: Seal::new(signer),
        sealing_keys: SealingKeys::new(vault),
        platform: config.platform.as_ref().map(|platform| platform.id.clone()),
        directory,
        reversals: Notify::new(),
    })
}

/// The tokens under the secret that the store keeps.
async fn device_tokens(store: &Arc<dyn Store>, vault: &Vault, boot: &boot::Context) -> Result<DeviceTokens, Failure> {
    let random = || {
        let mut secret = [0; 32];
        boot.entropy.fill(&mut secret)?;
        Ok(secret)
    };
    let tokens = DeviceTokens::load(&Repository::new(Arc::clone(store)), vault, random).await;
    tokens.map_err(|error| Failure::Internal(error.to_string()))
}

fn courier(context: &Context, identity: &Arc<TlsIdentity>) -> Result<MeshCourier, Failure> {
    let endpoints = context.merchants.profiles().filter_map(|profile| {
        let endpoint = profile.notification.as_ref()?;
        Some((profile.merchant.id.clone(), endpoint.to_string()))
    });
    MeshCourier::new(endpoints, identity).map_err(|error| wrong("merchant.notification_endpoint", &error))
}

/// Our id from our certificate, which must be the configured one.
fn own_id(config: &AcquirerConfig, identity: &TlsIdentity) -> Result<SpiffeId, Failure> {
    let id = identity.own_id().filter(|id| names_us(config, id));
    id.ok_or_else(|| {
        let problem = format!("is not a certificate of acquirer {}", config.acquirer_id);
        Failure::Config(format!("field `tls.certificate`: {problem}"))
    })
}

fn signer(config: &AcquirerConfig, own: &SpiffeId) -> Result<Signer, Failure> {
    let read = |field, path: &Path| {
        let advice = "check the path and the file's permissions";
        fs::read(path)
            .map_err(|error| wrong(field, &format_args!("{}: cannot be read ({error}); {advice}", path.display())))
    };
    let certificate = read("signing.certificate", &config.signing.certificate)?;
    let key = Zeroizing::new(read("signing.key", &config.signing.key)?);
    let signer = Signer::from_pem(&certificate, &key).map_err(|error| wrong("signing.certificate", &error))?;
    if signer.identity() == own {
        Ok(signer)
    } else {
        let problem = format!("names {}, but we are {own}", signer.identity());
        Err(Failure::Config(format!("field `signing.certificate`: {problem}")))
    }
}

fn names_us(config: &AcquirerConfig, id: &SpiffeId) -> bool {
    id.role() == Role::Acquirer
        && id.member().as_str() == config.acquirer_id.as_str()
        && *id.trust_domain() == config.trust_domain
}

async fn open_store(config: &AcquirerConfig) -> Result<Arc<dyn Store>, Failure> {
    let folder = config.store.folder.clone();
    let cache_bytes = u64::from(config.store.cache_mib) * 1024 * 1024;
    let options = Options::new(format!("acquirer/{}", config.acquirer_id)).cache_bytes(cache_bytes);
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
