//! One request on its way to an acquirer and its answer on the way back, as the bytes that came.
//!
//! Nothing is ever sent twice: whether a request that may have arrived is to be repeated is the
//! issuer's to decide.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use mesh::serve::{FramedMessage, MESSAGE_BYTES_MAX};
use mesh::telemetry::{TRACEPARENT, TraceContext};

use super::link::{Away, Link};

const GRPC_TIMEOUT: &str = "grpc-timeout";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_DETAILS: &str = "grpc-status-details-bin";
/// The largest answer with its frame.
const ANSWER_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 5;
/// gRPC's largest status code.
const STATUS_MAX: u8 = 16;

/// What an acquirer answered.
#[derive(Debug)]
pub(super) enum Answered {
    /// A message.
    Message(FramedMessage),
    /// Its own refusal: the code, sentence and details, as they came.
    Refusal(HeaderMap),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// There is no connection.
    #[error(transparent)]
    Away(#[from] Away),
    /// The connection or the call broke off.
    #[error("broken off: {0}")]
    Broken(#[from] h2::Error),
    /// What came is no answer of gRPC.
    #[error("{0}")]
    NotGrpc(&'static str),
}

/// Sends a request and waits for the whole answer. Dropping this cancels the call.
///
/// # Errors
/// [`Lost`]; the acquirer may have acted on the request all the same.
pub(super) async fn forward(
    link: &Link,
    to: &Uri,
    message: FramedMessage,
    allowed: Duration,
) -> Result<Answered, Lost> {
    let mut sender = ready(link).await?;
    let (response, mut body) = sender.send_request(head(to, allowed), false)?;
    body.send_data(message.into_frame(), true)?;
    read(response.await?).await
}

/// A connection that takes requests. One that was told to go away takes none, and as nothing was sent
/// on it for this request, the request goes on a fresh one.
async fn ready(link: &Link) -> Result<SendRequest<Bytes>, Lost> {
    let live = link.live().await?;
    match live.sender.clone().ready().await {
        Ok(sender) => Ok(sender),
        Err(_) => Ok(link.instead_of(&live).await?.sender.ready().await?),
    }
}

fn head(to: &Uri, allowed: Duration) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.clone();
    let headers = request.headers_mut();
    headers.reserve(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(GRPC_TIMEOUT, timeout(allowed));
    if let Some(trace) = TraceContext::current()
        && let Ok(value) = HeaderValue::from_str(&trace.to_string())
    {
        headers.insert(TRACEPARENT, value);
    }
    request
}

/// In microseconds, rounded down, which eight digits hold for any wait of ours.
fn timeout(allowed: Duration) -> HeaderValue {
    let micros = allowed.as_micros().min(99_999_999);
    HeaderValue::from_str(&format!("{micros}u")).expect("invariant: digits and a letter are visible ASCII")
}

async fn read(response: Response<RecvStream>) -> Result<Answered, Lost> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(Lost::NotGrpc("the HTTP status is not 200"));
    }
    // An answer without a message has its trailers for headers.
    if head.headers.contains_key(GRPC_STATUS) {
        return refusal(&head.headers);
    }
    let bytes = collect(&mut body).await?;
    let trailers = body.trailers().await?.ok_or(Lost::NotGrpc("there are no trailers"))?;
    if trailers.get(GRPC_STATUS).is_some_and(|status| status.as_bytes() == b"0") {
        let message = FramedMessage::parse(bytes).map_err(|_| Lost::NotGrpc("the body is not one message"))?;
        return Ok(Answered::Message(message));
    }
    refusal(&trailers)
}

async fn collect(body: &mut RecvStream) -> Result<Bytes, Lost> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if whole.len() + parts.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(Lost::NotGrpc("the answer is larger than a message may be"));
        }
        body.flow_control().release_capacity(data.len())?;
        // An answer of the usual size comes in one piece, which is neither copied nor moved.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// What makes up a refusal, and nothing else that the acquirer may have added.
fn refusal(trailers: &HeaderMap) -> Result<Answered, Lost> {
    let status = trailers.get(GRPC_STATUS).and_then(|status| status.to_str().ok()?.parse::<u8>().ok());
    if !status.is_some_and(|status| (1..=STATUS_MAX).contains(&status)) {
        return Err(Lost::NotGrpc("there is no status, or none that fits"));
    }
    let names = [GRPC_STATUS, GRPC_MESSAGE, GRPC_DETAILS];
    let present =
        names.into_iter().filter_map(|name| Some((HeaderName::from_static(name), trailers.get(name)?.clone())));
    Ok(Answered::Refusal(present.collect()))
}
