//! Why the relay gives no result: one variant, one stable reason, one counter.

use std::collections::HashMap;
use std::time::Duration;

use mesh::status::Refusal;
use mesh::telemetry::{Counter, Metrics};
use proto::reason::Reason;
use tonic::{Code, Status};

use crate::ticket::TicketFault;

/// Why the relay gives no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The caller is not an issuer of the directory.
    MemberUnknown,
    /// The caller is suspended, or has left.
    MemberSuspended,
    /// The request names another issuer than the one that calls.
    IssuerMismatch,
    /// The directory has no such acquirer.
    AcquirerUnknown,
    /// The acquirer is suspended, or has left.
    AcquirerSuspended,
    /// The ticket does not hold.
    Ticket(TicketFault),
    /// The bank starts more than it may; there is one to take after this time.
    RateLimit(Duration),
    /// The amount is over the bank's limit, or in a currency that it has none for.
    AmountLimit,
    /// As many requests to this acquirer are under way as may be; worth another try after this time.
    Overloaded(Duration),
    /// The acquirer could not be reached, or broke off.
    AcquirerUnreachable,
    /// The acquirer did not answer in time.
    DeadlineExceeded,
    /// The acquirer's answer was for another authorization, or no answer at all.
    ResponseMismatch,
}

impl Refused {
    /// One of each kind.
    pub(super) const ALL: [Self; 16] = [
        Self::MemberUnknown,
        Self::MemberSuspended,
        Self::IssuerMismatch,
        Self::AcquirerUnknown,
        Self::AcquirerSuspended,
        Self::Ticket(TicketFault::Missing),
        Self::Ticket(TicketFault::Invalid),
        Self::Ticket(TicketFault::Expired),
        Self::Ticket(TicketFault::OtherBank),
        Self::Ticket(TicketFault::OtherOrder),
        Self::RateLimit(Duration::ZERO),
        Self::AmountLimit,
        Self::Overloaded(Duration::ZERO),
        Self::AcquirerUnreachable,
        Self::DeadlineExceeded,
        Self::ResponseMismatch,
    ];

    /// The stable reason.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::MemberUnknown => Reason::MemberUnknown,
            Self::MemberSuspended => Reason::MemberSuspended,
            Self::IssuerMismatch => Reason::IssuerMismatch,
            Self::AcquirerUnknown => Reason::AcquirerUnknown,
            Self::AcquirerSuspended => Reason::AcquirerSuspended,
            Self::Ticket(TicketFault::Missing) => Reason::TicketMissing,
            Self::Ticket(TicketFault::Invalid) => Reason::TicketInvalid,
            Self::Ticket(TicketFault::Expired) => Reason::TicketExpired,
            Self::Ticket(TicketFault::OtherBank) => Reason::TicketOfOtherBank,
            Self::Ticket(TicketFault::OtherOrder) => Reason::TicketOfOtherOrder,
            Self::RateLimit(_) => Reason::RateLimit,
            Self::AmountLimit => Reason::AmountLimit,
            Self::Overloaded(_) => Reason::Overloaded,
            Self::AcquirerUnreachable => Reason::AcquirerUnreachable,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::ResponseMismatch => Reason::ResponseMismatch,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::MemberUnknown | Self::MemberSuspended | Self::IssuerMismatch | Self::Ticket(_) => {
                Code::PermissionDenied
            }
            Self::AcquirerUnknown => Code::NotFound,
            Self::AcquirerSuspended | Self::AmountLimit => Code::FailedPrecondition,
            Self::RateLimit(_) | Self::Overloaded(_) => Code::ResourceExhausted,
            Self::AcquirerUnreachable => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::ResponseMismatch => Code::Internal,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::MemberUnknown => "the caller is not an issuer of the bank directory",
            Self::MemberSuspended => {
                "the caller does not take part at present; it may still ask what became of a request"
            }
            Self::IssuerMismatch => "the request names another issuer than the one that calls",
            Self::AcquirerUnknown => "the bank directory has no such acquirer",
            Self::AcquirerSuspended => "the acquirer does not take part at present",
            Self::Ticket(TicketFault::Missing) => "the request carries no ticket; get one from Checkout",
            Self::Ticket(TicketFault::Invalid) => "the ticket is not one that this platform made",
            Self::Ticket(TicketFault::Expired) => "the ticket's time is over, and the order's with it",
            Self::Ticket(TicketFault::OtherBank) => "the ticket is for another bank",
            Self::Ticket(TicketFault::OtherOrder) => "the ticket is for another order",
            Self::RateLimit(_) => "the bank starts more authorizations per second than it may",
            Self::AmountLimit => "the amount is over the bank's limit, or in a currency that it has no limit for",
            Self::Overloaded(_) => "as many requests to this acquirer are under way as the platform takes",
            Self::AcquirerUnreachable => "the acquirer does not answer; the outcome is not known",
            Self::DeadlineExceeded => "the acquirer did not answer in time; the outcome is not known",
            Self::ResponseMismatch => "the acquirer's answer was not for this request; the outcome is not known",
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimit(wait) | Self::Overloaded(wait) => Some(wait),
            Self::MemberUnknown
            | Self::MemberSuspended
            | Self::IssuerMismatch
            | Self::AcquirerUnknown
            | Self::AcquirerSuspended
            | Self::Ticket(_)
            | Self::AmountLimit
            | Self::AcquirerUnreachable
            | Self::DeadlineExceeded
            | Self::ResponseMismatch => None,
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let refusal = Refusal::new(refused.code(), refused.reason(), refused.sentence());
        match refused.retry_after() {
            Some(wait) => refusal.retry_after(wait).into_status(),
            None => refusal.into_status(),
        }
    }
}

