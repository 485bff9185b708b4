//! What the handlers of a port refuse: logged once, here at the edge, and counted by its reason.

use crate::status::{Refusal, reason_of};
use crate::telemetry::Metrics;
use http::Response;
use proto::reason::Reason;
use tonic::body::Body;
use tonic::{Code, Status};

/// An answer as it is, but for a message that can't be decoded: the framework calls that a failure of the
/// server's own, without a reason. It is the caller's, and is told so. A handler's own failure has a reason.
pub(super) fn in_our_words(answer: Response<Body>) -> Response<Body> {
    let undecodable = Status::from_header_map(answer.headers())
        .is_some_and(|status| status.code() == Code::Internal && reason_of(&status).is_none());
    if !undecodable {
        return answer;
    }
    let sentence = "the bytes are no message of this RPC; generate the client from the published contracts";
    Refusal::new(Code::InvalidArgument, Reason::InvalidField, sentence).into_status().into_http()
}

/// The refusals of one port's handlers.
pub(super) struct HandlerRefusals {
    port: &'static str,
    metrics: Metrics,
}

impl HandlerRefusals {
    pub(super) fn new(port: &'static str, metrics: &Metrics) -> Self {
        Self { port, metrics: metrics.clone() }
    }

    /// Notes an answer that is a refusal, and says whether it is one. One that ends a stream comes too late to be
    /// seen here.
    pub(super) fn note(&self, answer: &Response<Body>) -> bool {
        let Some(status) = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok) else {
            tracing::debug!("answered");
            // In HTTP's terms a refusal is told by the status alone.
            return answer.status().is_client_error() || answer.status().is_server_error();
        };
        // A series for each reason of the contracts and no other, so that their number stays bounded.
        let reason = reason_of(&status).and_then(|reason| Reason::from_wire(&reason)).unwrap_or_default().as_wire();
        let labels = [("port", self.port), ("reason", reason)];
        self.metrics.counter("bankside_handler_refusals_total", "Refused by a handler.", &labels).increment();
        // What failed inside has been logged with its cause already.
        if status.code() != Code::Internal {
            tracing::info!(code = ?status.code(), reason, "refused by the handler");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_cannot_be_decoded_is_the_callers_mistake() {
        let told = |status: Status| {
            let answer = in_our_words(status.into_http());
            let status = Status::from_header_map(answer.headers()).unwrap_or_else(|| Status::unknown("no status"));
            (status.code(), reason_of(&status))
        };
        let undecodable = Status::internal("failed to decode Protobuf message: buffer underflow");
        assert_eq!(told(undecodable), (Code::InvalidArgument, Some("INVALID_FIELD".to_owned())));
        let own = crate::status::internal("testing", "a failure inside");
        assert_eq!(told(own), (Code::Internal, Some("INTERNAL".to_owned())));
    }
}
