//! The audit trail of the process, and the commands about it.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};
use mesh::{
    audit::{self as trail, CheckOptions, Checked, Options, Published},
    boot::{self, Failure},
    clock::{Clock as _, SystemClock},
    config, telemetry,
};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::open;
use crate::{
    audit::{self, Act, Audit, Entry, OpenError, Standing},
    config::IssuerConfig,
    context::Context,
    repository::Repository,
    tasks::audit::Carrier,
};

/// The exit code of a check that has found something broken.
const BROKEN: u8 = 1;
/// The longest reason of a restart, in bytes: what one field of an entry holds.
const BECAUSE_BYTES_MAX: usize = 256;

/// Opens the trail before anything but a new store's look-up key is written to the store, and begins to carry.
pub(super) async fn start(config: &IssuerConfig, boot: &boot::Context, ctx: &Context) -> Result<Carrying, Failure> {
    let opened = Audit::open(ctx.repository.clone(), options(config), boot.clock.now()).await;
    let resumed = opened.map_err(|error| refused(config, error))?;
    if let Some(repair) = &resumed.repaired {
        tracing::warn!(
            file = %repair.path.display(), line = repair.line, bytes = repair.bytes,
            "a crash had left the last line of the audit trail unfinished; it was cut off and is written again"
        );
    }
    let head = resumed.audit.head();
    tracing::info!(n = head.n, seq = head.seq, ahead = resumed.ahead, "audit trail opened");
    let clock = Arc::clone(&boot.clock);
    let mut carrier = Carrier::new(resumed.audit, ctx.audit.clone(), clock, &boot.metrics, &config.audit);
    carrier.start().await;
    let end = CancellationToken::new();
    let (finish, stop) = (end.clone().drop_guard(), boot.stop.clone());
    let task = tokio::spawn(async move {
        // Should the carrier panic, the issuer must not go on unaudited.
        let _stopping = stop.drop_guard();
        carrier.run(end).await;
    });
    Ok(Carrying { finish, task })
}

/// Puts the start into the trail, with the key that seals from now on: an operator may have changed it meanwhile.
pub(super) async fn told_start(ctx: &Context) -> Result<(), Failure> {
    let version = ctx.keys.vault.current().number();
    let told = Entry::new(ctx.clock.now(), Act::IssuerStarted).key_version(version);
    audit::note(&ctx.repository, &told).await.map_err(|error| Failure::Internal(error.to_string()))
}

/// Puts the stop into the trail. A start behind a start tells of a process that was killed.
pub(super) async fn told_stop(ctx: &Context) {
    if let Err(error) = audit::note(&ctx.repository, &Entry::new(ctx.clock.now(), Act::IssuerStopped)).await {
        tracing::error!(%error, "the audit trail could not be told of the stop");
    }
}

/// The task that carries entries.
pub(super) struct Carrying {
    finish: DropGuard,
    task: JoinHandle<()>,
}

impl Carrying {
    /// Carries what waits, and returns. Nothing else may change the store any more.
    pub(super) async fn finish(self) {
        drop(self.finish);
        if self.task.await.is_err() {
            tracing::error!("the task that writes the audit trail panicked; what waits is in the store");
        }
    }
}

/// Whether entries come into the trail, by the configuration.
pub(super) fn standing(config: &IssuerConfig) -> Standing {
    Standing::new(config.audit.wait_max.get())
}

fn options(config: &IssuerConfig) -> Options {
    let folder = config.audit.folder(&config.store.folder);
    Options::new(folder, format!("issuer/{}", config.issuer_id))
        .file_bytes(u64::from(config.audit.file_mib) * 1024 * 1024)
}

fn refused(config: &IssuerConfig, error: OpenError) -> Failure {
    let failure = Failure::data_folder(config.audit.folder(&config.store.folder), &error);
    let advice = match &error {
        OpenError::Trail(
            trail::OpenError::Io { .. } | trail::OpenError::Locked { .. } | trail::OpenError::Record(_),
        )
        | OpenError::Repository(_)
        | OpenError::NotNoted(_)
        | OpenError::Panicked => return failure,
        OpenError::Trail(
            trail::OpenError::Damaged { .. }
            | trail::OpenError::Behind { .. }
            | trail::OpenError::Missing { .. }
            | trail::OpenError::Other { .. }
            | trail::OpenError::Ahead { .. },
        )
        | OpenError::StoreBehind { .. }
        | OpenError::Foreign { .. } => {
            "restore the one that is wrong, or go on deliberately with `issuer audit restart`"
        }
    };
    match failure {
        Failure::DataFolder { folder, problem } => {
            Failure::DataFolder { folder, problem: format!("{problem}; {advice}") }
        }
        other @ (Failure::Config(_) | Failure::Bind { .. } | Failure::Internal(_)) => other,
    }
}

