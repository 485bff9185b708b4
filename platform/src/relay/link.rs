//! One warm connection to one acquirer.
//!
//! A task keeps it: it connects before the first request, pings, opens the next connection when our
//! certificate has changed while the calls on the old one finish, and tries again after a loss. While
//! the first connection is being made, requests wait for it; while a lost acquirer is waited for, they
//! are refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{Method, Request, Uri, header};
use mesh::channel::Dialer;
use mesh::clock::Entropy;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The time between HTTP/2 pings, and for the answer to one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(10);

/// How often it is asked whether our certificate files have changed, which costs one read of an atomic.
const GENERATION_INTERVAL: Duration = Duration::from_secs(1);

/// The waits between attempts, doubling. An acquirer that is back is in use after 2 s at the latest.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A connection that ends sooner than this was not one, and is not dialled again at once: a server that
/// accepts and closes must not be called in a loop.
const LIVED: Duration = Duration::from_secs(1);

/// What an acquirer may send us before we read it, per answer and together. Answers are at most 64 KiB,
/// and as many as may be under way at one time fit.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The health check with which a connection begins (gRPC health checking protocol), its time, and its
/// message: an empty one, which asks about the server as a whole.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const GREETING_MAX: Duration = Duration::from_secs(3);
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// Trailers with error details fit many times over.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// One warm connection. Dropping it lets the calls under way finish and ends it.
#[derive(Debug)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    used_up: Arc<UsedUp>,
    under_way: Arc<AtomicUsize>,
    under_way_max: usize,
    _stop: DropGuard,
}

#[derive(Clone, Debug)]
enum State {
    /// Not there yet, and likely to be soon.
    Connecting,
    Up(Live),
    /// Lost, or never there; the next attempt comes by itself.
    Down,
}

/// A connection to send on.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) sender: SendRequest<Bytes>,
    /// Counts the connections of a link.
    number: u64,
}

/// The acquirer can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection")]
pub(super) struct Away;

/// One request under way.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    /// Begins to connect, on this runtime.
    pub(super) fn start(dialer: Dialer, under_way_max: usize, entropy: Arc<dyn Entropy>, runtime: &Handle) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let used_up = Arc::new(UsedUp::default());
        let stop = CancellationToken::new();
        let keeper = Keeper { dialer, state: sender, used_up: Arc::clone(&used_up), entropy, number: 0 };
        let stopped = stop.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = keeper.keep() => {}
            }
        });
        Self { state, used_up, under_way: Arc::default(), under_way_max, _stop: stop.drop_guard() }
    }

    /// A place among the requests under way; `None` when there are as many as may be.
    pub(super) fn place(&self) -> Option<Place> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= self.under_way_max {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(Arc::clone(&self.under_way)))
    }

    /// The connection, once there is one.
    ///
    /// # Errors
    /// The acquirer can't be reached.
    pub(super) async fn live(&self) -> Result<Live, Away> {
        // The usual case, without the copy of the receiver that waiting needs.
        if let State::Up(live) = &*self.state.borrow() {
            return Ok(live.clone());
        }
        self.next(|state| !matches!(state, State::Connecting)).await
    }

    /// Another connection than this one, which takes no more requests.
    ///
    /// # Errors
    /// The acquirer can't be reached.
    pub(super) async fn instead_of(&self, used_up: &Live) -> Result<Live, Away> {
        self.used_up.report(used_up.number);
        self.next(|state| match state {
            State::Up(live) => live.number != used_up.number,
            State::Down => true,
            State::Connecting => false,
        })
        .await
    }

    async fn next(&self, settled: impl Fn(&State) -> bool) -> Result<Live, Away> {
        let mut state = self.state.clone();
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Up(live)) => Ok(live.clone()),
            Ok(State::Connecting | State::Down) | Err(_) => Err(Away),
        }
    }
}

/// The last connection that took no more requests.
#[derive(Debug, Default)]
struct UsedUp {
    number: AtomicU64,
    changed: Notify,
}

