//! The way to the acquirers: one trait, and two clients that speak gRPC over mutual TLS, straight to each
//! acquirer or by way of a platform. Both hops serve the same service, so that only the address differs.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use mesh::{
    channel::{MeshChannel, within},
    serve::MESSAGE_BYTES_MAX,
    status::{is_transport, reason_of},
};
use proto::{
    authorization::{Route, SIGNED_NOTE_BYTES_MAX},
    fields::Invalid,
    ids::AuthorizationId,
    pb::{self, authorization_client::AuthorizationClient as Stub},
    signed::Signed,
    time::parse_duration,
};
use tonic::{Code, Status};

mod direct;
mod relayed;

pub use direct::DirectClient;
pub use relayed::RelayedClient;

/// What goes to an acquirer: something signed, and what a relay may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// For the relay.
    pub route: Route,
    /// The signed request or question.
    pub signed: Signed,
}

impl Call {
    /// An authorization request exactly as it travels.
    #[must_use]
    pub fn to_authorize(&self) -> pb::AuthorizeRequest {
        pb::AuthorizeRequest { route: Some(self.route.to_pb()), request: Some(self.signed.to_pb()) }
    }

    fn to_resolve(&self) -> pb::ResolveAuthorizationRequest {
        pb::ResolveAuthorizationRequest { route: Some(self.route.to_pb()), request: Some(self.signed.to_pb()) }
    }
}

/// An answer to a question, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A signed result.
    Result(Signed),
    /// The acquirer is still deciding.
    Pending {
        /// It asks to be left alone for this long.
        retry_after: Duration,
    },
}

/// Why there is no answer. None of these says anything about what the acquirer did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The acquirer has no place in the directory, or no connection to it can be made.
    #[error("the acquirer can't be called: {0}")]
    NoWay(String),
    /// The connection failed on the way.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The other side answered with an error.
    #[error("the answer was {code:?}, reason {reason}")]
    Refused {
        /// The gRPC code.
        code: Code,
        /// The stable reason; empty where there was none.
        reason: String,
    },
    /// The answer breaks the contracts.
    #[error("the answer is malformed: {0}")]
    Malformed(Invalid),
    /// The answer is for another authorization.
    #[error("the answer names another authorization")]
    OtherAuthorization,
    /// No answer came in time.
    #[error("no answer came in time")]
    TooLate,
}

/// Asks acquirers for authorizations and results. What comes back is not verified.
#[async_trait]
pub trait AuthorizationClient: Send + Sync + fmt::Debug {
    /// Sends an authorization request once, and waits for the signed result at most `wait`.
    ///
    /// # Errors
    /// [`Unanswered`]: the outcome is not known then.
    async fn authorize(&self, request: &Call, wait: Duration) -> Result<Signed, Unanswered>;

    /// Asks once what became of an authorization request.
    ///
    /// # Errors
    /// [`Unanswered`]: nothing was learned then.
    async fn resolve(&self, question: &Call, wait: Duration) -> Result<Answer, Unanswered>;

    /// Whether the next hop is a platform, which relays nothing without a ticket.
    fn needs_ticket(&self) -> bool;
}

/// Sends a request by this stub.
async fn authorize(mut stub: Stub<MeshChannel>, request: &Call, wait: Duration) -> Result<Signed, Unanswered> {
    let answer = stub.authorize(within(request.to_authorize(), wait)).await.map_err(unanswered)?.into_inner();
    check_id(&answer.authorization_id, &request.route.authorization)?;
    parse_result(answer.result)
}

/// Asks a question by this stub.
async fn resolve(mut stub: Stub<MeshChannel>, question: &Call, wait: Duration) -> Result<Answer, Unanswered> {
    let answer = stub.resolve_authorization(within(question.to_resolve(), wait)).await;
    let answer = answer.map_err(unanswered)?.into_inner();
    check_id(&answer.authorization_id, &question.route.authorization)?;
    match answer.outcome {
        Some(pb::resolve_authorization_response::Outcome::Result(result)) => {
            parse_result(Some(result)).map(Answer::Result)
        }
        Some(pb::resolve_authorization_response::Outcome::Pending(pending)) => {
            let retry_after = pending.retry_after.map(parse_duration).transpose();
            let retry_after = retry_after.map_err(|invalid| Unanswered::Malformed(invalid.under("pending")))?;
            Ok(Answer::Pending { retry_after: retry_after.unwrap_or_default() })
        }
        None => Err(Unanswered::Malformed(Invalid::field("outcome", "must be set"))),
    }
}

fn limited(channel: MeshChannel) -> Stub<MeshChannel> {
    Stub::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn check_id(answered: &str, asked: &AuthorizationId) -> Result<(), Unanswered> {
    if answered == asked.as_str() { Ok(()) } else { Err(Unanswered::OtherAuthorization) }
}

fn parse_result(result: Option<pb::Signed>) -> Result<Signed, Unanswered> {
    let missing = || Unanswered::Malformed(Invalid::field("result", "must be set"));
    Signed::parse(result.ok_or_else(missing)?, SIGNED_NOTE_BYTES_MAX)
        .map_err(|invalid| Unanswered::Malformed(invalid.under("result")))
}

fn unanswered(status: Status) -> Unanswered {
    if is_transport(&status) {
        return Unanswered::Connection(status.message().to_owned());
    }
    let code = status.code();
    if code == Code::DeadlineExceeded {
        return Unanswered::TooLate;
    }
    Unanswered::Refused { code, reason: reason_of(&status).unwrap_or_default() }
}
