//! One server in a process of its own: this program started again as a role.
//!
//! `cargo run -p merchant-sim` builds no other binary, so the servers that a scenario needs are this
//! binary under the hidden command `role`. It hands over to the very boot path and entry point that
//! the role's own binary uses.

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use mesh::boot::{self, Failure, Prepared, RoleConfig};
use mesh::config::ProcessEnvironment;
use mesh::telemetry;
use rustix::process::{Signal, getpid, kill_process};

use crate::card_network;

/// The roles that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// The acquirer.
    Acquirer,
    /// The issuer.
    Issuer,
    /// The platform.
    Platform,
    /// The simulated card network.
    CardNetwork,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer",
            Self::Issuer => "issuer",
            Self::Platform => "platform",
            Self::CardNetwork => "card-network",
        }
    }
}

/// The command that starts a role as a process which ends with this one.
///
/// # Errors
/// This program doesn't know where it is.
pub fn command(server: Server, config: &Path) -> Result<Command> {
    let program: PathBuf = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = Command::new(program);
    command.args(["role", server.name(), "--until-input-closes", "--config"]).arg(config);
    Ok(command)
}

/// The command that loads an issuer's customers and ends.
///
/// # Errors
/// As [`command`].
pub fn import_command(config: &Path, customers: &Path) -> Result<Command> {
    let mut command = command(Server::Issuer, config)?;
    command.arg("--import").arg(customers);
    Ok(command)
}

/// The command that opens everything which a stopped issuer keeps sealed, and says what is damaged.
///
/// # Errors
/// As [`command`].
pub fn vault_check_command(config: &Path) -> Result<Command> {
    let mut command = command(Server::Issuer, config)?;
    command.arg("--check-vault");
    Ok(command)
}

/// What a role is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task<'a> {
    /// To serve.
    Serve,
    /// To load this file of customers.
    Import(&'a Path),
    /// To check what it keeps sealed.
    CheckVault,
}

/// Runs a role until it is told to stop, or lets an issuer load customers.
pub fn run(server: Server, config: &Path, task: Task<'_>, until_input_closes: bool) -> ExitCode {
    if until_input_closes {
        std::thread::spawn(stop_when_input_closes);
    }
    match (server, task) {
        (Server::Acquirer, Task::Serve) => start(server.name(), config, acquirer::run),
        (Server::Issuer, Task::Serve) => start(server.name(), config, issuer::run),
        (Server::Platform, Task::Serve) => start(server.name(), config, platform::run),
        (Server::CardNetwork, Task::Serve) => start(server.name(), config, card_network::run),
        (Server::Issuer, Task::CheckVault) => {
            issuer::vault_command(["vault".into(), "check".into(), "--config".into(), config.as_os_str().to_owned()])
        }
        (Server::Issuer, Task::Import(customers)) => {
            let config = config.as_os_str().to_owned();
            issuer::import_command(["import".into(), "--config".into(), config, customers.as_os_str().to_owned()])
        }
        (Server::Acquirer | Server::Platform | Server::CardNetwork, Task::Import(_) | Task::CheckVault) => {
            let _ = writeln!(io::stderr(), "only an issuer has customers to import and a vault to check");
            ExitCode::from(Failure::Config(String::new()).code())
        }
    }
}

/// As [`boot::main`], which reads the command line of a binary that is nothing but the role.
fn start<C, R, F>(role: &'static str, config: &Path, run: R) -> ExitCode
where
    C: RoleConfig,
    R: FnOnce(C, boot::Context) -> F,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let arguments = [role.into(), "--config".into(), config.as_os_str().to_owned()];
    let started = match boot::prepare::<C>(role, arguments, &ProcessEnvironment) {
        Prepared::Run(config, log) => {
            telemetry::init(&log).map_err(|error| Failure::Config(error.to_string())).and_then(|()| {
                telemetry::install_panic_hook();
                boot::supervise(role, config, run)
            })
        }
        Prepared::Done(_) => Ok(()),
        Prepared::Refused(failure) => Err(failure),
    };
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where standard error is gone, the exit code still tells.
            let _ = writeln!(io::stderr(), "{role}: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// The process that started this one holds the other end of standard input. When it goes, however that
/// happened, this one stops as if it had been asked to.
fn stop_when_input_closes() {
    let mut input = io::stdin().lock();
    let mut unused = [0; 64];
    while matches!(input.read(&mut unused), Ok(count) if count > 0) {}
    // Signalling oneself fails only where the process is ending already.
    let _ = kill_process(getpid(), Signal::TERM);
}
