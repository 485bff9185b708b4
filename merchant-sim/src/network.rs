//! A network that runs: every server as a process of its own, and the shops' servers in this one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use certs::files::{Access, replace};
use http::Uri;
use mesh::channel::{MeshChannel, device_channel, within};
use proto::pb;
use proto::pb::bank_directory_client::BankDirectoryClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::console::{Console, Style, column};
use crate::process::Process;
use crate::process::ports::Reserved;
use crate::role::{self, Server};
use crate::secrets::Secrets;
use crate::shop::inbox::Beginning;
use crate::shop::{self, Inbox, Shop, notifications};
use crate::topology::{Issuer, ServerFiles, Topology, files};

/// How long a server may take to answer its first health check. An unoptimised build on a busy machine
/// takes a few seconds.
const READY_TIME: Duration = Duration::from_secs(60);

/// How long one health check may take, and how long to wait before the next.
const CHECK_TIME: Duration = Duration::from_secs(2);
const CHECK_PAUSE: Duration = Duration::from_millis(40);

/// How long a server may take to stop: it drains for 15 s at most, then its background work ends.
const STOP_TIME: Duration = Duration::from_secs(25);

/// How long an import may take. Each new password costs a hash, and there may be hundreds.
const IMPORT_TIME: Duration = Duration::from_secs(180);

/// The name of the file, beside a server's configuration, with its process id.
pub const PID_FILE: &str = "server.pid";

/// A running network. Dropping it kills every process in it.
#[derive(Debug)]
pub struct Network {
    /// What it was started from.
    pub topology: Topology,
    /// The shops, with their servers.
    pub shops: Vec<OpenShop>,
    /// The secrets that came up while it ran.
    pub secrets: Secrets,
    servers: Vec<Process>,
    stop: CancellationToken,
    /// Whose start has been told.
    announced: Vec<String>,
}

/// A shop whose server takes notifications.
#[derive(Debug)]
pub struct OpenShop {
    /// For orders.
    pub shop: Shop,
    /// What its acquirer has told it.
    pub inbox: Inbox,
    server: JoinHandle<Result<()>>,
}

impl Network {
    /// Starts everything: writes the configurations, brings the sample data in, starts everything, and waits until each
    /// server takes calls. The reserved ports are given up right before they are used.
    ///
    /// # Errors
    /// A file can't be written, a port is taken, or a server doesn't become ready; the error then shows
    /// the end of its log.
    pub async fn start(
        topology: Topology,
        reserved: Option<Reserved>,
        beginning: Beginning,
        console: &Console,
    ) -> Result<Self> {
        console.working("writing configurations and the signed directory");
        files::write(&topology)?;
        for issuer in &topology.issuers {
            console.working(format!("importing the customers of {}", issuer.id));
            import(issuer).await?;
        }
        let mut network = Self {
            topology,
            shops: Vec::new(),
            secrets: Secrets::default(),
            servers: Vec::new(),
            stop: CancellationToken::new(),
            announced: Vec::new(),
        };
        drop(reserved);
        network.open_shops(beginning).await?;
        // The others wait for the platform's directory, so that it comes first.
        network.spawn_servers(|server| server == Server::Platform)?;
        network.await_ready(console).await?;
        network.spawn_servers(|server| server != Server::Platform)?;
        network.await_ready(console).await?;
        network.await_banks(console).await?;
        console.done();
        Ok(network)
    }

    /// The servers' processes.
    #[must_use]
    pub fn servers(&self) -> &[Process] {
        &self.servers
    }

    /// Which server has ended although nobody asked it to, with the end of its log.
    ///
    /// # Errors
    /// The operating system can't say.
    pub fn fallen(&mut self) -> Result<Option<String>> {
        for server in &mut self.servers {
            if let Some(status) = server.ended()? {
                return Ok(Some(format!("{} ended ({status})\n{}", server.name(), server.log_tail())));
            }
        }
        Ok(None)
    }

