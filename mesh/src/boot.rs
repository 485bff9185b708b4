//! The one way in which every role starts and stops.
//!
//! A role's `main` is a call of [`main`]. It reads `--config FILE`, sets up the log, binds every port,
//! runs the role until it ends or a signal asks it to, and exits with a code that says how it went:
//!
//! | code | meaning (names from sysexits) |
//! |---|---|
//! | 0 | stopped as asked, or `--check` found the configuration good |
//! | 64 | the command line or the configuration is wrong; the field is named (`EX_USAGE`) |
//! | 69 | a port can't be bound (`EX_UNAVAILABLE`) |
//! | 70 | something failed inside (`EX_SOFTWARE`) |
//! | 73 | the data folder can't be used (`EX_CANTCREAT`) |
//!
//! SIGTERM and SIGINT cancel [`Context::stop`] and the role drains; a second signal ends the process
//! at once.

mod arguments;
mod listeners;

pub use arguments::{Prepared, prepare};
pub use listeners::Listeners;

use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::config::{Config, ListenConfig, ProcessEnvironment, TelemetryConfig};
use crate::telemetry::{self, Metrics};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a role's configuration tells the boot path, beside being a [`Config`].
pub trait RoleConfig: Config {
    /// The log.
    fn telemetry(&self) -> &TelemetryConfig;

    /// Every port to bind, under the path of its table in the file, for example `listen.members`.
    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)>;
}

/// What a role gets to run with.
#[derive(Debug)]
pub struct Context {
    /// The bound ports.
    pub listeners: Listeners,
    /// Cancelled when the role should drain and return.
    pub stop: CancellationToken,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The process's numbers.
    pub metrics: Metrics,
}

impl Context {
    /// Says in the log that the role takes calls, with the bound addresses. A role calls it once its
    /// store is open and its certificates are loaded, right before it serves.
    pub fn ready(&self) {
        tracing::info!(listeners = %self.listeners, "ready");
    }
}

/// Why a role ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration, or a file that it names, is wrong; exit code 64.
    #[error("{0}")]
    Config(String),
    /// A port can't be bound; exit code 69.
    #[error("field `{field}.address`: cannot listen on {address} ({problem}); {advice}")]
    Bind {
        /// The table of the port in the configuration.
        field: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the operating system said.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// Something failed inside; exit code 70.
    #[error("{0}")]
    Internal(String),
    /// The data folder can't be used; exit code 73.
    #[error("data folder {}: {problem}", folder.display())]
    DataFolder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Failure {
    /// The data folder can't be opened. The problem is the error with everything that caused it, in one line.
    #[must_use]
    pub fn data_folder(folder: PathBuf, error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let problem: Vec<String> = causes.map(ToString::to_string).collect();
        Self::DataFolder { folder, problem: problem.join(": ") }
    }

    /// The process's exit code for this failure.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            Self::Bind { .. } => 69,
            Self::Internal(_) => 70,
            Self::DataFolder { .. } => 73,
        }
    }
}

impl From<crate::tls::Error> for Failure {
    fn from(error: crate::tls::Error) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<crate::channel::Error> for Failure {
    fn from(error: crate::channel::Error) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<crate::serve::Error> for Failure {
    fn from(error: crate::serve::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

/// The whole life of a role's process.
pub fn main<C, R, F>(role: &'static str, run: R) -> ExitCode
where
    C: RoleConfig,
    R: FnOnce(C, Context) -> F,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    forbid_core_dumps();
    let prepared = prepare::<C>(role, std::env::args_os(), &ProcessEnvironment);
    let config = match prepared {
        Prepared::Run(config, telemetry) => {
            if let Err(error) = telemetry::init(&telemetry) {
                return stopped(role, &Failure::Config(error.to_string()));
            }
            config
        }
        Prepared::Done(text) => {
            // A reader that has gone away is no reason to fail.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Prepared::Refused(failure) => return stopped(role, &failure),
    };
    telemetry::install_panic_hook();
    match supervise(role, config, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(role, code = failure.code(), error = %failure, "stopped");
            ExitCode::from(failure.code())
        }
    }
}

/// Keeps the kernel from writing this process's memory to a file when it crashes, keys and card numbers with it.
/// [`main`] calls it; commands of a role that need neither a log nor ports call it themselves.
pub fn forbid_core_dumps() {
    // Less is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Before the log is set up there is only standard error, which is where the log goes too.
fn stopped(role: &str, failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "{role}: {failure}");
    ExitCode::from(failure.code())
}

/// How long work on blocking threads may go on once the role has returned by itself.
const BLOCKING_GRACE: Duration = Duration::from_secs(5);

/// Binds the ports and runs the role until it returns, on a runtime of its own.
///
/// # Errors
/// The role's own [`Failure`], [`Failure::Bind`], or [`Failure::Internal`] where it panicked.
pub fn supervise<C, R, F>(role: &'static str, config: C, run: R) -> Result<(), Failure>
where
    C: RoleConfig,
    R: FnOnce(C, Context) -> F,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let internal = |what: &str, error: io::Error| Failure::Internal(format!("{what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| internal("the runtime could not be started", error))?;
    let mut grace = BLOCKING_GRACE;
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        let context = Context {
            listeners: Listeners::bind(&config.listeners()).await?,
            stop: stop.clone(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            metrics: Metrics::new(),
        };
        let signals = (
            signal(SignalKind::terminate()).map_err(|e| internal("no signals", e))?,
            signal(SignalKind::interrupt()).map_err(|e| internal("no signals", e))?,
        );
        tracing::info!(role, version = env!("CARGO_PKG_VERSION"), "starting");
        let work = tokio::spawn(run(config, context));
        tokio::select! {
            ended = work => match ended {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::Internal("the role panicked".to_owned())),
            },
            () = stop_on_signal(signals, stop) => {
                grace = Duration::ZERO;
                Err(Failure::Internal("a second signal ended the process before it drained".to_owned()))
            }
        }
    });
    runtime.shutdown_timeout(grace);
    if outcome.is_ok() {
        tracing::info!(role, "stopped");
    }
    outcome
}

/// Cancels `stop` at the first signal and returns at the second.
async fn stop_on_signal(
    (mut terminate, mut interrupt): (tokio::signal::unix::Signal, tokio::signal::unix::Signal),
    stop: CancellationToken,
) {
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            return;
        }
        tracing::info!("asked to stop");
        stop.cancel();
    }
}

#[cfg(test)]
mod tests;
