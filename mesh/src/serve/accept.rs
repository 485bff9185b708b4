//! Accepting connections, counting them, and ending them together.

use super::addresses::{AddressPlace, Addresses};
use super::connection::{self, Accepted, Cuts};
use super::limits::Limits;
use super::station::Station;
use crate::telemetry::{Counter, Gauge, Metrics};
use crate::tls::ServerTls;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long accepting rests after it failed. The usual cause is that the process has no descriptor
/// left, and then it must not spin.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The share of the handshakes under way that one address may have, so that somebody who begins them and says
/// nothing more keeps nobody else out. A whole company behind one address still gets in: a handshake takes an
/// honest client a few round trips.
const HANDSHAKES_PER_ADDRESS_DIVISOR: usize = 4;

/// How often it is logged that accepting goes on failing.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Acceptor {
    name: &'static str,
    tls: Option<ServerTls>,
    limits: Limits,
    stations: Vec<Station>,
    slots: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    handshakes: Arc<Semaphore>,
    handshakes_by_address: Arc<Addresses>,
    cuts: Cuts,
    tasks: TaskTracker,
    /// Cancelled to cut what is left after draining. Each connection has a child of it.
    cut: CancellationToken,
    open: Gauge,
    refused_full: Counter,
    refused_address: Counter,
    refused_handshakes: Counter,
    failed: Counter,
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
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let refused = |reason| {
            let help = "Connections closed at once, because there were too many of that kind.";
            metrics.counter("bankside_connections_refused_total", help, &[("port", name), ("reason", reason)])
        };
        Self {
            name,
            tls,
            limits,
            stations,
            slots: permits(limits.connections_max),
            addresses: Addresses::new(limits.connections_per_address_max),
            handshakes: permits(limits.handshakes_max),
            handshakes_by_address: Addresses::new(limits.handshakes_max.div_ceil(HANDSHAKES_PER_ADDRESS_DIVISOR)),
            cuts: Cuts::new(name, metrics),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            open: metrics.gauge("bankside_connections_open", "Open connections.", &labels),
            refused_full: refused("all"),
            refused_address: refused("address"),
            refused_handshakes: refused("handshakes"),
            failed: metrics.counter("bankside_accept_failures_total", "Failures to accept a connection.", &labels),
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
        let mut complaint = Complaint::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    complaint.over(self.name);
                    if let Some(places) = self.places(remote) {
                        self.spawn(stream, remote, places, drain);
                    }
                }
                // The connection was gone before it was taken, which says nothing about the next one.
                Err(error) if is_of_connection(&error) => self.failed.increment(),
                Err(error) => {
                    self.failed.increment();
                    complaint.about(self.name, &error);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(REST_AFTER_FAILURE) => {}
                    }
                }
            }
        }
    }

    /// A place for one more connection, if there is one for everything that it takes.
    fn places(&self, remote: SocketAddr) -> Option<Places> {
        let permit = |permits: &Arc<Semaphore>, counter: &Counter| {
            let permit = Arc::clone(permits).try_acquire_owned().ok();
            permit.or_else(|| self.refuse(remote, counter))
        };
        let slot = permit(&self.slots, &self.refused_full)?;
        let address = self.addresses.place(remote.ip()).or_else(|| self.refuse(remote, &self.refused_address))?;
        let handshake = match &self.tls {
            Some(_) => {
                let own = self.handshakes_by_address.place(remote.ip());
                let own = own.or_else(|| self.refuse(remote, &self.refused_handshakes))?;
                Some(HandshakePlace { _all: permit(&self.handshakes, &self.refused_handshakes)?, _own: own })
            }
            None => None,
        };
        Some(Places { slot, address, handshake })
    }

    fn refuse<T>(&self, remote: SocketAddr, counter: &Counter) -> Option<T> {
        counter.increment();
        tracing::debug!(port = self.name, %remote, "too many connections");
        None
    }

    fn spawn(&self, stream: TcpStream, remote: SocketAddr, places: Places, drain: &CancellationToken) {
        let Some(station) = Station::least_busy(&self.stations) else { return };
        let socket = match station.detach(stream) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(port = self.name, %remote, %error, "a connection could not be taken over");
                return;
            }
        };
        let Places { slot, address, handshake } = places;
        let accepted = Accepted {
            port: self.name,
            remote,
            tls: self.tls.clone(),
            limits: self.limits,
            pipeline: station.pipeline.clone(),
            handshake,
            cuts: self.cuts.clone(),
            // A child of its own, because whoever waits for a token takes its lock with each poll.
            drain: drain.child_token(),
            end: self.cut.child_token(),
        };
        let held = (slot, address, OpenGuard::new(self.open.clone()), station.place());
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

/// What one connection takes up.
struct Places {
    slot: OwnedSemaphorePermit,
    address: AddressPlace,
    handshake: Option<HandshakePlace>,
}

/// One handshake's place among all and among those of its address, until it is dropped.
pub(super) struct HandshakePlace {
    _all: OwnedSemaphorePermit,
    _own: AddressPlace,
}

/// Says that accepting fails: at once, then once in a while, and that it is over.
#[derive(Default)]
struct Complaint {
    said: Option<Instant>,
    failures: u64,
}

impl Complaint {
    fn about(&mut self, port: &'static str, error: &io::Error) {
        self.failures += 1;
        if self.said.is_none_or(|said| said.elapsed() >= COMPLAINT_PAUSE) {
            let failures = self.failures;
            tracing::warn!(port, %error, failures, "connections cannot be accepted; trying again");
            self.said = Some(Instant::now());
        }
    }

    fn over(&mut self, port: &'static str) {
        // While there is only now and then a descriptor, that is no news.
        if self.said.is_some_and(|said| said.elapsed() >= REST_AFTER_FAILURE) {
            tracing::info!(port, failures = self.failures, "connections are accepted again");
            *self = Self::default();
        }
    }
}

/// Whether a failure to accept is the connection's and not ours (accept(2)).
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
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
