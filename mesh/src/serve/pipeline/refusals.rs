//! What the handlers of a port refuse: logged once, here at the edge, and counted by its reason.

use crate::status::reason_of;
use crate::telemetry::Metrics;
use http::Response;
use proto::reason::Reason;
use tonic::body::Body;
use tonic::{Code, Status};

/// The refusals of one port's handlers.
pub(super) struct HandlerRefusals {
    port: &'static str,
    metrics: Metrics,
}

impl HandlerRefusals {
    pub(super) fn new(port: &'static str, metrics: &Metrics) -> Self {
        Self { port, metrics: metrics.clone() }
    }

    /// Notes an answer that is a refusal. One that ends a stream comes too late to be seen here.
    pub(super) fn note(&self, answer: &Response<Body>) {
        let Some(status) = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok) else {
            tracing::debug!("answered");
            return;
        };
        // A series for each reason of the contracts and no other, so that their number stays bounded.
        let reason = reason_of(&status).and_then(|reason| Reason::from_wire(&reason)).unwrap_or_default().as_wire();
        let labels = [("port", self.port), ("reason", reason)];
        self.metrics.counter("bankside_handler_refusals_total", "Refused by a handler.", &labels).increment();
        // What failed inside has been logged with its cause already.
        if status.code() != Code::Internal {
            tracing::info!(code = ?status.code(), reason, "refused by the handler");
        }
    }
}
