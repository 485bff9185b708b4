//! What the issuer counts about charges.

use mesh::telemetry::{Counter, Metrics};

/// The counters.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Charges whose funds were held.
    pub held: Counter,
    /// Charges that ended approved.
    pub approved: Counter,
    /// Charges that ended declined.
    pub declined: Counter,
    /// Charges given up before anything was sent.
    pub abandoned: Counter,
    /// Charges whose result did not come with the answer.
    pub lost: Counter,
    /// Requests sent again, the same bytes, because the connection or the server failed.
    pub resent: Counter,
    /// Charges that nobody asks about any more; each needs an operator.
    pub parked: Counter,
    /// Questions to acquirers.
    pub inquiries: Counter,
    /// Results that were not believed: a wrong signature, or the answer to another request.
    pub untrusted: Counter,
    /// Signed results that contradict each other; each needs an operator.
    pub contradictions: Counter,
}

impl Numbers {
    /// The counters of this registry.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let charges = |state| {
            metrics.counter("bankside_issuer_charges_total", "Charges that reached this state.", &[("state", state)])
        };
        Self {
            held: charges("held"),
            approved: charges("approved"),
            declined: charges("declined"),
            abandoned: charges("abandoned"),
            lost: charges("unknown"),
            resent: metrics.counter(
                "bankside_issuer_requests_resent_total",
                "Authorization requests sent again, byte for byte.",
                &[],
            ),
            parked: charges("parked"),
            inquiries: metrics.counter("bankside_issuer_inquiries_total", "Questions to acquirers.", &[]),
            untrusted: metrics.counter(
                "bankside_issuer_results_untrusted_total",
                "Results with a wrong signature or for another request.",
                &[],
            ),
            contradictions: metrics.counter(
                "bankside_issuer_results_contradicting_total",
                "Signed results that contradict an earlier one.",
                &[],
            ),
        }
    }
}
