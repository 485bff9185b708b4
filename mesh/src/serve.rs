//! How every port is served: gRPC for members and devices, HTTPS for browsers.
//!
//! One loop accepts, a task per connection shakes hands and speaks HTTP, and each request goes through
//! the same steps in the same order (see [`Server`]). The limits are in [`Limits`]; each has a default
//! that is right for a server of the mesh.
//!
//! The server is driven on hyper directly and not through tonic's own server: ending one connection,
//! judging an idle one, and putting the verified [`Peer`](crate::identity::Peer) into each request
//! all need the connection in hand.

mod accept;
mod adaptive;
mod addresses;
pub(crate) mod body;
mod connection;
pub(crate) mod deadline;
mod descriptors;
mod limits;
mod meter;
mod pause;
mod pipeline;
mod queue;
mod station;
mod unary;
mod vitals;
mod workers;

pub use deadline::Deadline;
pub use limits::{Limits, MESSAGE_BYTES_MAX};
pub use unary::{Answer, Call, FramedMessage, NotOneMessage, UnaryBytes};
pub use workers::Workers;

use crate::access::AccessTable;
use crate::clock::{Entropy, SystemEntropy};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::tls::ServerTls;
use accept::Acceptor;
use pipeline::{Kind, Pipeline};
use station::Station;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::{HealthReporter, HealthService};
use vitals::{Needs, Vitals};

/// Where a request's connection comes from; in the extensions of every request, beside
/// `Arc<Peer>` on a mutual port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// Why a server can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptor set for reflection doesn't decode.
    #[error("the descriptors for server reflection cannot be used: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener has no address.
    #[error("the listener of port `{name}` has no address: {source}")]
    Listener {
        /// The port's name.
        name: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that still had calls when the time for draining was over, and were cut.
    pub cut: usize,
}

/// One port, ready to serve.
///
/// A gRPC request goes through these steps: the access table; the limit of requests in hand; the
/// deadline (the caller's, at most ours); a span and a trace; the limit of the message's size; the
/// handler, with panics contained. An HTTPS request goes through the same ones but the table, and is
/// refused in HTTP's terms. An answer to a browser that is an event stream ([`crate::web::sse`]) is counted among
/// the streams, has no deadline, and ends when the server drains.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    listener: TcpListener,
    tls: Option<ServerTls>,
    kind: Kind,
    routes: Routes,
    limits: Limits,
    metrics: Metrics,
    entropy: Arc<dyn Entropy>,
    health: Option<HealthReporter>,
    needs: Option<Needs>,
    unary: Vec<Arc<dyn UnaryBytes>>,
    workers: Option<Workers>,
}

impl Server {
    /// A gRPC port. `name` is the port's in the log and the metrics; `table` decides who may call what.
    #[must_use]
    pub fn grpc(name: &'static str, listener: TcpListener, tls: ServerTls, table: AccessTable, routes: Routes) -> Self {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let routes = routes.add_service(tonic_health::pb::health_server::HealthServer::new(service));
        Self {
            name,
            listener,
            tls: Some(tls),
            kind: Kind::Grpc(Arc::new(table)),
            routes,
            limits: Limits::default(),
            metrics: Metrics::new(),
            entropy: Arc::new(SystemEntropy::new()),
            health: Some(reporter),
            needs: None,
            unary: Vec::new(),
            workers: None,
        }
    }

