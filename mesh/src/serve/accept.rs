//! Accepting connections, counting them, and ending them together.

use super::connection::{self, Accepted};
use super::limits::Limits;
use super::station::Station;
use crate::telemetry::{Counter, Gauge, Metrics};
use crate::tls::ServerTls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long accepting rests after it failed. The usual cause is that the process has no descriptor
/// left, and then it must not spin.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

pub(super) struct Acceptor {
    name: &'static str,
    tls: Option<ServerTls>,
    limits: Limits,
    stations: Vec<Station>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled to cut what is left after draining. Each connection has a child of it.
    cut: CancellationToken,
    open: Gauge,
    refused_full: Counter,
    refused_handshake: Counter,
}

impl Acceptor {
    pub(super) fn new(
        name: &'static str,
        tls: Option<ServerTls>,
        limits: Limits,
        metrics: &Metrics,
        stations: Vec<Station>,
    ) -> Self {
        let labels = [("port", name)];
        Self {
            name,
            tls,
            limits,
            stations,
            slots: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            open: metrics.gauge("bankside_connections_open", "Open connections.", &labels),
            refused_full: metrics.counter(
                "bankside_connections_refused_total",
                "Connections closed at once because there were too many.",
                &labels,
            ),
            refused_handshake: metrics.counter(
                "bankside_handshakes_failed_total",
                "Connections whose TLS handshake failed or took too long.",
                &labels,
            ),
        }
    }

    /// Accepts until `stop`. A connection drains when `drain` is cancelled.
    pub(super) async fn accept_until(
        &self,
        listener: &TcpListener,
        stop: &CancellationToken,
        drain: &CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => self.spawn(stream, remote, slot, drain),
                    Err(_) => {
                        self.refused_full.increment();
                        tracing::debug!(port = self.name, %remote, "too many connections");
                    }
                },
                Err(error) => {
                    tracing::warn!(port = self.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, remote: SocketAddr, slot: OwnedSemaphorePermit, drain: &CancellationToken) {
        let Some(station) = Station::least_busy(&self.stations) else { return };
        let socket = match station.detach(stream) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(port = self.name, %remote, %error, "a connection could not be taken over");
                return;
            }
        };
        let accepted = Accepted {
            port: self.name,
            remote,
            tls: self.tls.clone(),
            limits: self.limits,
            pipeline: station.pipeline.clone(),
            // A child of its own, because whoever waits for a token takes its lock with each poll.
            drain: drain.child_token(),
            end: self.cut.child_token(),
        };
        let held = (slot, OpenGuard::new(self.open.clone()), station.place());
        let refused = self.refused_handshake.clone();
        let work = async move {
            let _held = held;
            let ended = match socket.attach() {
                Ok(stream) => connection::run(accepted, stream).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = ended {
                refused.increment();
                tracing::info!(%remote, %error, "handshake refused");
            }
        };
        self.tasks.spawn_on(work, &station.runtime());
    }

    /// Waits for the connections to end, cuts those that are left after `patience`, and says how many
    /// those were.
    pub(super) async fn finish(self, patience: Duration) -> usize {
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.cut.cancel();
        self.tasks.wait().await;
        left
    }
}

/// Counts a connection as open until it is dropped.
struct OpenGuard(Gauge);

impl OpenGuard {
    fn new(open: Gauge) -> Self {
        open.add(1);
        Self(open)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
