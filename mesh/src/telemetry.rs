//! What a process says about itself: log lines, traces and counters.
//!
//! **Nothing secret gets here, by construction and not by filtering.** Card data, passwords, tokens
//! and keys live in the types of [`crate::secret`], whose `Debug` shows nothing; spans and events hold
//! ids, roles, reasons and times, never a message's payload; a panic is logged by its place in the
//! code, never by its text. So there is no redaction step that could be forgotten.

mod metrics;
mod output;
mod trace;

pub use metrics::{Counter, Gauge, Metrics};
pub use trace::{TRACEPARENT, TraceContext};

use crate::config::{LogFormat, TelemetryConfig};
use output::Output;
use std::io;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter doesn't parse.
    #[error("field `telemetry.filter`: {0}; write for example \"info,mesh=debug\"")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber is installed already.
    #[error("the log was set up twice: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the process's log to standard error from now on. Where that is closed, full or not read, lines are
/// lost and nothing else happens; how many they were is said as soon as it can be.
///
/// # Errors
/// [`Error`]; nothing is installed then.
pub fn init(config: &TelemetryConfig) -> Result<(), Error> {
    let dispatch = dispatch(config, Arc::new(Output::new(io::stderr(), config.format)))?;
    tracing::dispatcher::set_global_default(dispatch)?;
    Ok(())
}

/// Makes the log's subscriber with any writer; [`init`] writes to standard error.
///
/// # Errors
/// [`Error::Filter`].
pub fn dispatch<W>(config: &TelemetryConfig, writer: W) -> Result<tracing::Dispatch, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    // Its own complaints would go to standard error, and panic where that is closed.
    let lines = lines.log_internal_errors(false);
    Ok(match config.format {
        LogFormat::Human => lines.finish().into(),
        LogFormat::Json => lines.json().flatten_event(true).finish().into(),
    })
}

/// Makes a panic leave one log line with its place and without its text, which may hold anything.
/// The process goes on; who contains the panic decides what that means.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        tracing::error!(%place, "panic");
    }));
}
