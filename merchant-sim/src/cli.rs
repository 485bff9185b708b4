//! The command line.
//!
//! Exit codes: 0 done and every check passed; 1 a check failed, or something went wrong; 64 the command
//! line is wrong (`EX_USAGE`); 130 interrupted.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::console::{Console, Stream, Style};
use crate::interrupt::Interrupt;
use crate::network::Network;
use crate::role::{self, Server};
use crate::shop::inbox::Beginning;
use crate::topology::{Issuer, plan};
use crate::{overload, sandbox, scenario, torture};

mod benches;
mod checks;

const USAGE: u8 = 64;
const INTERRUPTED: u8 = 130;

/// A shop and a cardholder's device: try a whole Bankside network on this machine.
#[derive(Debug, Parser)]
#[command(name = "merchant-sim", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a payment step by step and try everything that must be refused
    E2e(E2e),
    /// Keep a network with sample data up, to try things from any language
    Sandbox {
        /// The folder of the sandbox; made where it doesn't exist, found again where it does
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Measure complete payments per second, their times and their cost
    Bench(benches::Bench),
    /// Measure the platform's relay beside Envoy, HAProxy and no relay at all
    BenchRelay(benches::BenchRelay),
    /// Play the scenario with every log at trace level, then look for each planted secret everywhere
    Canary(checks::Canary),
    /// Kill servers at random moments of payments, and see that each payment ends as everybody says
    Crash(checks::Crash),
    /// Time the answers to wrong proofs, and see that nobody can tell from them which was wrong
    Timing(checks::Timing),
    /// Send up to ten times the load that the servers carry, and see what they still get done
    Overload(overload::Command),
    /// Make load; for this program's own use
    #[command(hide = true)]
    OverloadLoad(overload::LoadCommand),
    /// Torment a whole network, then see that nothing was lost and nothing doubled
    Torture(torture::Command),
    /// Run one shop's server; for this program's own use
    #[command(hide = true)]
    TortureShop(torture::ShopCommand),
    /// Run one server; for this program's own use
    #[command(hide = true)]
    Role(Role),
}

#[derive(Debug, Args)]
struct E2e {
    /// Print a machine-readable report on standard output, and the rest on standard error
    #[arg(long)]
    json: bool,
    /// Keep the folder with configurations, data and logs
    #[arg(long)]
    keep: bool,
    /// Also wait for an order to expire, which takes a minute
    #[arg(long)]
    patient: bool,
}