/// A counter for each reason.
#[derive(Debug)]
pub(super) struct Counters(HashMap<Reason, Counter>);

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |reason: Reason| {
            let help = "Requests that the relay gave no result for, by the reason.";
            metrics.counter("bankside_relay_refused_total", help, &[("reason", reason.as_wire())])
        };
        Self(Refused::ALL.iter().map(|refused| (refused.reason(), counter(refused.reason()))).collect())
    }

    pub(super) fn count(&self, refused: Refused) {
        if let Some(counter) = self.0.get(&refused.reason()) {
            counter.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mesh::status::{reason_of, retry_after_of};

    use super::*;

    #[test]
    fn every_kind_has_its_own_reason_and_counter() {
        let metrics = Metrics::new();
        let counters = Counters::new(&metrics);
        let mut reasons = HashSet::new();
        for refused in Refused::ALL {
            assert!(reasons.insert(refused.reason()), "{refused:?}");
            let status = Status::from(refused);
            assert_eq!(reason_of(&status).as_deref(), Some(refused.reason().as_wire()));
            assert_eq!(retry_after_of(&status), refused.retry_after());
            counters.count(refused);
            let line = format!("bankside_relay_refused_total{{reason=\"{}\"}} 1", refused.reason().as_wire());
            assert!(metrics.exposition().contains(&line), "{line}");
        }
    }

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let cases = [
            (Reason::MemberUnknown, Code::PermissionDenied),
            (Reason::MemberSuspended, Code::PermissionDenied),
            (Reason::IssuerMismatch, Code::PermissionDenied),
            (Reason::AcquirerUnknown, Code::NotFound),
            (Reason::AcquirerSuspended, Code::FailedPrecondition),
            (Reason::TicketMissing, Code::PermissionDenied),
            (Reason::TicketInvalid, Code::PermissionDenied),
            (Reason::TicketExpired, Code::PermissionDenied),
            (Reason::TicketOfOtherBank, Code::PermissionDenied),
            (Reason::TicketOfOtherOrder, Code::PermissionDenied),
            (Reason::RateLimit, Code::ResourceExhausted),
            (Reason::AmountLimit, Code::FailedPrecondition),
            (Reason::Overloaded, Code::ResourceExhausted),
            (Reason::AcquirerUnreachable, Code::Unavailable),
            (Reason::DeadlineExceeded, Code::DeadlineExceeded),
            (Reason::ResponseMismatch, Code::Internal),
        ];
        let found: HashSet<(Reason, i32)> =
            Refused::ALL.iter().map(|refused| (refused.reason(), refused.code() as i32)).collect();
        assert_eq!(found, cases.iter().map(|(reason, code)| (*reason, *code as i32)).collect());
    }
}
