//! The operations port, and the command that calls it.

use std::{ffi::OsString, fmt::Write as _, fs, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use mesh::{
    boot::{self, Failure},
    channel::{MeshChannel, within},
    config,
    operate::{self, Problem},
    serve::{MESSAGE_BYTES_MAX, Server},
    tls::{ServerTls, TlsIdentity},
};
use prost::Message as _;
use proto::pb::{
    self, issuer_operations_client::IssuerOperationsClient, issuer_operations_server::IssuerOperationsServer,
};
use tonic::service::Routes;

use super::open;
use crate::{
    access,
    config::{IssuerConfig, OPERATIONS},
    context::Context,
    service::issuer_operations::IssuerOperationsService,
};

/// How long an answer is waited for: longer than the issuer waits for an acquirer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// The server for the bank's own people.
pub(super) fn server(
    config: &IssuerConfig,
    boot: &mut boot::Context,
    identity: &Arc<TlsIdentity>,
    ctx: &Arc<Context>,
) -> Result<Server, Failure> {
    let listener = boot.listeners.take(OPERATIONS)?;
    let own = identity.own_id().ok_or_else(|| Failure::Internal("the certificate names nobody".to_owned()))?;
    let service = IssuerOperationsService::new(Arc::clone(ctx), config.devices.activation_code_life.get());
    let service = IssuerOperationsServer::new(service).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let tls = ServerTls::mutual(Arc::clone(identity))?;
    let routes = Routes::default().add_service(service);
    let server = Server::grpc("operations", listener, tls, access::operations(&own), routes)
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy))
        .needs_store(Arc::clone(ctx.repository.store()), &[]);
    if config.reflection { Ok(server.reflection(proto::FILE_DESCRIPTOR_SET)?) } else { Ok(server) }
}

/// Asks something of the running issuer, under the bank's own certificate.
#[derive(Debug, Parser)]
#[command(name = "issuer operate", bin_name = "issuer operate", version)]
struct Arguments {
    /// The issuer's configuration file, in TOML: says where the issuer listens, and with which certificate to call.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the issuer listens, where that is not this machine's `listen.operations`: https://host:port.
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the charges whose result is not known.
    Charges {
        /// Only those that nobody asks about by itself any more.
        #[arg(long)]
        parked: bool,
    },
    /// Asks the acquirer about one charge now.
    Resolve {
        /// The bank's own id of the customer.
        customer: String,
        /// The charge.
        charge: String,
    },
    /// Takes a signed result from a file: a serialised bankside.v1.Signed.
    ImportResult {
        /// The bank's own id of the customer.
        customer: String,
        /// The charge.
        charge: String,
        /// The file.
        file: PathBuf,
    },
    /// Draws a new activation code for a customer and shows it, this once.
    ActivationCode {
        /// The bank's own id of the customer.
        customer: String,
    },
    /// Ends the lock of a customer's passwords.
    Unlock {
        /// The bank's own id of the customer.
        customer: String,
    },
}

/// The whole life of `issuer operate`: exits 0 where the issuer did it, 1 where it refused, 64 where the command
/// line or the configuration is wrong.
pub fn operate_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let ask = async |channel, arguments: Arguments| ask(IssuerOperationsClient::new(channel), arguments.command).await;
    operate::command(arguments, connect, ask)
}

fn connect(arguments: &Arguments) -> Result<MeshChannel, Failure> {
    let config: IssuerConfig = config::load(&arguments.config).map_err(|error| open::wrong(&error))?;
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    operate::channel(identity, arguments.server.as_deref(), config.listen.operations.as_ref())
}

async fn ask(mut client: IssuerOperationsClient<MeshChannel>, command: Command) -> Result<String, Problem> {
    match command {
        Command::Charges { parked } => list(client, parked).await,
        Command::Resolve { customer, charge } => {
            let request = pb::ResolveChargeRequest { customer_id: customer, charge_id: charge };
            let answer = client.resolve_charge(within(request, ANSWER_WAIT)).await?.into_inner();
            Ok(line(answer.charge.as_ref()))
        }
        Command::ImportResult { customer, charge, file } => {
            let bytes = fs::read(&file).map_err(|error| Problem::File(file.clone(), error.to_string()))?;
            let result = pb::Signed::decode(bytes.as_slice())
                .map_err(|_| Problem::File(file, "is not a serialised bankside.v1.Signed".to_owned()))?;
            let request = pb::ImportResultRequest { customer_id: customer, charge_id: charge, result: Some(result) };
            let answer = client.import_result(within(request, ANSWER_WAIT)).await?.into_inner();
            Ok(line(answer.charge.as_ref()))
        }
        Command::ActivationCode { customer } => {
            let request = pb::IssueActivationCodeRequest { customer_id: customer };
            let answer = client.issue_activation_code(within(request, ANSWER_WAIT)).await?.into_inner();
            Ok(format!("{}\n", answer.activation_code))
        }
        Command::Unlock { customer } => {
            let request = pb::UnlockPasswordsRequest { customer_id: customer };
            client.unlock_passwords(within(request, ANSWER_WAIT)).await?;
            Ok("unlocked\n".to_owned())
        }
    }
}

async fn list(mut client: IssuerOperationsClient<MeshChannel>, parked: bool) -> Result<String, Problem> {
    let (mut text, mut count, mut page_token) = (String::new(), 0, String::new());
    loop {
        let request = pb::ListUnknownChargesRequest { page_size: 0, page_token, parked };
        let answer = client.list_unknown_charges(within(request, ANSWER_WAIT)).await?.into_inner();
        for unknown in &answer.charges {
            count += 1;
            let standing = if unknown.parked { "parked" } else { "asked" };
            let (customer, acquirer, questions) = (&unknown.customer_id, &unknown.acquirer_id, unknown.questions);
            let charge = line(unknown.charge.as_ref());
            let _ = write!(text, "{customer} {acquirer} {standing} after {questions} questions: {charge}");
        }
        if answer.next_page_token.is_empty() {
            let _ = writeln!(text, "charges: {count}");
            return Ok(text);
        }
        page_token = answer.next_page_token;
    }
}

fn line(charge: Option<&pb::Charge>) -> String {
    let Some(charge) = charge else { return "the issuer named no charge\n".to_owned() };
    let state = charge.state().as_str_name().trim_start_matches("CHARGE_STATE_").to_owned();
    let amount = charge.amount.clone().unwrap_or_default();
    let owes = charge.awaiting.as_ref().map(owes).unwrap_or_default();
    format!(
        "{} {state} {} {} {}{owes}\n",
        charge.charge_id, amount.currency_code, amount.minor_units, charge.authorization_id
    )
}

/// Who owes the next message, to follow the rest of a line.
fn owes(awaiting: &pb::Awaiting) -> String {
    let party = awaiting.party().as_str_name().trim_start_matches("AWAITED_PARTY_").to_owned();
    match awaiting.by {
        Some(by) => format!(", {party} owes by {by}"),
        None => format!(", {party} owes"),
    }
}
