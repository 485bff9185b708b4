//! What a caller is told when the answer is no.
//!
//! Every refusal carries a [`ErrorInfo`] with a reason that stays the same for ever and the domain
//! `bankside`, so that a program decides by the reason and a person reads the sentence. The reasons are
//! those of the contracts ([`Reason`]); there is no other way to give one. What went wrong inside goes
//! to the log, once, and never to the caller.
//!
//! [`ErrorInfo`]: tonic_types::ErrorInfo

use crate::store::StoreError;
use proto::reason::{DOMAIN, Reason};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A refusal under construction. It becomes a [`Status`] by `into()` or [`Refusal::into_status`].
#[derive(Clone, Debug)]
pub struct Refusal {
    code: Code,
    reason: Reason,
    message: String,
    violations: Vec<(String, String)>,
    retry_after: Option<Duration>,
    metadata: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal with a code, a stable reason, and a sentence that is safe to show to the caller.
    #[must_use]
    pub fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), violations: Vec::new(), retry_after: None, metadata: Vec::new() }
    }

    /// INVALID_ARGUMENT with one `(field path, what is wrong)` for each wrong field.
    #[must_use]
    pub fn fields<P, D>(violations: impl IntoIterator<Item = (P, D)>) -> Self
    where
        P: Into<String>,
        D: Into<String>,
    {
        let mut refusal =
            Self::new(Code::InvalidArgument, Reason::InvalidField, "the request has fields that are missing or wrong");
        refusal.violations =
            violations.into_iter().map(|(path, description)| (path.into(), description.into())).collect();
        refusal
    }

    /// Adds one wrong field.
    #[must_use]
    pub fn violation(mut self, path: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push((path.into(), description.into()));
        self
    }

    /// Tells the caller how long to wait before the same call may succeed.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a key and a value to the ErrorInfo. Neither may be a secret.
    #[must_use]
    pub fn metadata(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// The stable reason, as it travels.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The status to answer with.
    #[must_use]
    pub fn into_status(self) -> Status {
        let metadata: HashMap<String, String> =
            self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(self.reason.as_wire(), DOMAIN, metadata);
        for (path, description) in self.violations {
            details.add_bad_request_violation(path, description);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, self.message, details)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.into_status()
    }
}

/// How long a caller waits whom a full disk turned away: an operator has to make room first.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(5);

/// What a caller is told where the store failed: UNAVAILABLE while there is no room on the disk, for nothing
/// was changed and the same call may succeed later; otherwise as [`internal`].
#[must_use]
pub fn store_failed(doing: &'static str, error: &StoreError) -> Status {
    if !matches!(error, StoreError::Full { .. }) {
        return internal(doing, error);
    }
    tracing::error!(doing, %error, "nothing can be stored");
    let sentence = "the server can store nothing at the moment; nothing was changed, try again later";
    Refusal::new(Code::Unavailable, Reason::Unavailable, sentence).retry_after(RETRY_AFTER_FULL).into_status()
}

/// INTERNAL for the caller, the detail for the log. `doing` says in a few words what was being done,
/// for example "committing the order"; neither it nor the error's text may hold a secret.
#[must_use]
pub fn internal(doing: &'static str, error: impl std::fmt::Display) -> Status {
    tracing::error!(doing, error = %error, "internal error");
    Refusal::new(
        Code::Internal,
        Reason::Internal,
        "the server failed; the outcome is not known, ask again with the same id",
    )
    .into_status()
}

/// The stable reason that the server gave, where the status has one of ours.
#[must_use]
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason)
}

/// The `(field path, description)` pairs of a BadRequest; empty where there is none.
#[must_use]
pub fn violations_of(status: &Status) -> Vec<(String, String)> {
    status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default()
        .into_iter()
        .map(|violation| (violation.field, violation.description))
        .collect()
}

/// How long the server asks to wait, where it says so.
#[must_use]
pub fn retry_after_of(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|retry| retry.retry_delay)
}

/// Whether the call failed on the way, so that nobody can say from the status alone if the server
/// acted on it: no connection, a refused handshake, a connection that was cut, a stream that was reset.
///
/// A status that the server sent has no source; one that was made on this side, out of a transport's
/// error, has one. In TLS 1.3 the client's own handshake is over before the server judges its
/// certificate, so that a refused certificate appears here too, on the first call.
#[must_use]
pub fn is_transport(status: &Status) -> bool {
    status.source().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_for_now_and_another_failure_is_not() {
        let full = StoreError::Full { folder: "/data".into(), free_bytes: 1, reserve_bytes: 2 };
        let status = store_failed("committing", &full);
        assert_eq!((status.code(), reason_of(&status).as_deref()), (Code::Unavailable, Some("UNAVAILABLE")));
        assert_eq!(retry_after_of(&status), Some(RETRY_AFTER_FULL));
        assert!(!status.message().contains("/data"));
        assert_eq!(store_failed("committing", &StoreError::Halted).code(), Code::Internal);
    }

    #[test]
    fn a_refusal_arrives_with_everything_it_was_given() {
        let status = Refusal::fields([("order.amount.minor_units", "must be positive")])
            .violation("order.lines[2].name", "is empty")
            .retry_after(Duration::from_millis(250))
            .metadata("limit", "64")
            .into_status();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&status).as_deref(), Some(Reason::InvalidField.as_wire()));
        assert_eq!(retry_after_of(&status), Some(Duration::from_millis(250)));
        assert_eq!(
            violations_of(&status),
            [
                ("order.amount.minor_units".to_owned(), "must be positive".to_owned()),
                ("order.lines[2].name".to_owned(), "is empty".to_owned()),
            ]
        );
        assert!(!is_transport(&status));
    }

    #[test]
    fn an_internal_error_keeps_its_detail_to_itself() {
        let status = internal("committing the order", "disk full at /var/lib/secret");
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("disk"));
        assert_eq!(reason_of(&status).as_deref(), Some(Reason::Internal.as_wire()));
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("QUOTA", "example.org", HashMap::new());
        let status = Status::with_error_details(Code::ResourceExhausted, "no", details);
        assert_eq!(reason_of(&status), None);
        assert_eq!(retry_after_of(&status), None);
        assert!(violations_of(&status).is_empty());
    }
}
