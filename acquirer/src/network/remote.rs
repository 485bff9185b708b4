//! A card network at the end of a line: the contract `CardNetwork` over gRPC.
//!
//! An answer counts only if it names the authorization that was asked about; anything else is no answer. Every
//! call has a deadline on the line, which the caller's own deadlines repeat: whichever comes first ends the
//! call, and the outcome is then not known. What arrives for a call that has ended is dropped with its
//! stream, and a second answer in one stream is never looked at, so that late and duplicate answers
//! reach nobody here.

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use mesh::{channel::within, serve::MESSAGE_BYTES_MAX, status::reason_of};
use proto::{
    authorization::Decision,
    fields::Invalid,
    ids::AcquirerId,
    pb::{self, card_network_client::CardNetworkClient},
    reason::Reason,
};
use tonic::{
    Status,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
    transport::{Channel, Endpoint},
};

use super::{AuthorizationNetwork, Inquiry, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Sale};

/// The time for a connection: a line that takes longer is not there for whoever waits five seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between HTTP/2 pings on a plain line, and for the answer to one. A line that is cut without
/// a word is noticed by it, and opened again for the next call.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(10);

/// How long the card network may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTimes {
    /// For an authorization.
    pub authorize: Duration,
    /// For an inquiry or a reversal.
    pub inquire: Duration,
}

/// A card network over this kind of channel: a [`MeshChannel`](mesh::channel::MeshChannel) for mutual TLS, a
/// [`plain_line`] on the same machine.
pub struct Remote<C> {
    acquirer: AcquirerId,
    client: CardNetworkClient<C>,
    times: LineTimes,
}

/// An address that is no plain line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http:// with a loopback address and a port, for example http://127.0.0.1:7600")]
pub struct NotAPlainLine;

/// A line without TLS to a card network's own program on this machine. Nothing is connected yet.
///
/// # Errors
/// [`NotAPlainLine`]: card data goes over it, so it never leaves the machine.
pub fn plain_line(address: &str) -> Result<Channel, NotAPlainLine> {
    Ok(plain_endpoint(address)?.connect_lazy())
}

/// Whether a text is an address that a [`plain_line`] can be made for.
#[must_use]
pub fn is_plain_line(address: &str) -> bool {
    plain_endpoint(address).is_ok()
}

fn plain_endpoint(address: &str) -> Result<Endpoint, NotAPlainLine> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| NotAPlainLine)?;
    let uri = endpoint.uri();
    let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    let is_loopback = host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
    let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
    if uri.scheme_str() != Some("http") || !is_loopback || uri.port_u16().is_none() || has_path {
        return Err(NotAPlainLine);
    }
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    let endpoint = endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE_WAIT);
    Ok(endpoint.keep_alive_while_idle(true))
}

impl<C> Remote<C>
where
    C: GrpcService<Body> + Clone,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    C::Error: Into<StdError>,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// The card network at the end of this channel, asked in the name of this acquirer.
    #[must_use]
    pub fn new(acquirer: AcquirerId, channel: C, times: LineTimes) -> Self {
        let client = CardNetworkClient::new(channel);
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { acquirer, client, times }
    }

    fn name(&self, id: &NetworkId) -> pb::CardNetworkId {
        pb::CardNetworkId {
            acquirer_id: self.acquirer.to_string(),
            issuer_id: id.issuer.to_string(),
            authorization_id: id.authorization.to_string(),
        }
    }
}

/// What a network says that is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum NoAnswer {
    #[error("the card network answered about another authorization")]
    AnotherId,
    #[error("the card network's answer has no decision")]
    NoDecision,
    #[error("the card network's decision can't be used: {0}")]
    Decision(#[from] Invalid),
}

#[async_trait]
impl<C> AuthorizationNetwork for Remote<C>
where
    C: GrpcService<Body> + Clone + Send + Sync + 'static,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    C::Error: Into<StdError>,
    C::Future: Send,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    async fn authorize(&self, request: NetworkRequest) -> Result<NetworkDecision, NetworkError> {
        let id = self.name(&request.id);
        let message = pb::CardNetworkAuthorizeRequest {
            id: Some(id.clone()),
            card: Some(request.card.to_pb()),
            amount: Some(request.amount.to_pb()),
            merchant_id: request.merchant.to_string(),
        };
        // The card is not needed any more, and the wait for an answer can be long.
        drop(request);
        let answer = self.client.clone().authorize(within(message, self.times.authorize)).await.map_err(failed)?;
        let answer = answer.into_inner();
        names(answer.id.as_ref(), &id)?;
        decision(answer.decision.ok_or_else(|| unreachable(NoAnswer::NoDecision))?)
    }

    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError> {
        let id = self.name(id);
        let message = pb::InquireRequest {
            id: Some(id.clone()),
            amount: Some(sale.amount.to_pb()),
            merchant_id: sale.merchant.to_string(),
        };
        let answer = self.client.clone().inquire(within(message, self.times.inquire)).await.map_err(failed)?;
        let answer = answer.into_inner();
        names(answer.id.as_ref(), &id)?;
        let Some(decided) = answer.decision else { return Ok(Inquiry::Unknown) };
        Ok(match decision(decided)? {
            NetworkDecision::Approved(code) => Inquiry::Approved(code),
            NetworkDecision::Declined(reason) => Inquiry::Declined(reason),
        })
    }

    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError> {
        let id = self.name(id);
        let message = pb::ReverseRequest {
            id: Some(id.clone()),
            amount: Some(sale.amount.to_pb()),
            merchant_id: sale.merchant.to_string(),
        };
        let answer = self.client.clone().reverse(within(message, self.times.inquire)).await.map_err(failed)?;
        names(answer.into_inner().id.as_ref(), &id)
    }
}

impl<C> fmt::Debug for Remote<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("acquirer", &self.acquirer).field("times", &self.times).finish_non_exhaustive()
    }
}

fn names(answered: Option<&pb::CardNetworkId>, asked: &pb::CardNetworkId) -> Result<(), NetworkError> {
    if answered == Some(asked) { Ok(()) } else { Err(unreachable(NoAnswer::AnotherId)) }
}

fn decision(pb: pb::CardNetworkDecision) -> Result<NetworkDecision, NetworkError> {
    let decision = Decision::parse(pb.decision, pb.decline_reason, &pb.approval_code);
    Ok(match decision.map_err(|invalid| unreachable(NoAnswer::Decision(invalid)))? {
        Decision::Approved(code) => NetworkDecision::Approved(code),
        Decision::Declined(reason) => NetworkDecision::Declined(reason),
    })
}

/// A status is never an answer: whatever went wrong, the network may have decided all the same.
fn failed(status: Status) -> NetworkError {
    if reason_of(&status).as_deref() == Some(Reason::AuthorizationIdReused.as_wire()) {
        return NetworkError::OtherContent;
    }
    unreachable(status)
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> NetworkError {
    NetworkError::Unreachable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_does_not_leave_the_machine() {
        for good in ["http://127.0.0.1:7600", "http://127.0.0.2:1/", "http://[::1]:7600"] {
            assert!(is_plain_line(good), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:7600",
            "http://127.0.0.1",
            "https://127.0.0.1:7600",
            "http://localhost:7600",
            "http://10.0.0.1:7600",
            "http://127.0.0.1.example:7600",
            "http://127.0.0.1:7600/path",
            "http://127.0.0.1:7600/?q=1",
        ] {
            assert!(!is_plain_line(bad), "{bad}");
        }
    }
}
