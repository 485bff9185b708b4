//! The command that loads customers while the server is stopped.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use mesh::{
    boot::Failure,
    clock::{Entropy, SystemClock, SystemEntropy},
    config::{self, ProcessEnvironment},
    telemetry,
};

use super::{directory, open};
use crate::{
    auth::Passwords,
    config::IssuerConfig,
    import::{self, Means, Options, Report},
    keys::Keys,
    repository::Repository,
    vault::{LookupKeys, needs},
};

/// Loads customers, accounts and cards from a file into the store. The server must be stopped.
#[derive(Debug, Parser)]
#[command(name = "issuer import", version)]
struct Arguments {
    /// The issuer's configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also change the limits and balances of accounts that exist already.
    #[arg(long)]
    overwrite_funds: bool,
    /// The customers, in TOML; customers.sample.toml shows every field.
    customers: PathBuf,
}

/// The whole life of `issuer import`: exits 0 when the file is loaded, 64 where the command line, the
/// configuration or the file is wrong, and as the server does for everything else.
pub fn import_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.exit_code() == 0 => return print(&error.to_string()),
        Err(error) => return fail(&Failure::Config(error.to_string())),
    };
    telemetry::install_panic_hook();
    match load(&arguments) {
        Ok(report) => print(&format!("{}: {report}\n", arguments.customers.display())),
        Err(failure) => fail(&failure),
    }
}

fn load(arguments: &Arguments) -> Result<Report, Failure> {
    let config: IssuerConfig = config::load(&arguments.config).map_err(|error| open::wrong(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Internal(format!("the runtime could not be started: {error}")))?;
    runtime.block_on(load_with(&config, arguments))
}

async fn load_with(config: &IssuerConfig, arguments: &Arguments) -> Result<Report, Failure> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let (keys, kept) = Keys::load(config, &ProcessEnvironment).map_err(|error| open::wrong(&error))?;
    let directory = directory::at_rest(config)?;
    let passwords = Passwords::new(&config.passwords, Arc::clone(&entropy)).map_err(|error| open::wrong(&error))?;
    let store = open::store(config).await?;
    let admitted = needs::admit(store.as_ref(), &keys.vault).await;
    admitted.map_err(|unfit| super::vault::unfit_keys(kept.source(), &unfit))?;
    let lookup = LookupKeys::open(store.as_ref(), &keys.vault, entropy.as_ref()).await;
    let lookup = lookup.map_err(|error| open::wrong(&error))?;
    let repository = Repository::new(Arc::clone(&store));
    let clock = SystemClock::new();
    let means = Means {
        repository: &repository,
        vault: &keys.vault,
        lookup: &lookup,
        passwords: &passwords,
        entropy: entropy.as_ref(),
        clock: &clock,
        card_verification: config.card_verification,
        activation_code_life: config.devices.activation_code_life.get(),
        bins: Some((&directory, &config.issuer_id)),
    };
    let options = Options { overwrite_funds: arguments.overwrite_funds };
    let loaded = import::from_file(&means, &arguments.customers, options).await;
    store.close().await;
    loaded.map_err(|error| failure(&arguments.customers, &error))
}

/// What is the file's fault exits like a wrong configuration.
fn failure(file: &std::path::Path, error: &import::Error) -> Failure {
    let text = format!("{}: {error}", file.display());
    match error {
        import::Error::Unreadable(_)
        | import::Error::TooLarge
        | import::Error::Syntax { .. }
        | import::Error::Invalid(_) => Failure::Config(text),
        import::Error::Password(_)
        | import::Error::Vault(_)
        | import::Error::Entropy(_)
        | import::Error::Repository(_)
        | import::Error::Contended => Failure::Internal(text),
    }
}

fn print(text: &str) -> ExitCode {
    // A reader that has gone away is no reason to fail.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "issuer import: {failure}");
    ExitCode::from(failure.code())
}
