//! Opening one connection: TCP, then TLS with the configuration of the moment.

use super::CONNECT_TIMEOUT;
use crate::tls::{ExpectedServer, TlsIdentity};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Connects for a channel.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tls: Tls,
}

#[derive(Clone, Debug)]
enum Tls {
    Member { identity: Arc<TlsIdentity>, expected: ExpectedServer },
    Device(Arc<ClientConfig>),
}

impl Connector {
    pub(super) fn member(identity: Arc<TlsIdentity>, expected: ExpectedServer) -> Self {
        Self { tls: Tls::Member { identity, expected } }
    }

    pub(super) fn device(config: ClientConfig) -> Self {
        Self { tls: Tls::Device(Arc::new(config)) }
    }

    /// Changes when the next connection would be made with other files than the last.
    pub(super) fn generation(&self) -> u64 {
        match &self.tls {
            Tls::Member { identity, .. } => identity.generation(),
            Tls::Device(_) => 0,
        }
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        match &self.tls {
            Tls::Member { identity, expected } => {
                identity.client_config(expected).map(Arc::new).map_err(io::Error::other)
            }
            Tls::Device(config) => Ok(Arc::clone(config)),
        }
    }

    async fn connect(self, uri: Uri) -> io::Result<TlsStream<TcpStream>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let host = uri.host().ok_or_else(|| invalid("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().ok_or_else(|| invalid("no port"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid("no server name"))?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(self.config()?).connect(name, stream).await?;
        // A server that doesn't agree on HTTP/2 isn't one of ours, and would misread what follows.
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(stream)
    }

    pub(super) async fn connect_in_time(self, uri: Uri) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect(uri))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))?
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect_in_time(uri);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}
