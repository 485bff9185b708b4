//! How a call ends that its handler doesn't end.

use super::super::body::End;
use super::super::deadline::Deadline;
use crate::status::Refusal;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use proto::reason::Reason;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};

pub(super) fn late() -> Refusal {
    Refusal::new(
        Code::DeadlineExceeded,
        Reason::DeadlineExceeded,
        "the call was not finished in time; its outcome is not known, ask again with the same id",
    )
}

pub(super) fn panicked() -> Refusal {
    // The panic hook has logged the place; the panic's text may hold anything and goes nowhere.
    tracing::error!("a handler panicked");
    Refusal::new(
        Code::Internal,
        Reason::Internal,
        "the server failed; the outcome is not known, ask again with the same id",
    )
}

pub(super) fn end_of_stream(deadline: Option<Deadline>, drain: CancellationToken) -> End {
    Box::pin(async move {
        let passed = async {
            match deadline {
                Some(deadline) => deadline.passed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.cancelled() => Status::from(Refusal::new(
                Code::Unavailable,
                Reason::Unavailable,
                "the server is about to stop; open the stream again at its cursor",
            )),
            () = passed => late().into_status(),
        }
    })
}

/// Whether an answer to a browser is a stream of events, which goes on until somebody ends it.
pub(super) fn is_event_stream(answer: &Response<Body>) -> bool {
    let content_type = answer.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// Ends a stream of events when the server drains. The browser takes that for a lost connection, and opens it
/// again.
pub(super) fn end_of_events(drain: CancellationToken) -> End {
    Box::pin(async move {
        drain.cancelled().await;
        Status::ok("")
    })
}

/// A refusal in HTTP's terms.
pub(super) fn http_status(refusal: &Refusal) -> StatusCode {
    match refusal.code() {
        Code::ResourceExhausted if refusal.reason() == Reason::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
