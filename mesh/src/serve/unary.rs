//! Calls that are answered without a codec: one message in, one message out, both as bytes.

use super::body::{FRAME_BYTES, Reader};
use super::deadline::Deadline;
use crate::identity::Peer;
use crate::status::Refusal;
use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;

/// A service for unary calls that neither decodes nor encodes what it needn't.
///
/// It is mounted beside the routes with [`Server::unary`](super::Server::unary), and its calls go
/// through the same steps.
pub trait UnaryBytes: Send + Sync + std::fmt::Debug + 'static {
    /// The paths that it answers, as they stand in the access table.
    fn paths(&self) -> &'static [&'static str];

    /// Answers one call.
    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// The path, as it stands in the access table.
    pub rpc: &'static str,
    /// Who calls; `None` on a port for devices.
    pub peer: Option<Arc<Peer>>,
    /// By when it must be answered.
    pub deadline: Deadline,
    /// What was sent.
    pub message: FramedMessage,
}

/// A gRPC message with the five bytes that stand before it on the wire. It is whole and uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramedMessage(Bytes);

impl FramedMessage {
    /// Takes what was received for a whole call or answer.
    ///
    /// # Errors
    /// The bytes are not exactly one message, or it is compressed.
    pub fn parse(bytes: Bytes) -> Result<Self, NotOneMessage> {
        let mut head = bytes.get(..FRAME_BYTES).ok_or(NotOneMessage)?;
        let compressed = head.get_u8() != 0;
        let length = head.get_u32() as usize;
        if compressed || length != bytes.len() - FRAME_BYTES { Err(NotOneMessage) } else { Ok(Self(bytes)) }
    }

    /// The message alone.
    #[must_use]
    pub fn message(&self) -> Bytes {
        self.0.slice(FRAME_BYTES..)
    }

    /// The message with its frame, to hand on.
    #[must_use]
    pub fn into_frame(self) -> Bytes {
        self.0
    }
}

/// The bytes are not exactly one uncompressed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body must be one gRPC message, whole and uncompressed")]
pub struct NotOneMessage;

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// A message, and with it the status OK.
    Message(FramedMessage),
    /// Trailers that another server has answered with, its `grpc-status` among them, and no message.
    Trailers(HeaderMap),
    /// A status of our own.
    Refused(Status),
}

/// Has a message answered.
pub(super) async fn answer(
    service: Arc<dyn UnaryBytes>,
    rpc: &'static str,
    peer: Option<Arc<Peer>>,
    deadline: Deadline,
    message: Bytes,
) -> Answer {
    match FramedMessage::parse(message) {
        Ok(message) => service.call(Call { rpc, peer, deadline, message }).await,
        Err(error) => Answer::Refused(Refusal::fields([("", error.to_string())]).into_status()),
    }
}

impl Answer {
    /// As a response, which keeps `held` until it has been read.
    pub(super) fn into_response<H>(self, held: H) -> Response<Body>
    where
        H: Reader + Send + Unpin + 'static,
    {
        let (data, mut trailers) = match self {
            Self::Message(message) => (Some(message.into_frame()), HeaderMap::with_capacity(1)),
            Self::Trailers(trailers) => (None, trailers),
            Self::Refused(status) => return status.into_http(),
        };
        if data.is_some() {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        let mut response = Response::new(Body::new(Whole { data, trailers: Some(trailers), held }));
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

/// The body of an answer that is all there.
struct Whole<H> {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    held: H,
}

impl<H: Reader + Unpin> HttpBody for Whole<H> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.held.came();
        if let Some(data) = self.data.take() {
            self.held.handed(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let frame = self.trailers.take().map(Frame::trailers);
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_uncompressed_message_is_one() {
        let parse = |bytes: &'static [u8]| FramedMessage::parse(Bytes::from_static(bytes));
        assert_eq!(parse(&[0, 0, 0, 0, 2, 7, 8]).map(|message| message.message()), Ok(Bytes::from_static(&[7, 8])));
        assert_eq!(parse(&[0, 0, 0, 0, 0]).map(|message| message.message()), Ok(Bytes::new()));
        let wrong: [&[u8]; 6] = [
            &[],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 1, 7, 8],
            &[1, 0, 0, 0, 2, 7, 8],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for bytes in wrong {
            assert_eq!(parse(bytes), Err(NotOneMessage), "{bytes:?}");
        }
    }
}
