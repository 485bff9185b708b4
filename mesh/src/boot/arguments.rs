//! The command line and the configuration, up to the point where nothing has happened yet.

use super::{Failure, RoleConfig};
use crate::config::{self, Environment, TelemetryConfig};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line comes to.
#[derive(Debug)]
pub enum Prepared<C> {
    /// Run with this configuration and this log.
    Run(C, TelemetryConfig),
    /// Print this and exit with 0: help, version, or the answer to `--check`.
    Done(String),
    /// Don't run.
    Refused(Failure),
}

/// Reads the command line and the configuration. `BANKSIDE_CONFIG` stands in for `--config`, and
/// `BANKSIDE_LOG` overrides the log's filter, so that one run can be made more talkative without a
/// change to the file.
pub fn prepare<C: RoleConfig>(
    role: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Environment,
) -> Prepared<C> {
    let matches = match command(role).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.exit_code() == 0 => return Prepared::Done(error.to_string()),
        Err(error) => return Prepared::Refused(Failure::Config(error.to_string())),
    };
    match load::<C>(&matches, environment) {
        Ok((_, _, path)) if matches.get_flag("check") => Prepared::Done(format!("{}: good\n", path.display())),
        Ok((config, telemetry, _)) => Prepared::Run(config, telemetry),
        Err(failure) => Prepared::Refused(failure),
    }
}

fn load<C: RoleConfig>(
    matches: &ArgMatches,
    environment: &dyn Environment,
) -> Result<(C, TelemetryConfig, PathBuf), Failure> {
    let path = matches
        .get_one::<PathBuf>("config")
        .cloned()
        .or_else(|| environment.variable("BANKSIDE_CONFIG").map(PathBuf::from))
        .ok_or_else(|| Failure::Config("no configuration: give --config FILE or set BANKSIDE_CONFIG".to_owned()))?;
    let config: C = config::load(&path).map_err(|error| Failure::Config(error.to_string()))?;
    let mut telemetry = config.telemetry().clone();
    if let Some(filter) = environment.variable("BANKSIDE_LOG") {
        telemetry.filter = filter;
    }
    if let Some(wrong) = telemetry.validate().into_iter().next() {
        return Err(Failure::Config(wrong.under("telemetry").to_string()));
    }
    Ok((config, telemetry, path))
}

fn command(role: &'static str) -> Command {
    Command::new(role)
        .version(env!("CARGO_PKG_VERSION"))
        .about(format!("The {role} of a Bankside network"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The configuration file, in TOML"),
        )
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help("Only check the configuration"))
}
