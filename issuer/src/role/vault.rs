//! The commands about the vault, which work while the server is stopped.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use mesh::{
    audit::{self, CheckOptions},
    boot::Failure,
    config::{self, Environment, ProcessEnvironment},
    store::{
        Store as _,
        sled::{OpenError, SledStore},
    },
    telemetry,
};

use super::open;
use crate::{
    config::IssuerConfig,
    keys::{KeySource, VaultKeys},
    vault::{
        Problem, RecordName,
        check::{self, Summary, Unfinished},
        needs::{self, Unfit},
    },
};

/// The exit code where damaged records were found.
const DAMAGED: u8 = 1;

/// Looks after what the issuer keeps encrypted. The server must be stopped.
#[derive(Debug, Parser)]
#[command(name = "issuer vault", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Opens every sealed record in its place and names those that are damaged, and compares the store with the
    /// audit trail. Changes no record.
    Check {
        /// The issuer's configuration file, in TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// The whole life of `issuer vault`: exits 0 where every record is sound, 1 where some are damaged, 64 where
/// the command line, the configuration or the keys are wrong, and as the server does for everything else.
pub fn vault_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Command::Check { config } = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(error) if error.exit_code() == 0 => {
            print(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&Failure::Config(error.to_string())),
    };
    telemetry::install_panic_hook();
    let report = |record: &RecordName, problem: &Problem| print(&format!("damaged: {record}: {problem}\n"));
    match run(&config, &ProcessEnvironment, report) {
        Ok(Found { summary, store }) => {
            match &store {
                Standing::Whole => {}
                Standing::Unknown(why) => print(&format!("the store was not compared with the audit trail: {why}\n")),
                Standing::Behind { told, reached } => print(&format!(
                    "damaged: the store: the audit trail tells of commit {told}, the store ends with commit {reached}; \
                     what was committed in between is lost\n"
                )),
            }
            print(&format!("{summary}\n"));
            let is_behind = matches!(store, Standing::Behind { .. });
            if summary.damaged == 0 && !is_behind { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
        }
        Err(failure) => fail(&failure),
    }
}

fn run(
    config: &std::path::Path,
    environment: &dyn Environment,
    mut report: impl FnMut(&RecordName, &Problem) + Send,
) -> Result<Found, Failure> {
    let config: IssuerConfig = config::load(config).map_err(|error| open::wrong(&error))?;
    let keys = VaultKeys::load(&config.vault, environment).map_err(|error| open::wrong(&error))?;
    let store = open_store(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Internal(format!("the runtime could not be started: {error}")))?;
    runtime.block_on(async {
        let vault = keys.vault();
        let checked = match needs::fits(&store, &vault).await {
            Ok(()) => check::check(&store, &vault, &mut report).await.map_err(unfinished),
            Err(unfit) => Err(unfit_keys(keys.source(), &unfit)),
        };
        let reached = store.watch().borrow().number();
        store.close().await;
        Ok(Found { summary: checked?, store: standing(&config, reached) })
    })
}

struct Found {
    summary: Summary,
    store: Standing,
}

/// How far the store has come, compared with what the audit trail tells of.
enum Standing {
    /// No less far.
    Whole,
    /// Nobody can say, and why.
    Unknown(String),
    /// Commits were lost.
    Behind { told: u64, reached: u64 },
}

/// An engine that finds a part of its file damaged takes it for the end, so that the store opens as it was
/// before: everything in it is sound, and what is lost shows nowhere but in the count of commits.
fn standing(config: &IssuerConfig, reached: u64) -> Standing {
    match audit::check(&config.audit.folder(&config.store.folder), &CheckOptions::default()) {
        Ok(trail) if trail.head.seq > reached => Standing::Behind { told: trail.head.seq, reached },
        Ok(_) => Standing::Whole,
        Err(error) => Standing::Unknown(error.to_string()),
    }
}

/// What keeps a vault's keys from being used, by whose fault it is.
pub(super) fn unfit_keys(source: &KeySource, unfit: &Unfit) -> Failure {
    if unfit.is_of_the_keys() {
        Failure::Config(format!("{source}: {unfit}"))
    } else {
        Failure::Internal(format!("the vault cannot be looked at: {unfit}"))
    }
}

/// Opens the store's folder for this command alone. Blocks.
fn open_store(config: &IssuerConfig) -> Result<SledStore, Failure> {
    let folder = &config.store.folder;
    if !folder.exists() {
        // Opening would make it, and an empty store is sound.
        let problem = "does not exist; nothing was checked".to_owned();
        return Err(Failure::DataFolder { folder: folder.clone(), problem });
    }
    SledStore::open(folder, open::store_options(config)).map_err(|error| {
        let is_in_use = matches!(error, OpenError::Locked { .. });
        match Failure::data_folder(folder.clone(), &error) {
            Failure::DataFolder { folder, problem } if is_in_use => {
                let problem = format!("{problem}. The vault is checked while the issuer is stopped");
                Failure::DataFolder { folder, problem }
            }
            other @ (Failure::Config(_) | Failure::Bind { .. } | Failure::Internal(_) | Failure::DataFolder { .. }) => {
                other
            }
        }
    })
}

fn unfinished(error: Unfinished) -> Failure {
    Failure::Internal(error.to_string())
}

fn print(text: &str) {
    // A reader that has gone away is no reason to fail.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn fail(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "issuer vault: {failure}");
    ExitCode::from(failure.code())
}
