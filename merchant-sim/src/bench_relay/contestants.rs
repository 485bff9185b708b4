//! Starting a contestant, putting it under load, and stopping it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use mesh::channel::Dialer;
use mesh::identity::Role;
use mesh::tls::ExpectedServer;

use super::far_end::FarEnd;
use super::figures::Figures;
use super::members::{ACQUIRER, Members, PLATFORM, TRUST_DOMAIN};
use super::{Contestant, Directory, load, messages};
use crate::process::ports::{self, Reserved};
use crate::process::{Process, cpu};

const HAPROXY_CONFIG: &str = include_str!("../../bench-relay/haproxy.cfg");
const ENVOY_CONFIG: &str = include_str!("../../bench-relay/envoy.yaml");

/// How long a contestant may take until it answers. The platform writes every entry of its first
/// directory to its store, which for ten thousand takes a while.
const READY_MAX: Duration = Duration::from_secs(180);
const READY_POLL: Duration = Duration::from_millis(50);

/// How long a contestant may take to stop.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A contestant that runs and answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) contestant: Contestant,
    process: Option<Process>,
    dialer: Dialer,
    frame: Bytes,
}

/// Refuses early, and says how to install what is missing.
///
/// # Errors
/// The contestant's program isn't there.
pub(super) fn check_installed(contestant: Contestant) -> Result<()> {
    match contestant {
        Contestant::Relay | Contestant::RelayLarge => platform_binary().map(drop),
        Contestant::Envoy => on_path("envoy"),
        Contestant::Haproxy => on_path("haproxy"),
        Contestant::Direct => Ok(()),
    }
}

impl Running {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It doesn't start, or gives no right answer in time.
    pub(super) async fn start(
        contestant: Contestant,
        folder: &Path,
        members: &Members,
        far_end: &FarEnd,
        directory: Directory,
    ) -> Result<Self> {
        let own = folder.join(contestant.name());
        fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let Prepared { port, command, reserved } = match contestant {
            Contestant::Relay | Contestant::RelayLarge => platform(&own, members, far_end, directory)?,
            Contestant::Envoy => envoy(&own, members, far_end)?,
            Contestant::Haproxy => haproxy(&own, members, far_end)?,
            Contestant::Direct => return Self::direct(members, far_end).await,
        };
        drop(reserved);
        let process = Process::spawn(contestant.name(), command, &own.join("log"))?;
        let expected = ExpectedServer::member(Role::Platform, PLATFORM.parse()?);
        let dialer = Dialer::new(&format!("https://localhost:{port}"), members.issuer_identity()?, expected)?;
        let mut running = Self { contestant, process: Some(process), dialer, frame: messages::request()? };
        running.until_it_answers().await?;
        Ok(running)
    }

    async fn direct(members: &Members, far_end: &FarEnd) -> Result<Self> {
        let expected = ExpectedServer::member(Role::Acquirer, ACQUIRER.parse()?);
        let address = format!("https://localhost:{}", far_end.port);
        let dialer = Dialer::new(&address, members.issuer_identity()?, expected)?;
        let mut running = Self { contestant: Contestant::Direct, process: None, dialer, frame: messages::request()? };
        running.until_it_answers().await?;
        Ok(running)
    }