    /// A port for browsers, over TLS where `tls` is given. An `axum::Router` becomes [`Routes`] by
    /// `into()`. Without TLS it belongs on a loopback address alone.
    #[must_use]
    pub fn http(name: &'static str, listener: TcpListener, tls: Option<ServerTls>, routes: impl Into<Routes>) -> Self {
        Self {
            name,
            listener,
            tls,
            kind: Kind::Http,
            routes: routes.into(),
            limits: Limits::default(),
            metrics: Metrics::new(),
            entropy: Arc::new(SystemEntropy::new()),
            health: None,
            needs: None,
            unary: Vec::new(),
            workers: None,
        }
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts in this registry.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Takes the ids of spans from here.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Adds server reflection for the services of the access table, from an encoded
    /// `FileDescriptorSet`.
    ///
    /// # Errors
    /// [`Error::Reflection`].
    pub fn reflection(mut self, descriptors: &'static [u8]) -> Result<Self, Error> {
        let Kind::Grpc(table) = &self.kind else {
            return Ok(self);
        };
        let services = table.services();
        let configure = || {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name("grpc.health.v1.Health");
            for service in &services {
                builder = builder.with_service_name(*service);
            }
            builder
        };
        // Older tools ask for v1alpha alone.
        let (current, older) = (configure().build_v1()?, configure().build_v1alpha()?);
        self.routes = self.routes.add_service(current).add_service(older);
        Ok(self)
    }

    /// Wraps what was mounted, for example in the layers of gRPC-Web.
    #[must_use]
    pub fn map_routes(mut self, wrap: impl FnOnce(Routes) -> Routes) -> Self {
        self.routes = wrap(self.routes);
        self
    }

    /// Answers some paths by a service that takes them as bytes, on threads of the port's own: one
    /// service for each thread, in their order. The routes are served on those threads too, so no
    /// handler on this port may work for long between two waits.
    #[must_use]
    pub fn unary(mut self, workers: Workers, services: Vec<Arc<dyn UnaryBytes>>) -> Self {
        self.workers = Some(workers);
        self.unary = services;
        self
    }

    /// How many short calls each of so many threads may have in hand, by the limits that are set so far.
    #[must_use]
    pub fn requests_max_of_each(&self, threads: usize) -> usize {
        self.limits.share_of(threads).requests_max
    }

    /// Health says NOT_SERVING of the port's services, but those in `without`, for as long as the store can't work:
    /// it has no room, has halted, or is closed. Of the server as a whole it says so where no service is left.
    #[must_use]
    pub fn needs_store(mut self, store: Arc<dyn Store>, without: &'static [&'static str]) -> Self {
        self.needs = Some(Needs { store, without });
        self
    }

    /// The health of the services on this port, for a role that has more to say about it than
    /// "serving until it drains". `None` on an HTTPS port.
    #[must_use]
    pub fn health(&self) -> Option<HealthReporter> {
        self.health.clone()
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// [`Error::Listener`].
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.listener.local_addr().map_err(|source| Error::Listener { name: self.name, source })
    }

    /// Serves until `stop`, then drains: health says NOT_SERVING, nothing new is accepted, streams
    /// end with `UNAVAILABLE`, calls in flight may finish within [`Limits::drain`], and what is left
    /// is cut.
    pub async fn serve(self, stop: CancellationToken) -> Drained {
        let vitals = match (&self.kind, self.health) {
            (Kind::Grpc(table), Some(health)) => Some(Vitals::new(self.name, health, table.services(), self.needs)),
            (Kind::Grpc(_) | Kind::Http, _) => None,
        };
        let vitals = vitals.map(Arc::new);
        descriptors::make_room(self.name, self.limits.connections_max);
        let drain = CancellationToken::new();
        let threads: Vec<Option<Handle>> = match &self.workers {
            Some(workers) => workers.handles().iter().cloned().map(Some).collect(),
            None => vec![None],
        };
        let limits = self.limits.share_of(threads.len());
        let routes = self.routes.prepare();
        let mut unary = self.unary.into_iter();
        let station = |thread| {
            let pipeline = Pipeline::new(pipeline::Parts {
                port: self.name,
                kind: self.kind.clone(),
                mutual: self.tls.as_ref().is_some_and(ServerTls::is_mutual),
                routes: routes.clone(),
                unary: unary.next(),
                limits,
                metrics: &self.metrics,
                entropy: Arc::clone(&self.entropy),
                drain: drain.clone(),
            });
            Station::new(pipeline, thread)
        };
        let stations = threads.into_iter().map(station).collect();
        let acceptor = Acceptor::new(self.name, self.tls.clone(), self.limits, &self.metrics, stations);
        let looking = stop.child_token();
        let followed = vitals::begin(vitals.clone(), looking.clone()).await;
        acceptor.accept_until(&self.listener, &stop, &drain).await;
        looking.cancel();
        vitals::end(vitals, followed).await;
        // Balancers that look at the health service get their time before the port closes.
        if !self.limits.drain_notice.get().is_zero() {
            let notice = CancellationToken::new();
            let expiry = notice.clone();
            let period = self.limits.drain_notice.get();
            tokio::spawn(async move {
                tokio::time::sleep(period).await;
                expiry.cancel();
            });
            acceptor.accept_until(&self.listener, &notice, &drain).await;
        }
        drop(self.listener);
        drain.cancel();
        let cut = acceptor.finish(self.limits.drain.get()).await;
        tracing::info!(port = self.name, cut, "drained");
        Drained { cut }
    }
}
