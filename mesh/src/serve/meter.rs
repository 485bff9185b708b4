//! What a connection costs beyond its requests: talk that asks for nothing, and answers that nobody reads.
//!
//! HTTP/2 lets a peer send frames that are no request and must be answered or acted upon (pings, settings,
//! window updates, frames of unknown kinds), and lets it ask for answers without ever opening the window
//! through which they would go. Neither is limited below us; what is limited there, such as headers without
//! end and empty data, is left there.

use super::limits::Limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

mod frames;

use frames::Frames;

/// The bytes that a peer may send beyond what its requests and our answers explain: at once, and in each
/// second. A ping of 17 bytes each second, or a window update for each of thousands of answers a second, is
/// far below that; a flood is over it in a fraction of a second. What comes at once is read before the requests
/// in it are known, and so the burst must hold two windows of a connection.
const TALK_BYTES_BURST: u64 = 2 * 1024 * 1024;
const TALK_BYTES_PER_SECOND: u64 = 16 * 1024;

/// For each so many bytes of answers a peer may send one more, to open its window again.
const ANSWER_BYTES_PER_TALK: u64 = 8;

/// How many periods are told apart: the one that runs, the one before, and the one to be judged.
const PERIODS: usize = 3;

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Abuse {
    #[error("it sends much that asks for nothing")]
    Talk,
    #[error("it does not read its answers")]
    Unread,
    #[error("it takes its calls back as soon as it has made them, or never finishes them")]
    Resets,
}

impl Abuse {
    /// As a label of a metric.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Unread => "unread",
            Self::Resets => "resets",
        }
    }
}

/// The counts of one connection.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    /// What one request may bring along, in bytes.
    request_bytes_max: u64,
    requests: AtomicU64,
    heard: AtomicU64,
    talked_too_much: AtomicBool,
    /// All bytes that the socket took, and whether it took no more when it was last asked.
    sent: AtomicU64,
    is_blocked: AtomicBool,
    /// The bytes of answers that were handed to HTTP/2, and those of them that it has sent. HTTP/1.1 sends them in
    /// their order and has no window of its own, so that a peer which doesn't read blocks the socket.
    handed: AtomicU64,
    data_sent: AtomicU64,
    /// Streams that either side has ended before their time. What had been handed over for one of them by then
    /// is thrown away and never sent.
    resets: AtomicU64,
    is_http1: AtomicBool,
    /// Answers of which a part is there and nobody has come for it, by the period in which that began.
    waiting: [AtomicU32; PERIODS],
    period: AtomicU32,
}

