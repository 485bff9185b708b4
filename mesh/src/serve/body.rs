//! The bodies of requests and answers, with their limits.

use crate::status::Refusal;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use proto::reason::Reason;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::{Code, Status};

/// Five bytes stand before each gRPC message: a flag and the length.
pub(super) const FRAME_BYTES: usize = 5;

/// A request's body that ends with a refusal once it is, or says that it will be, larger than it may.
///
/// Tonic refuses a message by the length in its frame before the body has arrived, with a status that
/// has no reason. So that the stable reason comes first, the same length is read here.
#[derive(Debug)]
pub(super) struct Limited {
    inner: Incoming,
    left: usize,
    limit: usize,
    /// The first bytes of a gRPC request, until the frame's head is complete; `None` once it is, and for
    /// what isn't gRPC.
    head: Option<Vec<u8>>,
}

impl Limited {
    pub(super) fn new(inner: Incoming, limit: usize, is_grpc: bool) -> Self {
        Self { inner, left: limit + FRAME_BYTES, limit, head: is_grpc.then(Vec::new) }
    }

    /// Whether the message's frame names a length over the limit.
    fn announces_too_much(&mut self, data: &Bytes) -> bool {
        let Some(head) = &mut self.head else { return false };
        let missing = FRAME_BYTES - head.len();
        head.extend_from_slice(&data[..missing.min(data.len())]);
        let Some(length) = announced(head) else { return false };
        self.head = None;
        length > self.limit
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let size = frame.data_ref().map_or(0, Bytes::len);
        let announced = frame.data_ref().is_some_and(|data| self.announces_too_much(data));
        let Some(left) = self.left.checked_sub(size).filter(|_| !announced) else {
            // Tonic finds the status inside the error and answers with it.
            return Poll::Ready(Some(Err(Box::new(too_large(self.limit).into_status()))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads the whole body of a call with one message. It ends as [`Limited`] does where that is too large.
pub(super) async fn read_whole(mut body: Incoming, limit: usize, is_grpc: bool) -> Result<Bytes, Refusal> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Refusal::fields([("", "the message was broken off")]))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + parts.len() + data.len() > limit + FRAME_BYTES {
            return Err(too_large(limit));
        }
        // A message of the usual size comes in one piece, which then is neither copied nor moved.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
        let head = if parts.is_empty() { &whole[..] } else { &parts[..] };
        if is_grpc && announced(head).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// The length that the head of a message's frame names, once it is there.
fn announced(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..FRAME_BYTES)?.try_into().ok()?;
    Some(u32::from_be_bytes(length) as usize)
}

/// A request's body that has been read.
pub(super) struct Buffered(pub(super) Option<Bytes>);

impl HttpBody for Buffered {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

pub(super) fn too_large(limit: usize) -> Refusal {
    Refusal::new(Code::ResourceExhausted, Reason::MessageTooLarge, format!("a message may have at most {limit} bytes"))
}

/// Resolves to the status that ends a stream before its handler does; to `Ok` where it just ends.
pub(crate) type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Learns whether an answer is read.
pub(crate) trait Reader {
    /// Somebody has come for more of it.
    fn came(&mut self) {}

    /// A piece of so many bytes was handed out.
    fn handed(&mut self, _bytes: usize) {}
}

/// A caller that reads its own answer sees for itself.
impl Reader for () {}

/// An answer's body: it keeps a permit for as long as it is read, contains a panic of the handler's
/// stream, and can be ended from outside.
pub(crate) struct Guarded<P> {
    inner: Body,
    end: Option<End>,
    finished: bool,
    on_panic: fn() -> Status,
    permit: P,
}

impl<P> Guarded<P> {
    pub(crate) fn new(inner: Body, permit: P, end: Option<End>, on_panic: fn() -> Status) -> Self {
        Self { inner, end, finished: false, on_panic, permit }
    }

    fn finish(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.finished = true;
        // The handler's stream goes now, and with it whatever it holds.
        self.inner = Body::empty();
        if status.code() == Code::Ok {
            // What isn't gRPC has no status at its end.
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(error) => Err(error),
        }))
    }
}

impl<P: Reader + Unpin> HttpBody for Guarded<P> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.permit.came();
        if self.finished {
            return Poll::Ready(None);
        }
        if let Some(end) = &mut self.end
            && let Poll::Ready(status) = end.as_mut().poll(cx)
        {
            return self.finish(&status);
        }
        let inner = &mut self.inner;
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) {
            Ok(frame) => {
                if let Poll::Ready(Some(Ok(frame))) = &frame {
                    self.permit.handed(frame.data_ref().map_or(0, Bytes::len));
                }
                frame
            }
            Err(_) => {
                let status = (self.on_panic)();
                self.finish(&status)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished || (self.end.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.end.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}