impl UsedUp {
    fn report(&self, number: u64) {
        self.number.fetch_max(number, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits until this connection, or a later one, is reported. Late reports of earlier ones don't count.
    async fn reported(&self, number: u64) {
        while self.number.load(Ordering::Relaxed) < number {
            self.changed.notified().await;
        }
    }
}

struct Keeper {
    dialer: Dialer,
    state: watch::Sender<State>,
    used_up: Arc<UsedUp>,
    entropy: Arc<dyn Entropy>,
    number: u64,
}

impl Keeper {
    async fn keep(mut self) {
        let mut backoff = BACKOFF_FIRST;
        // Serves on while its successor is being made.
        let mut predecessor: Option<CancellationToken> = None;
        loop {
            let began = Instant::now();
            let generation = self.dialer.generation();
            let need = match self.connect().await {
                Ok(ended) => {
                    tracing::debug!(acquirer = %self.dialer.origin(), "connected");
                    let need = self.until_another_is_needed(&ended, generation).await;
                    predecessor = (need == Need::Renewal).then_some(ended);
                    Some(need)
                }
                Err(error) => {
                    tracing::info!(acquirer = %self.dialer.origin(), %error, "acquirer not reached");
                    None
                }
            };
            let at_once = match need {
                Some(Need::Renewal) => true,
                Some(Need::Reconnection) => began.elapsed() >= LIVED,
                None => false,
            };
            if need == Some(Need::Reconnection) && at_once {
                self.state.send_replace(State::Connecting);
            }
            if at_once {
                backoff = BACKOFF_FIRST;
                continue;
            }
            if predecessor.as_ref().is_none_or(CancellationToken::is_cancelled) {
                self.state.send_replace(State::Down);
            }
            tokio::time::sleep(self.jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Connects, and puts the connection in use once the acquirer has answered on it. What comes back is
    /// cancelled when it has ended.
    async fn connect(&mut self) -> Result<CancellationToken, Box<dyn std::error::Error + Send + Sync>> {
        let (stream, driver) = self.dialer.dial().await?;
        let (sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .handshake(stream)
            .await?;
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _guard = guard;
            driver.run(drive(connection)).await;
        });
        let greeting = greet(sender.clone(), self.dialer.origin());
        tokio::time::timeout(GREETING_MAX, greeting).await.map_err(|_| "no answer to a health check")??;
        self.number += 1;
        self.state.send_replace(State::Up(Live { sender, number: self.number }));
        Ok(ended)
    }

    async fn until_another_is_needed(&self, ended: &CancellationToken, generation: u64) -> Need {
        let renewed = async {
            while self.dialer.generation() == generation {
                tokio::time::sleep(GENERATION_INTERVAL).await;
            }
        };
        tokio::select! {
            () = ended.cancelled() => Need::Reconnection,
            () = self.used_up.reported(self.number) => Need::Reconnection,
            () = renewed => Need::Renewal,
        }
    }

    /// Between half of it and the whole, so that relays that lost an acquirer together don't all come
    /// back together.
    fn jittered(&self, wait: Duration) -> Duration {
        let mut byte = [0; 1];
        // Without random bytes there is no jitter, which is the smaller harm.
        let _ = self.entropy.fill(&mut byte);
        wait / 2 + wait * u32::from(byte[0]) / 512
    }
}

/// Why another connection is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// This one has ended, or takes no more requests; calls under way on it may still finish.
    Reconnection,
    /// This one works, and the next should be made with newer files.
    Renewal,
}

/// Asks for the acquirer's health, whatever it is: in TLS 1.3 a refused certificate shows only with the
/// first answer, and a server ends a connection soon that has never asked for anything.
async fn greet(sender: SendRequest<Bytes>, origin: &Uri) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let authority = origin.authority().ok_or("no address")?.as_str();
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query(HEALTH).build()?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())?;
    let (response, mut message) = sender.ready().await?.send_request(request, false)?;
    message.send_data(Bytes::from_static(&EMPTY_MESSAGE), true)?;
    let mut body = response.await?.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}

/// Runs a connection to its end: an orderly one, a failure, or a peer that answers no ping.
async fn drive<T: AsyncRead + AsyncWrite + Unpin>(mut connection: Connection<T, Bytes>) {
    let pings = connection.ping_pong();
    let silence = async move {
        let Some(mut pings) = pings else { return std::future::pending().await };
        loop {
            tokio::time::sleep(KEEP_ALIVE).await;
            let pong = pings.ping(h2::Ping::opaque());
            if !matches!(tokio::time::timeout(KEEP_ALIVE_WAIT, pong).await, Ok(Ok(_))) {
                return;
            }
        }
    };
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::info!(%error, "connection to an acquirer failed");
            }
        }
        () = silence => tracing::info!("an acquirer does not answer pings; its connection is given up"),
    }
}
