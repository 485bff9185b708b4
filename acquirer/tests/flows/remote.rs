//! The card network at the end of a line: what counts as its answer, and who may be at the other end.

use std::{
    future::pending,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use acquirer::network::{
    AuthorizationNetwork, Inquiry, LineTimes, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Remote,
    plain_line,
};
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use mesh::{
    access::{AccessTable, Rule},
    channel::MeshChannel,
    config::TlsFiles,
    identity::Role,
    serve::Server,
    status::Refusal,
    tls::{ExpectedServer, ServerTls, TlsIdentity},
};
use proto::{
    authorization::DeclineReason,
    ids::AuthorizationId,
    pb::{self, card_network_server::CardNetworkServer},
    reason::Reason,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes, transport::server::TcpIncoming};

use super::bank::{opened_card, twd};

const PATIENCE: Duration = Duration::from_secs(20);
const TIMES: LineTimes = LineTimes { authorize: Duration::from_secs(5), inquire: Duration::from_secs(2) };

/// What the network at the other end does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Approves,
    Declines,
    KnowsNothing,
    NamesAnother,
    NamesNobody,
    ForgetsTheDecision,
    Contradicts,
    KnowsOtherContent,
    Fails(Code),
    Silent,
}

/// A network that keeps what it was asked.
#[derive(Clone)]
struct Played {
    manner: Manner,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Played {
    async fn answer(
        &self,
        call: &str,
        id: Option<pb::CardNetworkId>,
    ) -> Result<(Option<pb::CardNetworkId>, Option<pb::CardNetworkDecision>), Status> {
        let named = id.clone().unwrap();
        let name = format!("{call} {}/{}/{}", named.acquirer_id, named.issuer_id, named.authorization_id);
        self.heard.lock().unwrap().push(name);
        let decision = |decision: pb::Decision, reason: pb::DeclineReason, code: &str| pb::CardNetworkDecision {
            decision: decision.into(),
            decline_reason: reason.into(),
            approval_code: code.into(),
        };
        let approved = decision(pb::Decision::Approved, pb::DeclineReason::Unspecified, "A1B2C3");
        let refused = |code, reason| Refusal::new(code, reason, "no").into_status();
        match self.manner {
            Manner::Approves => Ok((id, Some(approved))),
            Manner::Declines => Ok((id, Some(decision(pb::Decision::Declined, pb::DeclineReason::LostCard, "")))),
            Manner::KnowsNothing | Manner::ForgetsTheDecision => Ok((id, None)),
            Manner::NamesAnother => {
                Ok((Some(pb::CardNetworkId { issuer_id: "bank-b".into(), ..named }), Some(approved)))
            }
            Manner::NamesNobody => Ok((None, Some(approved))),
            Manner::Contradicts => {
                Ok((id, Some(decision(pb::Decision::Approved, pb::DeclineReason::LostCard, "A1B2C3"))))
            }
            Manner::KnowsOtherContent => Err(refused(Code::AlreadyExists, Reason::AuthorizationIdReused)),
            Manner::Fails(code) => Err(refused(code, Reason::Internal)),
            Manner::Silent => pending().await,
        }
    }
}

#[tonic::async_trait]
impl pb::card_network_server::CardNetwork for Played {
    async fn authorize(
        &self,
        request: Request<pb::CardNetworkAuthorizeRequest>,
    ) -> Result<Response<pb::CardNetworkAuthorizeResponse>, Status> {
        let message = request.into_inner();
        let card = message.card.unwrap();
        assert_eq!((card.pan.as_str(), card.cvv.as_str()), (super::bank::PAN, "123"));
        assert_eq!((message.amount, message.merchant_id.as_str()), (Some(twd(100).to_pb()), "shop-books"));
        let (id, decision) = self.answer("authorize", message.id).await?;
        Ok(Response::new(pb::CardNetworkAuthorizeResponse { id, decision }))
    }

    async fn inquire(&self, request: Request<pb::InquireRequest>) -> Result<Response<pb::InquireResponse>, Status> {
        let message = request.into_inner();
        assert_eq!((message.amount, message.merchant_id.as_str()), (Some(twd(100).to_pb()), "shop-books"));
        let (id, decision) = self.answer("inquire", message.id).await?;
        Ok(Response::new(pb::InquireResponse { id, decision }))
    }