    /// Kills a server where it stands and starts it again, as a machine does that lost its process.
    ///
    /// # Errors
    /// There is no such server, or it doesn't become ready again.
    pub async fn kill_and_restart(&mut self, id: &str, console: &Console) -> Result<()> {
        let place = self.topology.servers().into_iter().find(|(_, own, _)| *own == id);
        let (server, _, files) = place.with_context(|| format!("there is no server {id}"))?;
        let old = self.servers.iter_mut().find(|server| server.name() == id);
        let old = old.with_context(|| format!("{id} was not started"))?;
        old.kill()?;
        *old = start_process(server, id, files)?;
        self.await_ready(console).await?;
        self.await_banks(console).await?;
        console.done();
        Ok(())
    }

    /// Asks every server to stop, and waits for all of them.
    ///
    /// # Errors
    /// One of them didn't end well.
    pub async fn stop(mut self) -> Result<()> {
        let mut wrong = Vec::new();
        // Issuers go first: without its acquirer and the platform, an issuer would end with questions that
        // nobody answers.
        for server in self.servers.iter_mut().rev() {
            let status = server.stop(STOP_TIME).await?;
            if !status.success() {
                wrong.push(format!("{} ended with {status}\n{}", server.name(), server.log_tail()));
            }
        }
        self.stop.cancel();
        for open in &mut self.shops {
            (&mut open.server).await.context("a shop's server panicked")??;
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    async fn open_shops(&mut self, beginning: Beginning) -> Result<()> {
        let directory = shop::directory(&self.topology)?;
        for merchant in &self.topology.merchants {
            let acquirer = directory
                .acquirer(&merchant.acquirer.parse()?)
                .with_context(|| format!("{} is not in the directory", merchant.acquirer))?;
            let inbox = Inbox::new(merchant.id.parse()?, acquirer.clone(), beginning);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&merchant.notifications)?));
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("the shop {} cannot listen on {address}", merchant.id))?;
            let identity = shop::identity(&self.topology, &merchant.tls)?;
            tokio::spawn(identity.clone().watch(self.stop.clone()));
            let serving = notifications::serve(
                listener,
                identity,
                inbox.clone(),
                merchant.acquirer.clone(),
                self.topology.reflection,
                self.stop.clone(),
            );
            let shop = Shop::new(&self.topology, merchant)?;
            self.shops.push(OpenShop { shop, inbox, server: tokio::spawn(serving) });
        }
        Ok(())
    }

    fn spawn_servers(&mut self, which: impl Fn(Server) -> bool) -> Result<()> {
        for (server, id, files) in self.topology.servers() {
            if which(server) {
                self.servers.push(start_process(server, id, files)?);
            }
        }
        Ok(())
    }

    /// Waits until the platform has seen that every active bank answers, so that each can be picked.
    async fn await_banks(&self, console: &Console) -> Result<()> {
        console.working(format!("waiting until {} has reached every bank", self.topology.platform.id));
        let channel = device_channel(&self.topology.platform.devices, &self.topology.authority)?;
        let mut directory = BankDirectoryClient::new(channel);
        let asking = async {
            loop {
                let request = pb::ListBanksRequest { page_size: 50, page_token: String::new() };
                let banks = directory.list_banks(within(request, CHECK_TIME)).await.context("ListBanks")?;
                let banks = banks.into_inner().banks;
                // A bank that the operator has suspended in an earlier run of a sandbox need not be asked.
                let mut active = banks.iter().filter(|bank| bank.status() == pb::MemberStatus::Active);
                if !banks.is_empty() && active.all(|bank| bank.health() == pb::BankHealth::Healthy) {
                    return Ok(());
                }
                tokio::time::sleep(CHECK_PAUSE).await;
            }
        };
        tokio::time::timeout(READY_TIME, asking).await.context("the platform never reached every bank")?
    }

    /// Waits until every server that was started takes calls.
    async fn await_ready(&mut self, console: &Console) -> Result<()> {
        for process in &mut self.servers {
            let id = process.name().to_owned();
            console.working(format!("waiting for {id}"));
            ready(process, health_channel(&self.topology, &id)?).await?;
            if !self.announced.contains(&id) {
                let what = console.paint(Style::Faint, &format!("process {}, serving", process.id()));
                console.line(format!("{} {what}", column(&id, 24)));
                self.announced.push(id);
            }
        }
        Ok(())
    }
}

