//! One connection, from the handshake to its end.

use super::RemoteAddr;
use super::accept::HandshakePlace;
use super::limits::Limits;
use super::meter::{Abuse, Meter, Metered};
use super::pause::{Pause, Pausing};
use super::pipeline::{Activity, Caller, Pipeline};
use crate::cork::cork;
use crate::identity::Peer;
use crate::telemetry::{Counter, Metrics};
use crate::tls::{Registration, ServerTls};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// The largest head of a request, in bytes: names, trace and error details fit many times over.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// How much one connection may have under way to us, in bytes. It bounds what a caller can make us keep
/// before any handler reads it: 16 of the largest messages.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How long an idle connection may take to end once it was told to. No call is lost by cutting it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Everything that a connection needs beside its socket.
pub(super) struct Accepted {
    pub(super) port: &'static str,
    pub(super) remote: SocketAddr,
    pub(super) tls: Option<ServerTls>,
    pub(super) limits: Limits,
    pub(super) pipeline: Pipeline,
    /// Given back when the handshake is over.
    pub(super) handshake: Option<HandshakePlace>,
    pub(super) cuts: Cuts,
    pub(super) drain: CancellationToken,
    /// Cancelled to end this connection at once.
    pub(super) end: CancellationToken,
}

/// Counts the connections that were cut, by what their peers did.
#[derive(Clone)]
pub(super) struct Cuts {
    talk: Counter,
    unread: Counter,
    resets: Counter,
}

impl Cuts {
    pub(super) fn new(port: &'static str, metrics: &Metrics) -> Self {
        let counter = |abuse: Abuse| {
            let labels = [("port", port), ("reason", abuse.name())];
            metrics.counter("bankside_connections_cut_total", "Connections cut for what the peer did.", &labels)
        };
        Self { talk: counter(Abuse::Talk), unread: counter(Abuse::Unread), resets: counter(Abuse::Resets) }
    }

    fn count(&self, abuse: Abuse) {
        match abuse {
            Abuse::Talk => self.talk.increment(),
            Abuse::Unread => self.unread.increment(),
            Abuse::Resets => self.resets.increment(),
        }
    }
}

