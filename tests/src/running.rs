//! A role in this process: bound, running, stopped.

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc};

use mesh::{
    boot::{Context, Failure, Listeners, RoleConfig},
    clock::{Clock, SystemClock, SystemEntropy},
    telemetry::Metrics,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::wait::soon;

/// A role whose ports are bound, so that their addresses can go into others' files before it runs.
#[derive(Debug)]
pub struct Bound<C> {
    config: C,
    listeners: Listeners,
}

/// A role that runs.
#[derive(Debug)]
pub struct Running {
    /// Its numbers.
    pub metrics: Metrics,
    stop: CancellationToken,
    role: JoinHandle<Result<(), Failure>>,
}

impl<C: RoleConfig> Bound<C> {
    /// Reads the configuration and binds its ports.
    pub async fn new(file: &Path) -> Self {
        let config: C = mesh::config::load(file).unwrap();
        let listeners = Listeners::bind(&config.listeners()).await.unwrap();
        Self { config, listeners }
    }

    /// The address of a port, by the name of its table in the configuration.
    #[must_use]
    pub fn address(&self, port: &str) -> SocketAddr {
        self.listeners.address(port).unwrap()
    }

    /// Runs the role by the machine's clock. A call to one of its ports waits until it is ready.
    pub fn run<F>(self, run: impl FnOnce(C, Context) -> F) -> Running
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.run_by(Arc::new(SystemClock::new()), run)
    }

    /// Runs the role by this clock.
    pub fn run_by<F>(self, clock: Arc<dyn Clock>, run: impl FnOnce(C, Context) -> F) -> Running
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let metrics = Metrics::new();
        let context = Context {
            listeners: self.listeners,
            stop: stop.clone(),
            clock,
            entropy: Arc::new(SystemEntropy::new()),
            metrics: metrics.clone(),
        };
        Running { metrics, stop, role: tokio::spawn(run(self.config, context)) }
    }
}

impl Running {
    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        soon("the role's end", self.role).await.unwrap().unwrap();
    }

    /// Waits until it has ended by itself, and returns why.
    pub async fn failed(self) -> Failure {
        soon("the role's failure", self.role).await.unwrap().unwrap_err()
    }

    /// One number of its metrics; zero where the series isn't there.
    #[must_use]
    pub fn number(&self, series: &str) -> u64 {
        let text = self.metrics.exposition();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}
