//! The message of a call, on its way to us.

use super::super::body::{Buffered, Limited, read_whole};
use super::admission::{NotBegun, Room};
use super::{Caller, Shared, Waiting};
use crate::access::CallKind;
use crate::status::Refusal;
use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use tonic::body::Body;

/// The message of a call, as far as it is there.
pub(super) enum Received {
    Whole(Bytes),
    Coming(Limited),
}

impl Received {
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Whole(message) => Body::new(Buffered(Some(message))),
            Self::Coming(body) => Body::new(body),
        }
    }
}

/// The message of a short call is not waited for: its address has as many such calls as it may have, or others need
/// its room.
struct NotAwaited;

impl Shared {
    /// Reads the message of a short call, which has its place in hand then; the others are read by their handlers.
    pub(super) async fn receive(
        &self,
        body: Incoming,
        caller: &Caller,
        call: &mut Waiting,
    ) -> Result<Received, Response<Body>> {
        let received = if call.admitted.kind == CallKind::Short {
            let reading = Box::pin(self.read(body, caller.remote.0.ip(), &mut call.room));
            match self.contain(reading, call.deadline, call.allowed).await {
                Ok(Ok(message)) => Received::Whole(message.map_err(|refusal| self.refuse(refusal))?),
                Ok(Err(NotAwaited)) => {
                    call.in_flight.given_up();
                    return Err(self.not_begun(&NotBegun::Shed));
                }
                Err(refusal) => return Err(self.refuse(refusal)),
            }
        } else {
            Received::Coming(Limited::new(body, self.limits.message_bytes_max, self.is_grpc()))
        };
        self.admission.take(call.admitted, &mut call.room).map_err(|why| self.not_begun(&why))?;
        Ok(received)
    }

    async fn read(
        &self,
        body: Incoming,
        address: IpAddr,
        room: &mut Room,
    ) -> Result<Result<Bytes, Refusal>, NotAwaited> {
        let mut reading = pin!(read_whole(body, self.limits.message_bytes_max, self.is_grpc()));
        // Nearly every message comes with its head, and takes up nothing of what its address may have.
        if let Poll::Ready(message) = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
            return Ok(message);
        }
        room.put_down();
        let _place = self.admission.coming(address).ok_or(NotAwaited)?;
        tokio::select! {
            biased;
            message = reading => Ok(message),
            () = self.admission.needed_by_others() => Err(NotAwaited),
        }
    }
}
