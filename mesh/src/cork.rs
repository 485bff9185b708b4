//! One write for everything that a connection has to say at the moment.
//!
//! HTTP/2 hands its frames over one by one and asks for a flush after each larger one, so that every
//! message would become a TLS record and a system call of its own; under load those are the largest
//! part of what a request costs. A [`Corked`] stream collects what is written while its connection
//! is polled, and [`Flush`] sends it, in few records and one system call, as soon as that poll is over.
//! Nothing waits for a timer, so an idle connection's message goes out at once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When this much is waiting it is sent before the poll is over, so that a connection with much to say
/// holds no more than this.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// A buffer that grew beyond this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 32 * 1024;

/// Corks a stream. The connection gets the first; the second must be used to poll it.
pub(crate) fn cork<T>(io: T) -> (Corked<T>, Flush<T>) {
    let shared = Arc::new(Mutex::new(Shared { io, waiting: Vec::new(), sent: 0 }));
    (Corked(Arc::clone(&shared)), Flush(shared))
}

/// A stream that keeps what is written to it until [`Flush`] sends it.
#[derive(Debug)]
pub(crate) struct Corked<T>(Arc<Mutex<Shared<T>>>);

/// Sends what is waiting.
#[derive(Debug)]
pub(crate) struct Flush<T>(Arc<Mutex<Shared<T>>>);

#[derive(Debug)]
struct Shared<T> {
    io: T,
    waiting: Vec<u8>,
    /// How much of it was sent already.
    sent: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Flush<T> {
    /// Runs a connection that has the corked stream, and sends after each poll of it what it has
    /// written.
    pub(crate) async fn after_each_poll<F: Future>(&self, mut connection: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let outcome = connection.as_mut().poll(cx);
            // While this is pending the socket wakes the task. A failure shows at the next write or read.
            let _ = lock(&self.0).poll_send(cx);
            outcome
        })
        .await
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            return Pin::new(&mut self.io).poll_flush(cx);
        }
        while self.sent < self.waiting.len() {
            let rest = self.waiting.get(self.sent..).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.sent = 0;
        if self.waiting.capacity() > KEPT_BYTES_MAX {
            self.waiting = Vec::new();
        } else {
            self.waiting.clear();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() < WAITING_BYTES_MAX { Poll::Ready(Ok(())) } else { self.poll_send(cx) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).io).poll_read(cx, into)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        ready!(shared.poll_room(cx))?;
        shared.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        ready!(shared.poll_room(cx))?;
        for part in parts {
            shared.waiting.extend_from_slice(part);
        }
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Says yes at once; what was written is on its way when the poll is over.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.io).poll_shutdown(cx)
    }
}

/// Both halves belong to one task, so nobody ever waits here.
fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::pin::pin;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn what_one_poll_writes_is_sent_together_when_it_is_over() {
        let (near, mut far) = duplex(1_024);
        let (mut corked, flush) = cork(near);
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let connection = async move {
            for part in [&b"one "[..], b"two ", b"three"] {
                corked.write_all(part).await.unwrap();
                corked.flush().await.unwrap();
            }
            wait.await.unwrap();
            corked.write_all(b", and the end").await.unwrap();
            corked.shutdown().await.unwrap();
        };
        let reading = async move {
            let mut bytes = [0; 64];
            let count = far.read(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..count], b"one two three");
            go_on.send(()).unwrap();
            let mut rest = String::new();
            far.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, ", and the end");
        };
        let mut connection = pin!(connection);
        tokio::join!(flush.after_each_poll(connection.as_mut()), reading);
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_gets_everything_and_holds_the_writer_back() {
        let (near, mut far) = duplex(1_000);
        let (mut corked, flush) = cork(near);
        let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writing = async move {
            for part in sent.chunks(3_000) {
                corked.write_all(part).await.unwrap();
                let waiting = lock(&corked.0).waiting.len();
                assert!(waiting < WAITING_BYTES_MAX + 3_000, "{waiting}");
            }
            corked.shutdown().await.unwrap();
        };
        let reading = async move {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).await.unwrap();
            assert!(bytes == expected);
        };
        let mut writing = pin!(writing);
        tokio::join!(flush.after_each_poll(writing.as_mut()), reading);
    }

    #[tokio::test]
    async fn a_peer_that_has_gone_ends_the_connection() {
        let (near, far) = duplex(16);
        drop(far);
        let (mut corked, flush) = cork(near);
        let writing = async move {
            loop {
                if let Err(error) = corked.write_all(&[0; 4_000]).await {
                    return error.kind();
                }
            }
        };
        let mut writing = pin!(writing);
        assert_eq!(flush.after_each_poll(writing.as_mut()).await, io::ErrorKind::BrokenPipe);
    }
}
