//! The operations port, and the command that calls it.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use mesh::{
    boot::{self, Failure},
    channel::{MeshChannel, within},
    config,
    identity::Role,
    serve::{MESSAGE_BYTES_MAX, Server},
    tls::{ExpectedServer, ServerTls, TlsIdentity},
};
use prost::Message as _;
use proto::pb::{
    self, issuer_operations_client::IssuerOperationsClient, issuer_operations_server::IssuerOperationsServer,
};
use tonic::{Status, service::Routes};

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
        .entropy(Arc::clone(&boot.entropy));
    if config.reflection { Ok(server.reflection(proto::FILE_DESCRIPTOR_SET)?) } else { Ok(server) }
}

/// Asks something of the running issuer, under the bank's own certificate.
#[derive(Debug, Parser)]
#[command(name = "issuer operate", version)]
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
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.exit_code() == 0 => {
            print(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&Failure::Config(error.to_string())),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Internal(format!("the runtime could not be started: {error}"))),
    };
    let channel = match connect(&arguments.config, arguments.server.as_deref()) {
        Ok(channel) => channel,
        Err(failure) => return fail(&failure),
    };
    match runtime.block_on(ask(IssuerOperationsClient::new(channel), arguments.command)) {
        Ok(said) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Err(Problem::Refused(status)) => {
            let reason = mesh::status::reason_of(&status).unwrap_or_else(|| format!("{:?}", status.code()));
            report(&format!("{reason}: {}", status.message()));
            for (path, what) in mesh::status::violations_of(&status) {
                report(&format!("  {path}: {what}"));
            }
            ExitCode::FAILURE
        }
        Err(Problem::File(path, error)) => fail(&Failure::Config(format!("{}: {error}", path.display()))),
    }
}

enum Problem {
    Refused(Box<Status>),
    File(PathBuf, String),
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

fn connect(config: &Path, server: Option<&str>) -> Result<MeshChannel, Failure> {
    let config: IssuerConfig = config::load(config).map_err(|error| open::wrong(&error))?;
    let identity = TlsIdentity::load(&config.tls, config.trust_domain.clone())?;
    let own = identity.own_id().ok_or_else(|| Failure::Internal("the certificate names nobody".to_owned()))?;
    let address = match (server, &config.listen.operations) {
        (Some(server), _) => server.to_owned(),
        (None, Some(port)) => format!("https://{}", on_this_machine(port.address)),
        (None, None) => {
            let problem = "table `listen.operations`: is missing; add it, or name the issuer with --server";
            return Err(Failure::Config(problem.to_owned()));
        }
    };
    let expected = ExpectedServer::member(Role::Issuer, own.member().clone());
    MeshChannel::new(&address, identity, expected).map_err(|error| Failure::Config(error.to_string()))
}

/// A port that listens on every address is called on the loopback one.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
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
    format!(
        "{} {state} {} {} {}\n",
        charge.charge_id, amount.currency_code, amount.minor_units, charge.authorization_id
    )
}

fn print(text: &str) {
    // Nothing can be done where nobody reads.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn report(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn fail(failure: &Failure) -> ExitCode {
    report(&failure.to_string());
    ExitCode::from(failure.code())
}