#[derive(Debug, Args)]
struct Role {
    /// Which server
    #[arg(value_enum)]
    server: Server,
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Load this file of customers and end
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Open everything that it keeps sealed, say what is damaged, and end
    #[arg(long, conflicts_with = "import")]
    check_vault: bool,
    /// Stop when standard input closes
    #[arg(long)]
    until_input_closes: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    Badly,
    Interrupted,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too; they go to standard output and are no mistake.
            let _ = error.print();
            let asked_for =
                matches!(error.kind(), clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion);
            return if asked_for { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let (stream, command) = match cli.command {
        Command::Role(Role { server, config, import, check_vault, until_input_closes }) => {
            let task = match &import {
                Some(customers) => role::Task::Import(customers),
                None if check_vault => role::Task::CheckVault,
                None => role::Task::Serve,
            };
            return role::run(server, &config, task, until_input_closes);
        }
        Command::OverloadLoad(wishes) => return overload::generator::serve(&wishes.topology, wishes.path),
        Command::E2e(E2e { json: true, .. })
        | Command::Bench(benches::Bench { json: true, .. })
        | Command::BenchRelay(benches::BenchRelay { json: true, .. })
        | Command::Timing(checks::Timing { json: true, .. }) => (Stream::Errors, cli.command),
        Command::E2e(_)
        | Command::Bench(_)
        | Command::BenchRelay(_)
        | Command::Canary(_)
        | Command::Crash(_)
        | Command::Timing(_)
        | Command::Overload(_)
        | Command::Torture(_)
        | Command::TortureShop(_)
        | Command::Sandbox { .. } => (Stream::Output, cli.command),
    };
    let console = Console::new(stream);
    match run(command, &console) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        Ok(Ended::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            console.done();
            let _ = writeln!(io::stderr(), "{} {error:#}", console.paint(Style::Bad, "error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, console: &Console) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        if let Command::Sandbox { dir } = &command {
            return sandbox::run(dir, &mut interrupt, console).await.map(|()| Ended::Well);
        }
        if let Command::TortureShop(wishes) = &command {
            return torture::run_shop(wishes, &mut interrupt).await.map(|()| Ended::Well);
        }
        // What is dropped here takes its servers along.
        tokio::select! {
            ended = once(&command, console) => ended,
            () = interrupt.wait() => {
                console.done();
                Ok(Ended::Interrupted)
            }
        }
    })
}

/// A command that comes to an end by itself.
async fn once(command: &Command, console: &Console) -> Result<Ended> {
    match command {
        Command::E2e(wishes) => end_to_end(wishes, console).await,
        Command::Bench(wishes) => benches::payments(wishes, console).await,
        Command::BenchRelay(wishes) => benches::relay(wishes, console).await,
        Command::Canary(wishes) => checks::canary(wishes, console).await,
        Command::Crash(wishes) => checks::crash(wishes, console).await,
        Command::Timing(wishes) => checks::timing(wishes, console).await,
        Command::Overload(wishes) => Ok(if overload::run(wishes, console).await? { Ended::Well } else { Ended::Badly }),
        Command::Torture(wishes) => Ok(if torture::run(wishes, console).await? { Ended::Well } else { Ended::Badly }),
        Command::Sandbox { .. } | Command::TortureShop(_) | Command::OverloadLoad(_) | Command::Role(_) => {
            anyhow::bail!("this command does not end by itself")
        }
    }
}

async fn end_to_end(wishes: &E2e, console: &Console) -> Result<Ended> {
    let folder = Folder::new(wishes.keep, console)?;
    let mut network = start(&folder, 0, "info", console).await?;
    let what = scenario::Wishes { patient: wishes.patient, rotate: false };
    let mut report = scenario::play(&mut network, what, console).await?;
    network.stop().await?;
    if !report.passed && !wishes.keep {
        console.line("The servers' logs are gone with the run's folder; --keep keeps it.");
    }
    report.folder = wishes.keep.then(|| folder.path().to_owned());
    if wishes.json {
        print(&report)?;
    }
    Ok(if report.passed { Ended::Well } else { Ended::Badly })
}

async fn start(folder: &Folder, load_customers: u32, log_filter: &'static str, console: &Console) -> Result<Network> {
    let wishes = plan::Wishes { reflection: true, log_filter, load_customers, pages: plan::Pages::Programs };
    start_changed(folder, wishes, |_| (), console).await
}

/// The same with banks that are not like the sample's in everything.
async fn start_changed(
    folder: &Folder,
    wishes: plan::Wishes,
    change: impl FnMut(&mut Issuer),
    console: &Console,
) -> Result<Network> {
    console.working("making certificates and keys");
    let plan::Planned { mut topology, reserved } = plan::make(folder.path(), wishes)?;
    topology.issuers.iter_mut().for_each(change);
    Network::start(topology, Some(reserved), Beginning::FirstOrder, console).await
}

fn print(report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}

/// A folder for one run.
#[derive(Debug)]
struct Folder {
    temporary: tempfile::TempDir,
}

impl Folder {
    fn new(keep: bool, console: &Console) -> Result<Self> {
        let mut temporary = tempfile::Builder::new().prefix("bankside-").tempdir().context("no folder to work in")?;
        if keep {
            temporary.disable_cleanup(true);
            console.line(format!("Everything is kept in {}", temporary.path().display()));
        }
        Ok(Self { temporary })
    }

    fn path(&self) -> &Path {
        self.temporary.path()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bounds_are_kept() {
        for wrong in [
            "bench --payers 0",
            "bench --payers 513",
            "bench --seconds 0",
            "bench --seconds 5 --payments 5",
            "bench --sandbox x --keep",
            "sandbox",
            "e2e --nonsense",
            "role operator --config x",
            "bench --via moon",
            "bench --sign-in --sandbox x",
            "timing --samples 3",
            "torture --seconds 4",
        ] {
            let arguments = std::iter::once("merchant-sim").chain(wrong.split(' '));
            assert!(Cli::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
