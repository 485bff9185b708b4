//! The operations port, and the command that calls it.

use std::{ffi::OsString, fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Parser, Subcommand};
use mesh::{
    boot::{self, Failure},
    channel::{MeshChannel, within},
    config,
    operate::{self, Problem},
    serve::Server,
    tls::{ServerTls, TlsIdentity},
};
use proto::pb::{self, acquirer_operations_client::AcquirerOperationsClient, replay_notifications_request::Of};
use tonic::{Code, service::Routes};

use crate::{access, config::AcquirerConfig, context::Context, service::OperationsService};

/// How long an answer is waited for: as long as the server works on a call.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The server for the acquirer's own people.
pub(super) fn server(
    config: &AcquirerConfig,
    boot: &mut boot::Context,
    identity: &Arc<TlsIdentity>,
    context: &Arc<Context>,
) -> Result<Server, Failure> {
    let listener = boot.listeners.take(operate::LISTENER)?;
    let own = identity.own_id().ok_or_else(|| Failure::Internal("the certificate names nobody".to_owned()))?;
    let tls = ServerTls::mutual(Arc::clone(identity))?;
    let routes = Routes::new(OperationsService::server(Arc::clone(context)));
    let server = Server::grpc("operations", listener, tls, access::operations(&own), routes)
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy))
        .needs_store(Arc::clone(context.repository.store()), &[]);
    if config.reflection { Ok(server.reflection(proto::FILE_DESCRIPTOR_SET)?) } else { Ok(server) }
}

/// Asks something of the running acquirer, under its own certificate.
#[derive(Debug, Parser)]
#[command(name = "acquirer operate", bin_name = "acquirer operate", version)]
struct Arguments {
    /// The acquirer's configuration file, in TOML: says where it listens, and with which certificate to call.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the acquirer listens, where that is not this machine's `listen.operations`: https://host:port.
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the orders whose shop did not acknowledge an event for as long as it is tried.
    List,
    /// Sends the parked events of an order or of a shop again, in order.
    Replay(What),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The order.
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// The shop.
    #[arg(long, value_name = "MERCHANT")]
    merchant: Option<String>,
}

/// The whole life of `acquirer operate`: exits 0 where the acquirer did it, 1 where it refused, 64 where the
/// command line or the configuration is wrong.
pub fn operate_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let ask =
        async |channel, arguments: Arguments| ask(AcquirerOperationsClient::new(channel), arguments.command).await;
    operate::command(arguments, connect, ask)
}

fn connect(arguments: &Arguments) -> Result<MeshChannel, Failure> {
    let config: AcquirerConfig = config::load(&arguments.config).map_err(|error| Failure::Config(error.to_string()))?;
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    operate::channel(identity, arguments.server.as_deref(), config.listen.operations.as_ref())
}

async fn ask(client: AcquirerOperationsClient<MeshChannel>, command: Command) -> Result<String, Problem> {
    match command {
        Command::List => list(client).await,
        Command::Replay(What { order, merchant }) => {
            let of = order.map(Of::OrderId).or(merchant.map(Of::MerchantId));
            replay(client, pb::ReplayNotificationsRequest { of }).await
        }
    }
}

/// Asks until everything is done: the server does a long backlog in parts.
async fn replay(
    mut client: AcquirerOperationsClient<MeshChannel>,
    request: pb::ReplayNotificationsRequest,
) -> Result<String, Problem> {
    let mut orders: u32 = 0;
    loop {
        let answer = match client.replay_notifications(within(request.clone(), ANSWER_WAIT)).await {
            Ok(answer) => answer.into_inner(),
            // Somebody else has done the rest, and all of it has arrived.
            Err(status) if orders > 0 && status.code() == Code::NotFound => break,
            Err(status) => return Err(status.into()),
        };
        orders = orders.saturating_add(answer.orders);
        if !answer.has_more {
            break;
        }
    }
    Ok(format!("orders: {orders}\n"))
}

async fn list(mut client: AcquirerOperationsClient<MeshChannel>) -> Result<String, Problem> {
    let (mut text, mut count, mut page_token) = (String::new(), 0, String::new());
    loop {
        let request = pb::ListParkedNotificationsRequest { page_size: 0, page_token };
        let answer = client.list_parked_notifications(within(request, ANSWER_WAIT)).await?.into_inner();
        for parked in &answer.notifications {
            count += 1;
            let state = parked.state().as_str_name().trim_start_matches("ORDER_STATE_").to_owned();
            let (merchant, event, tries) = (&parked.merchant_id, &parked.event_id, parked.tries);
            let why = if parked.last_failure.is_empty() { "not kept" } else { &parked.last_failure };
            let _ = writeln!(text, "{merchant} {event} {state} after {tries} tries: {why}");
        }
        for event in &answer.unreadable_event_ids {
            let _ = writeln!(text, "{event} cannot be read");
        }
        if answer.next_page_token.is_empty() {
            let _ = writeln!(text, "orders: {count}");
            return Ok(text);
        }
        page_token = answer.next_page_token;
    }
}
