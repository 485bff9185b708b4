//! Single connections, for a caller that speaks HTTP/2 itself.

use super::connector::Connector;
use super::{Error, origin};
use crate::cork::{Corked, Flush, cork};
use crate::tls::{ExpectedServer, TlsIdentity};
use http::Uri;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Opens connections to one member: mutual TLS with the files of the moment, HTTP/2 agreed upon, the
/// server being the expected one.
#[derive(Clone, Debug)]
pub struct Dialer {
    origin: Uri,
    connector: Connector,
}

impl Dialer {
    /// A dialer for `https://host:port`.
    ///
    /// # Errors
    /// [`Error::Address`], or [`Error::Tls`] for an identity without an authority.
    pub fn new(address: &str, identity: Arc<TlsIdentity>, expected: ExpectedServer) -> Result<Self, Error> {
        identity.client_config(&expected)?;
        Ok(Self { origin: origin(address)?, connector: Connector::member(identity, expected) })
    }

    /// Connects and shakes hands, within 3 seconds. The connection gets the first of the two; the second
    /// must run it.
    ///
    /// # Errors
    /// No connection in time, or a server that isn't the expected one.
    pub async fn dial(&self) -> io::Result<(DialedStream, Driver)> {
        let stream = self.connector.clone().connect_in_time(self.origin.clone()).await?;
        let (stream, flush) = cork(stream);
        Ok((DialedStream(stream), Driver(flush)))
    }

    /// Changes when the next connection would be made with other files than the last.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.connector.generation()
    }

    /// Where it connects to, as `https://host:port`.
    #[must_use]
    pub fn origin(&self) -> &Uri {
        &self.origin
    }
}

/// A connection's bytes. What is written is sent by the [`Driver`].
#[derive(Debug)]
pub struct DialedStream(Corked<TlsStream<TcpStream>>);

/// Runs what speaks on a [`DialedStream`].
#[derive(Debug)]
pub struct Driver(Flush<TlsStream<TcpStream>>);

impl Driver {
    /// Runs `connection`, which has the stream, to its end. Whatever one poll of it writes is sent
    /// together when the poll is over.
    pub async fn run<F: Future>(self, connection: F) -> F::Output {
        let mut connection = pin!(connection);
        self.0.after_each_poll(connection.as_mut()).await
    }
}

impl AsyncRead for DialedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for DialedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