    async fn reverse(&self, request: Request<pb::ReverseRequest>) -> Result<Response<pb::ReverseResponse>, Status> {
        let message = request.into_inner();
        assert_eq!((message.amount, message.merchant_id.as_str()), (Some(twd(100).to_pb()), "shop-books"));
        let (id, _) = self.answer("reverse", message.id).await?;
        Ok(Response::new(pb::ReverseResponse { id }))
    }

    async fn list_authorizations(
        &self,
        _: Request<pb::ListAuthorizationsRequest>,
    ) -> Result<Response<pb::ListAuthorizationsResponse>, Status> {
        Err(Status::unimplemented("an acquirer's process never lists"))
    }
}

fn id() -> NetworkId {
    NetworkId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) }
}

fn request() -> NetworkRequest {
    NetworkRequest { id: id(), card: opened_card(), amount: twd(100), merchant: "shop-books".parse().unwrap() }
}

/// A network on a plain line, and what it has heard.
async fn plain(manner: Manner, times: LineTimes) -> (Arc<dyn AuthorizationNetwork>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let played = Played { manner, heard: Arc::default() };
    let heard = Arc::clone(&played.heard);
    let server = tonic::transport::Server::builder().add_service(CardNetworkServer::new(played));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = plain_line(&address).unwrap();
    (Arc::new(Remote::new("acquirer-one".parse().unwrap(), channel, times)), heard)
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an end in time")
}

#[tokio::test]
async fn every_word_of_the_network_is_understood() {
    let (network, heard) = plain(Manner::Approves, TIMES).await;
    let code = "A1B2C3".parse().unwrap();
    assert_eq!(in_time(network.authorize(request())).await.unwrap(), NetworkDecision::Approved(code));
    assert_eq!(in_time(network.inquire(&id(), &request().sale())).await.unwrap(), Inquiry::Approved(code));
    in_time(network.reverse(&id(), &request().sale())).await.unwrap();
    let name = format!("acquirer-one/bank-a/{}", id().authorization);
    let calls = ["authorize", "inquire", "reverse"].map(|call| format!("{call} {name}"));
    assert_eq!(*heard.lock().unwrap(), calls);

    let (network, _) = plain(Manner::Declines, TIMES).await;
    let reason = DeclineReason::LostCard;
    assert_eq!(in_time(network.authorize(request())).await.unwrap(), NetworkDecision::Declined(reason));
    assert_eq!(in_time(network.inquire(&id(), &request().sale())).await.unwrap(), Inquiry::Declined(reason));

    let (network, _) = plain(Manner::KnowsNothing, TIMES).await;
    assert_eq!(in_time(network.inquire(&id(), &request().sale())).await.unwrap(), Inquiry::Unknown);
    let (network, _) = plain(Manner::KnowsOtherContent, TIMES).await;
    assert!(matches!(in_time(network.authorize(request())).await, Err(NetworkError::OtherContent)));
    let told = in_time(network.inquire(&id(), &request().sale())).await;
    assert!(matches!(told, Err(NetworkError::OtherContent)), "{told:?}");
    let taken_back = in_time(network.reverse(&id(), &request().sale())).await;
    assert!(matches!(taken_back, Err(NetworkError::OtherContent)), "{taken_back:?}");
}

#[tokio::test]
async fn what_is_not_an_answer_to_this_question_is_none() {
    for manner in [Manner::NamesAnother, Manner::NamesNobody, Manner::Contradicts] {
        let (network, _) = plain(manner, TIMES).await;
        let unreachable = |outcome: Option<NetworkError>| matches!(outcome, Some(NetworkError::Unreachable(_)));
        assert!(unreachable(in_time(network.authorize(request())).await.err()), "{manner:?}");
        assert!(unreachable(in_time(network.inquire(&id(), &request().sale())).await.err()), "{manner:?}");
    }
    for manner in [Manner::NamesAnother, Manner::NamesNobody] {
        let (network, _) = plain(manner, TIMES).await;
        assert!(in_time(network.reverse(&id(), &request().sale())).await.is_err(), "{manner:?} acknowledges nothing");
    }
    let (network, _) = plain(Manner::ForgetsTheDecision, TIMES).await;
    assert!(matches!(in_time(network.authorize(request())).await, Err(NetworkError::Unreachable(_))));
    for code in [Code::Unavailable, Code::Internal, Code::PermissionDenied, Code::NotFound, Code::Unimplemented] {
        let (network, _) = plain(Manner::Fails(code), TIMES).await;
        assert!(matches!(in_time(network.authorize(request())).await, Err(NetworkError::Unreachable(_))), "{code:?}");
        assert!(in_time(network.reverse(&id(), &request().sale())).await.is_err(), "{code:?} acknowledges nothing");
    }
}

