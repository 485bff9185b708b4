//! A server with the `Authorization` service that answers as the test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh::{
    access::{AccessTable, Rule, peer_of},
    identity::Role,
    serve::Server,
    signing::Signer,
    status::Refusal,
    tls::{ServerTls, TlsIdentity},
};
use proto::{
    authorization::{AuthorizationResult, Carried, Decision, DeclineReason, Question, Request as AuthorizationRequest},
    pb::{self, authorization_server::AuthorizationServer},
    reason::Reason,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes};

use super::pki::sign;

/// What the server does with every call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    Approve,
    NameAnother,
    SayNothing,
    Refuse,
    Silent,
    Pending,
    /// As a platform does for a suspended issuer: it relays no request, and the questions alone.
    OnlyQuestions,
}

#[derive(Clone)]
pub(super) struct Acquirer {
    signer: Signer,
    manner: Manner,
    /// Who has called, by certificate.
    pub(super) callers: Arc<Mutex<Vec<String>>>,
    /// The requests, as they came.
    pub(super) requests: Arc<Mutex<Vec<pb::AuthorizeRequest>>>,
}

impl Acquirer {
    pub(super) fn new(signer: Signer, manner: Manner) -> Self {
        Self { signer, manner, callers: Arc::default(), requests: Arc::default() }
    }

    /// Serves under this identity until the token is dropped and cancelled.
    pub(super) async fn serve(self, listener: TcpListener, identity: Arc<TlsIdentity>, stop: CancellationToken) {
        let table = AccessTable::new([
            Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Issuer]),
            Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Issuer]),
        ]);
        let routes = Routes::default().add_service(AuthorizationServer::new(self));
        let tls = ServerTls::mutual(identity).unwrap();
        Server::grpc("members", listener, tls, table, routes).serve(stop).await;
    }

    fn tombstone(&self, call: pb::Signed) -> pb::Signed {
        let Carried { says, .. } = Carried::<Question>::parse(call).unwrap();
        let result = AuthorizationResult {
            authorization: says.authorization,
            issuer: says.issuer,
            acquirer: says.acquirer,
            request_digest: says.request_digest,
            order_digest: says.order_digest,
            amount: says.amount,
            decision: Decision::Declined(DeclineReason::NeverReceived),
            decided_at: std::time::SystemTime::now(),
        };
        sign(&self.signer, &result.to_pb()).to_pb()
    }

    fn result(&self, call: pb::Signed) -> pb::Signed {
        let Carried { signed, says } = Carried::<AuthorizationRequest>::parse(call).unwrap();
        let result = AuthorizationResult {
            authorization: says.id,
            issuer: says.issuer,
            acquirer: says.acquirer,
            request_digest: signed.digest(),
            order_digest: says.order.digest,
            amount: says.amount,
            decision: Decision::Approved("A1B2C3".parse().unwrap()),
            decided_at: std::time::SystemTime::now(),
        };
        sign(&self.signer, &result.to_pb()).to_pb()
    }
}

#[tonic::async_trait]
impl pb::authorization_server::Authorization for Acquirer {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        self.callers.lock().unwrap().push(peer_of(&request)?.id.to_string());
        let request = request.into_inner();
        self.requests.lock().unwrap().push(request.clone());
        let authorization_id = request.route.unwrap().authorization_id;
        let (authorization_id, result) = match self.manner {
            Manner::Approve => (authorization_id, Some(self.result(request.request.unwrap()))),
            Manner::NameAnother => {
                ("aut_aaaaaaaaaaaaaaaaaaaaaaaaaa".into(), Some(self.result(request.request.unwrap())))
            }
            Manner::SayNothing => (authorization_id, None),
            Manner::Silent => std::future::pending().await,
            Manner::Refuse | Manner::Pending | Manner::OnlyQuestions => {
                return Err(Refusal::new(Code::PermissionDenied, Reason::MemberSuspended, "suspended").into_status());
            }
        };
        Ok(Response::new(pb::AuthorizeResponse { authorization_id, result }))
    }

    async fn resolve_authorization(
        &self,
        request: Request<pb::ResolveAuthorizationRequest>,
    ) -> Result<Response<pb::ResolveAuthorizationResponse>, Status> {
        let request = request.into_inner();
        let authorization_id = request.route.unwrap().authorization_id;
        let retry_after = Some(proto::time::duration_to_pb(Duration::from_millis(700)));
        let outcome = match self.manner {
            Manner::Pending => {
                let pending = pb::AuthorizationPending { retry_after, ..Default::default() };
                Some(pb::resolve_authorization_response::Outcome::Pending(pending))
            }
            Manner::OnlyQuestions => {
                Some(pb::resolve_authorization_response::Outcome::Result(self.tombstone(request.request.unwrap())))
            }
            Manner::Approve | Manner::NameAnother | Manner::SayNothing | Manner::Refuse | Manner::Silent => None,
        };
        Ok(Response::new(pb::ResolveAuthorizationResponse { authorization_id, outcome }))
    }
}

/// A free port of the loopback interface.
pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
