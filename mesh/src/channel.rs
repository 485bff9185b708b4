//! Calling other servers.
//!
//! A [`MeshChannel`] is what a generated client is made of: `OrderServiceClient::new(channel)`. It
//! connects when it is first used and again whenever the connection is lost, presents our
//! certificate, and accepts no server but the one that is expected. When our files change it opens a
//! new connection for the next call, while calls on the old one finish.
//!
//! A call's time is set with [`within`]; the channel holds the call to it from the connecting to the
//! last byte of the answer, and tells the server how long it is. A call that a handler makes for the one
//! that it answers gets what is left of that one's time, where that is less, and isn't sent when nothing is
//! left; a task that was spawned, and goes on when the caller has left, has its own time alone. A call
//! without a time has no end but the connection's, which is right for streams alone.

mod connector;
mod dial;

pub use dial::{DialedStream, Dialer, Driver};

use crate::serve::body::{End, Guarded};
use crate::serve::deadline::{self, Deadline};
use crate::status::Refusal;
use crate::telemetry::{TRACEPARENT, TraceContext};
use crate::tls::{self, ExpectedServer, TlsIdentity};
use arc_swap::ArcSwap;
use connector::Connector;
use http::{HeaderValue, Request, Response, Uri};
use proto::reason::Reason;
use std::error::Error as StdError;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

/// The time for a TCP connection and its TLS handshake together. A server of the mesh that takes
/// longer is not there for a caller who waits 10 seconds for the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time between HTTP/2 pings, and for the answer to one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(10);

/// Why a channel can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not `https://host:port`.
    #[error("`{0}` is not an address; write https://host:port")]
    Address(String),
    /// The TLS files can't be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// A connection to one server, made when needed. Clones share it.
#[derive(Clone, Debug)]
pub struct MeshChannel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    connector: Connector,
    current: ArcSwap<Live>,
}

#[derive(Debug)]
struct Live {
    generation: u64,
    channel: Channel,
}

impl MeshChannel {
    /// A channel to a member: mutual TLS, the server being the expected one.
    ///
    /// # Errors
    /// [`Error::Address`], or [`Error::Tls`] for an identity without an authority. Nothing is
    /// connected yet, so a server that isn't there shows at the first call.
    pub fn new(address: &str, identity: Arc<TlsIdentity>, expected: ExpectedServer) -> Result<Self, Error> {
        // Made once here only to refuse early; each connection makes its own from the files of its time.
        identity.client_config(&expected)?;
        Self::connected_by(address, Connector::member(identity, expected))
    }

    fn connected_by(address: &str, connector: Connector) -> Result<Self, Error> {
        let endpoint = endpoint(address)?;
        let live = Live {
            generation: connector.generation(),
            channel: endpoint.connect_with_connector_lazy(connector.clone()),
        };
        Ok(Self { shared: Arc::new(Shared { endpoint, connector, current: ArcSwap::from_pointee(live) }) })
    }

    /// The channel of the files in use now.
    fn current(&self) -> Channel {
        let live = self.shared.current.load();
        let generation = self.shared.connector.generation();
        if live.generation == generation {
            return live.channel.clone();
        }
        let fresh = Arc::new(Live {
            generation,
            channel: self.shared.endpoint.connect_with_connector_lazy(self.shared.connector.clone()),
        });
        // Of several callers who notice the change at once, one channel stays; each of the others is
        // used for one call and goes.
        self.shared.current.store(Arc::clone(&fresh));
        fresh.channel.clone()
    }
}

/// A device's channel: the server is verified against an authority, and we show no certificate.
///
/// # Errors
/// [`Error::Address`], or [`Error::Tls`] where the authority's file can't be read.
pub fn device_channel(address: &str, authority: &Path) -> Result<MeshChannel, Error> {
    let config = tls::device_client_config(authority)?;
    MeshChannel::connected_by(address, Connector::device(config))
}

/// A request that must be answered within `duration`, connecting included.
pub fn within<T>(message: T, duration: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(deadline::GRPC_TIMEOUT, metadata(&deadline::header(duration)));
    request
}

/// Whether a text is an address that a channel can be made for: `https://host:port`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    endpoint(text).is_ok()
}

fn metadata(value: &HeaderValue) -> tonic::metadata::AsciiMetadataValue {
    let text = value.to_str().unwrap_or_default();
    text.parse().expect("invariant: a timeout is digits and a letter")
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness belongs to the channel that the call will use, and is awaited in it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(trace) = TraceContext::current()
            && let Ok(value) = HeaderValue::from_str(&trace.to_string())
        {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        let deadline = deadline::requested(request.headers()).map(Deadline::within);
        // A call that is made for another one has no more time than that one has left.
        let deadline = match (deadline, Deadline::current()) {
            (Some(own), Some(callers)) if callers.left() < own.left() => {
                request.headers_mut().insert(deadline::GRPC_TIMEOUT, deadline::header(callers.left()));
                Some(callers)
            }
            (own, None | Some(_)) => own,
        };
        if deadline.is_some_and(Deadline::is_over) {
            return Box::pin(async { Err(not_sent().into()) });
        }
        let channel = self.current();
        Box::pin(async move {
            let Some(deadline) = deadline else {
                return Ok(channel.oneshot(request).await?);
            };
            let answer = tokio::select! {
                biased;
                // Tonic's own timer for the same header answers CANCELLED; ours comes first.
                () = deadline.passed() => return Err(late().into()),
                answer = channel.oneshot(request) => answer?,
            };
            let end: End = Box::pin(async move {
                deadline.passed().await;
                late()
            });
            Ok(answer.map(|body| Body::new(Guarded::new(body, (), Some(end), late))))
        })
    }
}

fn not_sent() -> Status {
    Refusal::new(
        Code::DeadlineExceeded,
        Reason::DeadlineExceeded,
        "the time for the call was over before it was sent; nothing was done",
    )
    .into_status()
}

fn late() -> Status {
    Refusal::new(
        Code::DeadlineExceeded,
        Reason::DeadlineExceeded,
        "the server did not answer in time; the outcome is not known",
    )
    .into_status()
}

/// Our connector does the TLS, so the endpoint must not: its address says `http`, while the requests
/// say `https`, as the server at the other end expects.
fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let origin = origin(address)?;
    let plain = format!("http://{}", origin.authority().map(ToString::to_string).unwrap_or_default());
    let endpoint = Endpoint::from_shared(plain).map_err(|_| Error::Address(address.to_owned()))?;
    Ok(endpoint
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_WAIT)
        .keep_alive_while_idle(true))
}

/// An address of the form `https://host:port`.
fn origin(address: &str) -> Result<Uri, Error> {
    let refused = || Error::Address(address.to_owned());
    let origin: Uri = address.parse().map_err(|_| refused())?;
    let authority = origin.authority().ok_or_else(refused)?;
    let has_path = !matches!(origin.path(), "" | "/") || origin.query().is_some();
    if origin.scheme_str() != Some("https") || authority.port_u16().is_none() || has_path {
        return Err(refused());
    }
    Ok(origin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_https_with_a_port_and_nothing_else() {
        for good in ["https://bank.example:7443", "https://127.0.0.1:1", "https://[::1]:7443/"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "bank.example:7443",
            "http://bank.example:7443",
            "https://bank.example",
            "https://bank.example:7443/path",
            "https://bank.example:7443/?q=1",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_carries_its_time() {
        let request = within((), Duration::from_millis(1_500));
        let header = request.metadata().get(deadline::GRPC_TIMEOUT).unwrap();
        assert_eq!(header.to_str().unwrap(), "1500000u");
    }
}