/// Why there was no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no TLS handshake in time")]
    Slow,
    #[error("{0}")]
    Tls(#[from] std::io::Error),
    #[error("{0}")]
    Name(#[from] crate::identity::IdentityError),
    #[error("the certificate is not accepted any more")]
    Revoked,
}

pub(super) async fn run(mut accepted: Accepted, stream: TcpStream) -> Result<(), HandshakeError> {
    // Without this, small answers wait for the acknowledgement of the ones before. It fails only on
    // a socket that is gone already, and that shows at the next read.
    let _ = stream.set_nodelay(true);
    let Some(tls) = accepted.tls.clone() else {
        drive(accepted, stream, None, None).await;
        return Ok(());
    };
    let (config, generation) = tls.current();
    let shaking = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::select! {
        () = accepted.end.cancelled() => return Ok(()),
        shaken = tokio::time::timeout(accepted.limits.handshake.get(), shaking) => {
            shaken.map_err(|_| HandshakeError::Slow)??
        }
    };
    accepted.handshake = None;
    let (peer, registration) = match tls.is_mutual() {
        true => {
            let (peer, registration) = admit(&accepted, &tls, generation, &stream)?;
            (Some(peer), Some(registration))
        }
        false => (None, None),
    };
    drive(accepted, stream, peer, registration).await;
    Ok(())
}

/// Puts a verified peer into the registry.
fn admit(
    accepted: &Accepted,
    tls: &ServerTls,
    generation: u64,
    stream: &TlsStream<TcpStream>,
) -> Result<(Arc<Peer>, Registration), HandshakeError> {
    let chain: Vec<_> = stream
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let leaf = chain.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
    let peer = Arc::new(Peer::of_verified_leaf(leaf, accepted.remote)?);
    let identity = tls.identity();
    let registration = identity.connections().register(Arc::clone(&peer), chain.clone(), accepted.end.clone());
    // The files may have changed between the handshake's start and the registration; the sweep of
    // that change has not seen this connection.
    if identity.generation() != generation && !identity.judge(&chain) {
        return Err(HandshakeError::Revoked);
    }
    Ok((peer, registration))
}

async fn drive<I>(accepted: Accepted, io: I, peer: Option<Arc<Peer>>, _registration: Option<Registration>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Accepted { port, remote, tls, limits, pipeline, cuts, drain, end, .. } = accepted;
    let meter = Meter::new(request_bytes_max(&limits));
    let activity = Arc::new(Activity::new(Arc::clone(&meter)));
    let pause = Arc::new(Pause::default());
    let caller = Caller::new(peer, RemoteAddr(remote), Arc::clone(&activity), Arc::clone(&pause));
    let service = service_fn(move |request: http::Request<Incoming>| {
        let answer = pipeline.begin(request, &caller);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let builder = builder(&limits, tls.is_some_and(|tls| tls.is_mutual()));
    let (io, flush) = cork(Pausing::new(Metered::new(io, Arc::clone(&meter)), pause));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut stalled = pin!(meter.stalled(&limits));
    let cut = |abuse: Abuse| {
        cuts.count(abuse);
        tracing::warn!(port, %remote, reason = %abuse, "connection cut");
    };
    let mut cut_at: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = end.cancelled() => {
                tracing::info!(port, %remote, "connection ended by us");
                return;
            }
            abuse = activity.abused() => return cut(abuse),
            ended = flush.after_each_poll(connection.as_mut()) => {
                if meter.talked_too_much() {
                    cut(Abuse::Talk);
                } else if let Err(error) = ended {
                    tracing::debug!(port, %remote, %error, "connection failed");
                }
                return;
            }
            () = drain.cancelled(), if cut_at.is_none() => {
                connection.as_mut().graceful_shutdown();
                cut_at = Some(Instant::now() + limits.drain.get());
            }
            () = activity.idle(&limits), if cut_at.is_none() => {
                connection.as_mut().graceful_shutdown();
                cut_at = Some(Instant::now() + GOODBYE);
            }
            abuse = stalled.as_mut(), if cut_at.is_none() => {
                // A peer that has only lost track of one answer may have other calls under way.
                cut(abuse);
                connection.as_mut().graceful_shutdown();
                cut_at = Some(Instant::now() + limits.drain.get());
            }
            () = tokio::time::sleep_until(cut_at.unwrap_or_else(far)), if cut_at.is_some() => {
                return;
            }
        }
    }
}

/// The most that one request may bring: its message, and its head.
fn request_bytes_max(limits: &Limits) -> u64 {
    (limits.message_bytes_max as u64).saturating_add(u64::from(HEADERS_BYTES_MAX))
}

/// A moment that is never reached, for the arm that is switched off.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}

/// One message at its largest, and no more, may come before it is read; never less than HTTP/2's own default.
fn window(message_bytes_max: usize) -> u32 {
    let bytes = message_bytes_max.saturating_add(super::body::FRAME_BYTES);
    u32::try_from(bytes).unwrap_or(CONNECTION_WINDOW_BYTES).clamp(65_535, CONNECTION_WINDOW_BYTES)
}

fn builder(limits: &Limits, members: bool) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    // Members speak gRPC alone; what isn't HTTP/2 from its first byte is none of them.
    let mut builder = if members { builder.http2_only() } else { builder };
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keep_alive.get())
        .keep_alive_timeout(limits.keep_alive_wait.get())
        .max_concurrent_streams(limits.streams_per_connection_max)
        // Calls that are taken back before they were looked at: as many as there may be. Who makes a habit of it is
        // cut off for that; somebody else's calls on the same connection aren't ended for an unlucky moment.
        .max_pending_accept_reset_streams(limits.streams_per_connection_max as usize)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .initial_stream_window_size(window(limits.message_bytes_max))
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(window(limits.message_bytes_max) as usize);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.first_request.get())
        .max_buf_size(HEADERS_BYTES_MAX as usize);
    builder
}
