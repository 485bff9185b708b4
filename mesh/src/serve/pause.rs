//! Reading less often from a connection that asks for more than there is room for.
//!
//! Under overload a refusal is said more often than anything else, and what it costs is taken from the calls that
//! are answered. Most of that is not the refusal's own cost: it is waking up, a system call to read one call and
//! another to write one answer. So a connection of which a call was shed is read from again only a moment later,
//! and what has come in meanwhile is read, refused and written together. No other connection waits; who shares a
//! connection with such a caller, as banks do behind a relay, waits that moment as well.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a connection isn't read from after a call of its was shed: a twentieth of what its caller is told to
/// wait by default, and little beside the time that a call in hand takes then.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a connection is to be read from a little later.
#[derive(Debug, Default)]
pub(super) struct Pause {
    is_due: AtomicBool,
}

impl Pause {
    /// A call of the connection was shed.
    pub(super) fn set_due(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }
}

/// A stream that is read from a little later whenever a pause is due. Writing doesn't wait.
#[derive(Debug)]
pub(super) struct Pausing<T> {
    io: T,
    pause: Arc<Pause>,
    /// The end of the pause that there is now.
    end: Option<Pin<Box<Sleep>>>,
}

impl<T> Pausing<T> {
    pub(super) fn new(io: T, pause: Arc<Pause>) -> Self {
        Self { io, pause, end: None }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.is_none() && !self.pause.is_due.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        ready!(self.end.get_or_insert_with(|| Box::pin(sleep(PAUSE))).as_mut().poll(cx));
        self.end = None;
        // What was shed since the pause began had come before it.
        self.pause.is_due.store(false, Ordering::Relaxed);
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Pausing<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pause(cx));
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Pausing<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    fn line() -> (Pausing<DuplexStream>, Arc<Pause>, DuplexStream) {
        let (near, far) = duplex(64);
        let pause = Arc::new(Pause::default());
        (Pausing::new(near, Arc::clone(&pause)), pause, far)
    }

    #[tokio::test]
    async fn what_comes_after_a_call_was_shed_is_read_a_moment_later_and_together() {
        let (mut near, pause, mut far) = line();
        let mut bytes = [0; 64];
        for round in 0..3 {
            far.write_all(b"one").await.unwrap();
            let begin = Instant::now();
            assert_eq!(near.read(&mut bytes).await.unwrap(), 3);
            assert!(round == 0 || begin.elapsed() >= PAUSE);
            pause.set_due();
            far.write_all(b"two").await.unwrap();
            let begin = Instant::now();
            let (count, ()) = tokio::join!(near.read(&mut bytes), async {
                // What was read before the pause is refused while it lasts.
                pause.set_due();
                far.write_all(b"three").await.unwrap();
            });
            assert_eq!(&bytes[..count.unwrap()], b"twothree");
            assert!(begin.elapsed() >= PAUSE, "{:?}", begin.elapsed());
            pause.set_due();
        }
    }

    #[tokio::test]
    async fn answers_go_out_meanwhile_and_nothing_waits_where_none_is_due() {
        let (mut near, pause, mut far) = line();
        far.write_all(b"a call").await.unwrap();
        pause.set_due();
        let mut bytes = [0; 64];
        // The pause ends by a timer, and an answer doesn't wait for one.
        tokio::select! {
            biased;
            _ = near.read(&mut bytes) => panic!("read before the pause was over"),
            () = std::future::ready(()) => {}
        }
        near.write_all(b"an answer").await.unwrap();
        let count = far.read(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..count], b"an answer");
        near.read_exact(&mut bytes[..6]).await.unwrap();
        far.write_all(b"another").await.unwrap();
        tokio::select! {
            biased;
            count = near.read(&mut bytes) => assert_eq!(count.unwrap(), 7),
            () = std::future::ready(()) => panic!("waited, and no call had been shed"),
        }
    }
}