/// Starts one server beside a network, and waits until it takes calls.
///
/// # Errors
/// It doesn't become ready; the error then shows the end of its log.
pub async fn start_alone(topology: &Topology, server: Server, id: &str, files: &ServerFiles) -> Result<Process> {
    let mut process = start_process(server, id, files)?;
    ready(&mut process, health_channel(topology, id)?).await?;
    Ok(process)
}

fn start_process(server: Server, id: &str, files: &ServerFiles) -> Result<Process> {
    let process = Process::spawn(id, role::command(server, &files.config)?, &files.log)?;
    replace(&pid_file(files), format!("{}\n", process.id()).as_bytes(), Access::Everybody)?;
    Ok(process)
}

/// Where a server's process id is kept.
#[must_use]
pub fn pid_file(files: &ServerFiles) -> std::path::PathBuf {
    files.config.with_file_name(PID_FILE)
}

/// A running server's process id.
///
/// # Errors
/// It was never started.
pub fn server_pid(files: &ServerFiles) -> Result<u32> {
    let file = pid_file(files);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no process id", file.display()))
}

/// The port of an address `https://host:port`.
///
/// # Errors
/// It has none.
pub fn port(address: &str) -> Result<u16> {
    let uri: Uri = address.parse().with_context(|| format!("{address} is no address"))?;
    uri.port_u16().with_context(|| format!("{address} has no port"))
}

/// Where a server is asked for its health: as a device where it has a port for devices, else as a shop.
fn health_channel(topology: &Topology, id: &str) -> Result<MeshChannel> {
    let devices = topology.issuers.iter().map(|issuer| (&issuer.id, &issuer.endpoint));
    let mut devices = devices.chain([(&topology.platform.id, &topology.platform.devices)]);
    if let Some((_, endpoint)) = devices.find(|(own, _)| *own == id) {
        return Ok(device_channel(endpoint, &topology.authority)?);
    }
    let merchant = topology.merchants.iter().find(|merchant| merchant.acquirer == id);
    let merchant = merchant.with_context(|| format!("{id} has no shop"))?;
    shop::acquirer_channel(topology, merchant, shop::identity(topology, &merchant.tls)?)
}

/// Asks for the server's health until it serves.
async fn ready(server: &mut Process, channel: MeshChannel) -> Result<()> {
    let mut health = HealthClient::new(channel);
    let deadline = Instant::now() + READY_TIME;
    loop {
        if let Some(status) = server.ended()? {
            bail!("{} ended instead of starting ({status}); its log says:\n{}", server.name(), server.log_tail());
        }
        let question = within(HealthCheckRequest { service: String::new() }, CHECK_TIME);
        let problem = match health.check(question).await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => return Ok(()),
            Ok(answer) => format!("it says {}", answer.get_ref().status().as_str_name()),
            Err(status) => status.to_string(),
        };
        if Instant::now() > deadline {
            bail!(
                "{} was not ready within {} s ({problem}); its log says:\n{}",
                server.name(),
                READY_TIME.as_secs(),
                server.log_tail()
            );
        }
        tokio::time::sleep(CHECK_PAUSE).await;
    }
}

/// Brings a bank's customers in, before its server starts, which holds the store.
///
/// # Errors
/// It doesn't end well; the error then shows the end of its log.
pub async fn import(issuer: &Issuer) -> Result<()> {
    let command = role::import_command(&files::import_config(issuer), &issuer.customers_file)?;
    let mut process = Process::spawn(&format!("the import of {}", issuer.id), command, &issuer.files.log)?;
    let status = process.finish(IMPORT_TIME).await?;
    ensure!(status.success(), "{} ended with {status}; its log says:\n{}", process.name(), process.log_tail());
    Ok(())
}