    /// Puts it under load once.
    ///
    /// # Errors
    /// A request fails, or the process is gone.
    pub(super) async fn measure(&mut self, measured: Duration) -> Result<Figures> {
        let id = self.process.as_ref().map(Process::id);
        let watch = || id.map_or(Ok(Duration::ZERO), cpu::used);
        let found = match load::run(&self.dialer, &self.frame, measured, watch).await {
            Ok(found) => found,
            Err(error) => bail!("{error:#}\n{}", self.process.as_ref().map(Process::log_tail).unwrap_or_default()),
        };
        let quantile = |q: f64| found.micros.value_at_quantile(q) as f64;
        let (before, after) = found.watched;
        let requests = found.requests as f64;
        Ok(Figures {
            contestant: self.contestant,
            per_second: requests / found.took.as_secs_f64(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            cpu_us: id.map(|_| (after - before).as_secs_f64() * 1e6 / requests),
        })
    }

    /// Stops it.
    ///
    /// # Errors
    /// The operating system can't say how it ended.
    pub(super) async fn stop(self) -> Result<()> {
        if let Some(mut process) = self.process {
            process.stop(STOP_MAX).await?;
        }
        Ok(())
    }

    async fn until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let error = match load::once(&self.dialer, &self.frame).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let (ended, log) = match &mut self.process {
                Some(process) => (process.ended()?.is_some(), process.log_tail()),
                None => (false, String::new()),
            };
            if ended || Instant::now() > deadline {
                bail!("{} gives no answer: {error:#}\n{log}", self.contestant.name());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }
}

/// A contestant that is about to start.
struct Prepared {
    port: u16,
    command: Command,
    reserved: Reserved,
}

fn platform(own: &Path, members: &Members, far_end: &FarEnd, directory: Directory) -> Result<Prepared> {
    let reserved = ports::reserve(4)?;
    let [members_port, devices, pages, admin] = reserved.ports()[..] else { bail!("too few ports") };
    let first = own.join("directory.binpb");
    members.write_directory(directory, far_end.port, &first)?;
    let config = format!(
        "platform = \"{PLATFORM}\"\n\
         trust_domain = \"{TRUST_DOMAIN}\"\n\
         [listen]\n\
         members.address = \"127.0.0.1:{members_port}\"\n\
         devices.address = \"127.0.0.1:{devices}\"\n\
         pages.address = \"127.0.0.1:{pages}\"\n\
         admin.address = \"127.0.0.1:{admin}\"\n\
         [tls]\n\
         certificate = {certificate:?}\n\
         key = {key:?}\n\
         authority = {authority:?}\n\
         [keys]\n\
         signing_certificate = {signing_certificate:?}\n\
         signing_key = {signing_key:?}\n\
         tickets = {tickets:?}\n\
         [store]\n\
         folder = {store:?}\n\
         [directory]\n\
         operator_certificates = [{operator:?}]\n\
         first = {first:?}\n\
         [checkout]\n\
         public_url = \"https://localhost:{pages}\"\n\
         # The banks of this directory have no servers; probing them would be all that is measured.\n\
         [health]\n\
         interval = \"24h\"\n",
        certificate = members.platform.certificate,
        key = members.platform.key,
        authority = members.authority_certificate,
        signing_certificate = members.platform_signing.certificate,
        signing_key = members.platform_signing.key,
        tickets = members.ticket_keys,
        store = own.join("store"),
        operator = members.operator_certificate,
    );
    let path = own.join("platform.toml");
    fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = Command::new(platform_binary()?);
    command.arg("--config").arg(path);
    Ok(Prepared { port: members_port, command, reserved })
}

fn haproxy(own: &Path, members: &Members, far_end: &FarEnd) -> Result<Prepared> {
    let bundle = members.platform_bundle()?;
    let values = [("CERTIFICATE_AND_KEY", display(&bundle)), ("AUTHORITY", display(&members.authority_certificate))];
    let (port, reserved, path) = proxy_config(own, HAPROXY_CONFIG, "haproxy.cfg", far_end, &values)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    Ok(Prepared { port, command, reserved })
}

fn envoy(own: &Path, members: &Members, far_end: &FarEnd) -> Result<Prepared> {
    let values = [
        ("CERTIFICATE", display(&members.platform.certificate)),
        ("KEY", display(&members.platform.key)),
        ("AUTHORITY", display(&members.authority_certificate)),
    ];
    let (port, reserved, path) = proxy_config(own, ENVOY_CONFIG, "envoy.yaml", far_end, &values)?;
    let mut command = Command::new("envoy");
    command.args(["--log-level", "error", "--disable-hot-restart", "--concurrency"]).arg(threads().to_string());
    command.arg("-c").arg(path);
    Ok(Prepared { port, command, reserved })
}

/// Fills in a proxy's configuration and gives the port that it listens on.
fn proxy_config(
    own: &Path,
    template: &str,
    name: &str,
    far_end: &FarEnd,
    values: &[(&str, String)],
) -> Result<(u16, Reserved, PathBuf)> {
    let reserved = ports::reserve(1)?;
    let [port] = reserved.ports()[..] else { bail!("too few ports") };
    let numbers =
        [("PORT", port.to_string()), ("ACQUIRER_PORT", far_end.port.to_string()), ("THREADS", threads().to_string())];
    let filled = values
        .iter()
        .chain(&numbers)
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value));
    let path = own.join(name);
    fs::write(&path, filled).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((port, reserved, path))
}

/// As many as the relay starts by default.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// The platform's own binary, built beside this one.
fn platform_binary() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find this program")?;
    let path = own.with_file_name("platform");
    if !path.is_file() {
        let profile = if cfg!(debug_assertions) { "" } else { " --release" };
        bail!("the platform isn't built; run `cargo build{profile} -p platform` first");
    }
    Ok(path)
}

fn on_path(program: &str) -> Result<()> {
    let folders = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&folders).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    bail!("{program} is not installed; run `.ci/install bench`, or leave it out with `--only`")
}