#[tokio::test]
async fn silence_ends_with_the_deadline_of_the_line() {
    let short = LineTimes { authorize: Duration::from_millis(50), inquire: Duration::from_millis(50) };
    let (network, heard) = plain(Manner::Silent, short).await;
    assert!(matches!(in_time(network.authorize(request())).await, Err(NetworkError::Unreachable(_))));
    assert!(
        in_time(network.inquire(&id(), &request().sale())).await.is_err()
            && in_time(network.reverse(&id(), &request().sale())).await.is_err()
    );
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_network_that_is_away_is_found_again_by_the_next_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = plain_line(&format!("http://{address}")).unwrap();
    let network = Remote::new("acquirer-one".parse().unwrap(), channel, TIMES);
    assert!(matches!(in_time(network.authorize(request())).await, Err(NetworkError::Unreachable(_))));
    let listener = TcpListener::bind(address).await.unwrap();
    let played = Played { manner: Manner::Approves, heard: Arc::default() };
    let server = tonic::transport::Server::builder().add_service(CardNetworkServer::new(played));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    assert!(matches!(in_time(network.authorize(request())).await, Ok(NetworkDecision::Approved(_))));
}

struct Line {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Line {
    fn new() -> Self {
        let domain = "cards.example".parse().unwrap();
        let authority = Authority::create(domain, "Card network", AUTHORITY_LIFETIME, SystemTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        Self { folder, authority }
    }

    fn identity(&self, role: Role, member: &str) -> Arc<TlsIdentity> {
        let request = LeafRequest::server(role, member.parse().unwrap(), vec!["127.0.0.1".parse().unwrap()]);
        let issued = self.authority.issue(&request, SystemTime::now()).unwrap();
        let folder = self.folder.path();
        let (certificate, key) = issued.save(&folder.join(format!("{role}-{member}"))).unwrap();
        let files = TlsFiles { certificate, key, authority: Path::join(folder, "ca.pem"), revocations: None };
        TlsIdentity::load(&files, "cards.example".parse().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_card_goes_to_the_card_network_alone() {
    for (role, member, is_ours) in
        [(Role::Platform, "cards", true), (Role::Platform, "other-cards", false), (Role::Acquirer, "cards", false)]
    {
        let line = Line::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let played = Played { manner: Manner::Approves, heard: Arc::default() };
        let heard = Arc::clone(&played.heard);
        let path = "/bankside.v1.CardNetwork/Authorize";
        let table = AccessTable::new([Rule::roles(path, &[Role::Acquirer])]);
        let tls = ServerTls::mutual(line.identity(role, member)).unwrap();
        let server = Server::grpc("line", listener, tls, table, Routes::new(CardNetworkServer::new(played)));
        let address = format!("https://{}", server.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone()));

        let expected = ExpectedServer::member(Role::Platform, "cards".parse().unwrap());
        let own = line.identity(Role::Acquirer, "acquirer-one");
        let channel = MeshChannel::new(&address, own, expected).unwrap();
        let network = Remote::new("acquirer-one".parse().unwrap(), channel, TIMES);
        let outcome = in_time(network.authorize(request())).await;
        assert_eq!(outcome.is_ok(), is_ours, "{role}/{member}: {outcome:?}");
        assert_eq!(heard.lock().unwrap().len(), usize::from(is_ours), "{role}/{member}");
        drop(network);
        stop.cancel();
        serving.await.unwrap();
    }
}
