//! The load: an issuer that keeps 64 requests under way over 4 connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use mesh::channel::Dialer;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub(super) const AUTHORIZE: &str = "/bankside.v1.Authorization/Authorize";

const CONNECTIONS: usize = 4;
const REQUESTS_PER_CONNECTION: usize = 16;

/// How long the load runs before it is measured: connections are made and every buffer has grown by then.
const WARM_UP: Duration = Duration::from_secs(1);

/// No answer takes this long unless something is broken.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The highest time that is told apart from higher ones, in microseconds.
const MICROS_MAX: u64 = 10_000_000;

/// What a load found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) requests: u64,
    pub(super) took: Duration,
    pub(super) micros: Histogram<u64>,
    /// What the watch read at the beginning and at the end of the measuring.
    pub(super) watched: (Duration, Duration),
}

/// The phase of a load, which all of its requests read.
#[derive(Debug)]
struct Phase(AtomicU8);

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// Runs the load for `measured` after warming up; `watch` is read when the measuring begins and ends.
///
/// # Errors
/// Any request fails, or the watch can't be read.
pub(super) async fn run(
    dialer: &Dialer,
    frame: &Bytes,
    measured: Duration,
    watch: impl Fn() -> Result<Duration>,
) -> Result<Found> {
    let phase = Arc::new(Phase(AtomicU8::new(WARMING)));
    let load = spawn(dialer.clone(), frame.clone(), Arc::clone(&phase));
    tokio::time::sleep(WARM_UP).await;
    let before = watch()?;
    let began = Instant::now();
    phase.0.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(measured).await;
    phase.0.store(OVER, Ordering::Relaxed);
    let took = began.elapsed();
    let after = watch()?;
    let micros = load.await.context("the load panicked")??;
    ensure!(!micros.is_empty(), "nothing was answered");
    Ok(Found { requests: micros.len(), took, micros, watched: (before, after) })
}

/// One request and its answer, to see whether somebody is there.
///
/// # Errors
/// Nobody is, or the answer is wrong.
pub(super) async fn once(dialer: &Dialer, frame: &Bytes) -> Result<()> {
    let (sender, driving) = connect(dialer).await?;
    let outcome = timeout(ANSWER_MAX, exchange(&sender, &request(dialer)?, frame)).await;
    driving.abort();
    outcome.context("no answer in time")?
}

/// The load works on a thread of its own, so that reading the watch doesn't wait for it.
fn spawn(dialer: Dialer, frame: Bytes, phase: Arc<Phase>) -> JoinHandle<Result<Histogram<u64>>> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut requests = JoinSet::new();
            for _ in 0..CONNECTIONS {
                let (sender, _) = connect(&dialer).await?;
                for _ in 0..REQUESTS_PER_CONNECTION {
                    let one_after_another =
                        repeat(sender.clone(), request(&dialer)?, frame.clone(), Arc::clone(&phase));
                    requests.spawn(one_after_another);
                }
            }
            let mut all = Histogram::new_with_max(MICROS_MAX, 3)?;
            while let Some(one) = requests.join_next().await {
                all.add(one.context("a request panicked")??)?;
            }
            Ok(all)
        })
    })
}

async fn connect(dialer: &Dialer) -> Result<(SendRequest<Bytes>, JoinHandle<()>)> {
    let (stream, driver) = dialer.dial().await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driving = tokio::spawn(async move {
        // That a connection has failed shows in its requests.
        let _ = driver.run(connection).await;
    });
    Ok((sender, driving))
}

async fn repeat(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    frame: Bytes,
    phase: Arc<Phase>,
) -> Result<Histogram<u64>> {
    let mut micros = Histogram::new_with_max(MICROS_MAX, 3)?;
    loop {
        let now = phase.0.load(Ordering::Relaxed);
        if now == OVER {
            return Ok(micros);
        }
        let began = Instant::now();
        exchange(&sender, &request, &frame).await?;
        // Only what began and ended while it was measured counts.
        if now == MEASURING && phase.0.load(Ordering::Relaxed) == MEASURING {
            micros.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(MICROS_MAX));
        }
    }
}

fn request(dialer: &Dialer) -> Result<Request<()>> {
    let origin = dialer.origin();
    let authority = origin.authority().context("no address")?.as_str();
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query(AUTHORIZE).build()?;
    let mut request = Request::builder().method(Method::POST).uri(uri).body(())?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-timeout", HeaderValue::from_static("10S"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", HeaderValue::from_static(trace));
    Ok(request)
}

async fn exchange(sender: &SendRequest<Bytes>, request: &Request<()>, frame: &Bytes) -> Result<()> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut body) = sender.send_request(request.clone(), false)?;
    body.send_data(frame.clone(), true)?;
    let response = response.await?;
    ensure!(response.status() == StatusCode::OK, "HTTP status {}", response.status());
    if let Some(status) = response.headers().get("grpc-status") {
        bail!("refused: status {status:?}, {:?}", response.headers().get("grpc-message"));
    }
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?.context("no trailers")?;
    let status = trailers.get("grpc-status").map(HeaderValue::as_bytes);
    ensure!(status == Some(b"0") && length > 0, "refused: {trailers:?}");
    Ok(())
}