impl Meter {
    /// `request_bytes_max` is the size of the largest request, its head included; what an answer may have on its
    /// way is no more.
    pub(super) fn new(request_bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            request_bytes_max,
            requests: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            talked_too_much: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            data_sent: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            is_http1: AtomicBool::new(false),
            waiting: Default::default(),
            period: AtomicU32::new(0),
        })
    }

    /// Counts a request, which explains what comes with it.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a piece of an answer that was handed to HTTP/2.
    pub(super) fn handed(&self, bytes: usize) {
        self.handed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An answer waits to be read from now on; it names the period, to be given back to [`Meter::taken`].
    pub(super) fn waits(&self) -> u32 {
        let period = self.period.load(Ordering::Relaxed);
        self.slot(period).fetch_add(1, Ordering::Relaxed);
        period
    }

    /// Somebody has come for it.
    pub(super) fn taken(&self, period: u32) {
        self.slot(period).fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits until something has lain unread for longer than a whole period of [`Limits::unread`].
    pub(super) async fn stalled(&self, limits: &Limits) -> Abuse {
        let mut before = self.look(0);
        let (mut excused, mut resets_before) = (0, 0);
        loop {
            tokio::time::sleep(limits.unread.get()).await;
            let period = self.period.fetch_add(1, Ordering::Relaxed);
            let left = self.slot(period.wrapping_add(2)).load(Ordering::Relaxed);
            let now = self.look(excused);
            // What was handed over a period ago must have gone, in whatever order, or been thrown away: no more
            // than one answer for each call that was ended since the period before that.
            let is_http1 = self.is_http1.load(Ordering::Relaxed);
            let owed = if is_http1 { 0 } else { before.handed.saturating_sub(now.gone) };
            let resets = now.resets.saturating_sub(resets_before);
            let thrown_away = owed.min(resets.saturating_mul(self.request_bytes_max));
            excused += thrown_away;
            let stands_still = before.is_blocked && now.is_blocked && now.sent == before.sent;
            if left > 0 || owed > thrown_away || stands_still {
                return Abuse::Unread;
            }
            resets_before = before.resets;
            before = now;
        }
    }

    fn look(&self, excused: u64) -> Look {
        Look {
            sent: self.sent.load(Ordering::Relaxed),
            is_blocked: self.is_blocked.load(Ordering::Relaxed),
            gone: self.data_sent.load(Ordering::Relaxed) + excused,
            handed: self.handed.load(Ordering::Relaxed),
            resets: self.resets.load(Ordering::Relaxed),
        }
    }

    /// Whether the connection was ended because the peer sent too much that asks for nothing.
    pub(super) fn talked_too_much(&self) -> bool {
        self.talked_too_much.load(Ordering::Relaxed)
    }

    fn slot(&self, period: u32) -> &AtomicU32 {
        &self.waiting[period as usize % PERIODS]
    }

    /// Counts bytes of the peer's; false once they are too many.
    fn hear(&self, bytes: usize) -> bool {
        let heard = self.heard.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let explained = (self.requests.load(Ordering::Relaxed).saturating_mul(self.request_bytes_max))
            .saturating_add(self.data_sent.load(Ordering::Relaxed) / ANSWER_BYTES_PER_TALK)
            .saturating_add(TALK_BYTES_BURST);
        if heard <= explained {
            return true;
        }
        // The clock is looked at last, because it is hardly ever needed.
        let seconds = self.began.elapsed() + Duration::from_millis(1);
        let in_time = u128::from(TALK_BYTES_PER_SECOND) * seconds.as_millis() / 1_000;
        let is_fine = u128::from(heard) <= u128::from(explained) + in_time;
        if !is_fine {
            self.talked_too_much.store(true, Ordering::Relaxed);
        }
        is_fine
    }
}

/// The counts at the end of a period.
#[derive(Clone, Copy, Debug)]
struct Look {
    sent: u64,
    is_blocked: bool,
    /// The bytes of answers that were sent or thrown away.
    gone: u64,
    handed: u64,
    resets: u64,
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Metered<T> {
    io: T,
    meter: Arc<Meter>,
    ours: Frames,
    theirs: Frames,
}

impl<T> Metered<T> {
    pub(super) fn new(io: T, meter: Arc<Meter>) -> Self {
        Self { io, meter, ours: Frames::of_the_server(), theirs: Frames::of_the_client() }
    }

    fn note(&mut self, bytes: &[u8], outcome: &Poll<io::Result<usize>>) {
        self.meter.is_blocked.store(outcome.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(count)) = outcome {
            self.meter.sent.fetch_add(*count as u64, Ordering::Relaxed);
            let counted = self.ours.count(bytes.get(..*count).unwrap_or(bytes));
            self.meter.data_sent.fetch_add(counted.data, Ordering::Relaxed);
            self.meter.resets.fetch_add(counted.resets, Ordering::Relaxed);
            self.meter.is_http1.store(self.ours.is_http1(), Ordering::Relaxed);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, into);
        let count = into.filled().len() - before;
        if count > 0 && !self.meter.hear(count) {
            into.set_filled(before);
            return Poll::Ready(Err(io::Error::other(Abuse::Talk)));
        }
        let counted = self.theirs.count(into.filled().get(before..).unwrap_or_default());
        if counted.resets > 0 {
            self.meter.resets.fetch_add(counted.resets, Ordering::Relaxed);
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(bytes, &outcome);
        outcome
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
    use super::*;
    use crate::config::Period;

    fn limits() -> Limits {
        Limits { unread: Period::new(Duration::from_millis(10)), ..Limits::default() }
    }

    async fn stalls(meter: &Meter) -> bool {
        tokio::time::timeout(Duration::from_millis(100), meter.stalled(&limits())).await.is_ok()
    }

    #[test]
    fn talk_is_judged_by_what_asks_and_answers() {
        let meter = Meter::new(1_000);
        assert!(meter.hear(usize::try_from(TALK_BYTES_BURST).unwrap_or(usize::MAX)));
        meter.asked();
        assert!(meter.hear(1_000), "a request explains its bytes");
        meter.data_sent.fetch_add(8_000, Ordering::Relaxed);
        assert!(meter.hear(1_000), "and so do window updates for an answer");
        // Ten times the rate of a second, more than this test can take.
        assert!(!meter.hear(10 * 16 * 1024));
        assert!(meter.talked_too_much());
    }

    #[tokio::test]
    async fn an_answer_that_nobody_comes_for_is_noticed() {
        let meter = Meter::new(1);
        let period = meter.waits();
        assert!(stalls(&meter).await);
        meter.taken(period);
        assert!(!stalls(&meter).await);
    }

    #[tokio::test]
    async fn data_that_is_never_sent_is_noticed() {
        let meter = Meter::new(1);
        meter.handed(100);
        meter.data_sent.fetch_add(99, Ordering::Relaxed);
        assert!(stalls(&meter).await);
        meter.data_sent.fetch_add(1, Ordering::Relaxed);
        assert!(!stalls(&meter).await);
    }

    #[tokio::test]
    async fn data_of_a_call_that_was_taken_back_is_owed_by_nobody() {
        let meter = Meter::new(1_000);
        meter.handed(1_000);
        meter.resets.fetch_add(1, Ordering::Relaxed);
        assert!(!stalls(&meter).await);
        // One call excuses its own answer and no other.
        meter.handed(1_001);
        assert!(stalls(&meter).await);
        let meter = Meter::new(1_000);
        meter.handed(2_001);
        meter.resets.fetch_add(1, Ordering::Relaxed);
        assert!(stalls(&meter).await);
    }

    #[tokio::test]
    async fn a_stream_over_http1_is_owed_nothing_that_the_socket_took() {
        let meter = Meter::new(1);
        let mut line = Metered::new(tokio::io::sink(), Arc::clone(&meter));
        meter.handed(100);
        tokio::io::AsyncWriteExt::write_all(&mut line, b"HTTP/1.1 200 OK\r\n\r\n").await.expect("a sink takes all");
        assert!(!stalls(&meter).await);
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_is_noticed_and_a_slow_one_is_not() {
        let meter = Meter::new(1);
        meter.is_blocked.store(true, Ordering::Relaxed);
        assert!(stalls(&meter).await);
        let slow = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                meter.sent.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::select! {
            stalls = stalls(&meter) => assert!(!stalls),
            () = slow => {}
        }
    }
}