/// The commands about the audit trail.
#[derive(Debug, Parser)]
#[command(name = "issuer audit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every line of a trail by its files alone, also beside a running issuer.
    Check(Check),
    /// Goes on after a loss: begins a new file whose first line says so. The server must be stopped.
    Restart(Restart),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The folder of the trail's files.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// A head that was given out, which must be in the trail. May be repeated.
    #[arg(long, value_name = "N:HASH")]
    head: Vec<Published>,
    /// A log of the issuer; every line `audit head` in it names a head that must be in the trail. May be repeated.
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// The last head of the files that are kept elsewhere, where the first ones are not in the folder.
    #[arg(long, value_name = "N:HASH")]
    after: Option<Published>,
}

#[derive(Debug, clap::Args)]
struct Restart {
    /// The issuer's configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why, for the trail's readers: at most 256 bytes, and no secret.
    #[arg(long, value_name = "TEXT")]
    because: String,
}

/// The whole life of `issuer audit`: a check exits 0 where the chain is unbroken and 1 where it is not; a wrong
/// command line exits 64, and everything else as the server does.
pub fn audit_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.exit_code() == 0 => return print(&error.to_string()),
        Err(error) => return fail(&error, Failure::Config(String::new()).code()),
    };
    telemetry::install_panic_hook();
    match arguments.command {
        Command::Check(arguments) => check(arguments),
        Command::Restart(arguments) => match restart(&arguments) {
            Ok(text) => print(&text),
            Err(failure) => fail(&failure, failure.code()),
        },
    }
}

fn check(arguments: Check) -> ExitCode {
    let mut heads = arguments.head;
    for log in &arguments.log {
        match heads_in(log) {
            // Another file, or a log that leaves them out, would let every cut trail pass.
            Ok(found) if found.is_empty() => return fail(&format!("{}: names no audit head", log.display()), BROKEN),
            Ok(found) => heads.extend(found),
            Err(error) => return fail(&format!("{}: {error}", log.display()), BROKEN),
        }
    }
    match trail::check(&arguments.folder, &CheckOptions { heads, after: arguments.after }) {
        Ok(checked) => print(&verdict(&checked)),
        Err(broken) => fail(&broken, BROKEN),
    }
}

fn verdict(checked: &Checked) -> String {
    let Checked { entries, head, restarts } = checked;
    let mut text = String::new();
    for n in restarts {
        text.push_str(&format!("audit: begun anew by an operator with n={n}; what was lost before is not here\n"));
    }
    text + &format!("audit: {entries} entries, chain unbroken, head n={} hash={}\n", head.n, head.hash)
}

/// The heads that a log names, whatever the form of its lines: `… audit head n=17 hash=…`, or the same as JSON.
fn heads_in(log: &Path) -> io::Result<Vec<Published>> {
    let mut heads = Vec::new();
    for line in io::BufReader::new(std::fs::File::open(log)?).split(b'\n') {
        heads.extend(head_in(&String::from_utf8_lossy(&line?)));
    }
    Ok(heads)
}

fn head_in(line: &str) -> Option<Published> {
    if !line.contains("audit head") {
        return None;
    }
    let words = || line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let behind = |name: &str| words().filter(|word| !word.is_empty()).skip_while(|word| *word != name).nth(1);
    format!("{}:{}", behind("n")?, behind("hash")?).parse().ok()
}

fn restart(arguments: &Restart) -> Result<String, Failure> {
    if arguments.because.is_empty() || arguments.because.len() > BECAUSE_BYTES_MAX {
        return Err(Failure::Config(format!("--because: must be 1 to {BECAUSE_BYTES_MAX} bytes")));
    }
    let config: IssuerConfig = config::load(&arguments.config).map_err(|error| open::wrong(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Internal(format!("the runtime could not be started: {error}")))?;
    runtime.block_on(async {
        let store = open::store(&config).await?;
        let repository = Repository::new(Arc::clone(&store));
        let because = arguments.because.clone();
        let restarted = audit::restart(&repository, options(&config), because, SystemClock::new().now()).await;
        store.close().await;
        let folder = config.audit.folder(&config.store.folder);
        let restarted = restarted.map_err(|error| Failure::data_folder(folder, &error))?;
        let before = restarted.before.map_or(0, |head| head.n);
        let head = restarted.head;
        Ok(format!("audit: begun anew with n={} hash={}; n={before} was known before\n", head.n, head.hash))
    })
}

fn print(text: &str) -> ExitCode {
    // A reader that has gone away is no reason to fail.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(problem: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "issuer audit: {problem}");
    ExitCode::from(code)
}
