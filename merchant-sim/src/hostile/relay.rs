//! A platform that does not relay what it was given: a server with the platform's own certificate and key.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use mesh::access::{AccessTable, Rule};
use mesh::identity::Role;
use mesh::serve::{MESSAGE_BYTES_MAX, Server};
use mesh::tls::ServerTls;
use proto::pb;
use proto::pb::authorization_server::{Authorization, AuthorizationServer};
use proto::pb::resolve_authorization_response::Outcome;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::Line;
use crate::network::port;
use crate::shop::identity;
use crate::topology::Topology;

/// What it does with the next authorization request.
#[derive(Clone, Debug, Default)]
pub enum Trick {
    /// Relays it, and hands the answer back.
    #[default]
    None,
    /// Relays it, and changes one bit of what comes back.
    AlterResult,
    /// Relays it, and hands this answer back under the new id.
    Swap(pb::AuthorizeResponse),
    /// Relays it twice, and drops both answers.
    RepeatAndDrop,
    /// Keeps it, and hands this answer back under the new id.
    KeepAndSwap(pb::AuthorizeResponse),
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct HostileRelay {
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    acquirer: Line,
    trick: Mutex<Trick>,
    /// Every byte that passed.
    seen: Mutex<Vec<u8>>,
    questions: AtomicUsize,
}

impl HostileRelay {
    /// Serves where `branch` believes the platform to be.
    ///
    /// # Errors
    /// The port is taken, or the platform's files can't be used.
    pub async fn start(branch: &Topology) -> Result<Self> {
        let own = identity(branch, &branch.platform.tls)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&branch.platform.endpoint)?));
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let acquirer = Line::to_acquirer(branch, &branch.platform.tls)?;
        let shared = Arc::new(Shared {
            acquirer,
            trick: Mutex::default(),
            seen: Mutex::default(),
            questions: AtomicUsize::new(0),
        });
        let table = AccessTable::new([
            Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Issuer]),
            Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Issuer]),
        ]);
        let service =
            AuthorizationServer::new(Service(Arc::clone(&shared))).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let routes = tonic::service::Routes::new(service);
        let server = Server::grpc("hostile", listener, ServerTls::mutual(own)?, table, routes);
        let stop = CancellationToken::new();
        let serving = {
            let stop = stop.clone();
            async move {
                server.serve(stop).await;
            }
        };
        Ok(Self { shared, stop, server: tokio::spawn(serving) })
    }

    /// Does this with the next authorization request, and relays honestly again after it.
    pub fn next(&self, trick: Trick) {
        *self.shared.trick.lock().unwrap_or_else(PoisonError::into_inner) = trick;
    }

    /// How many questions it has relayed.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// Whether these bytes were anywhere in what it has seen.
    #[must_use]
    pub fn has_seen(&self, bytes: &[u8]) -> bool {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.windows(bytes.len().max(1)).any(|window| window == bytes)
    }
}

impl Drop for HostileRelay {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

impl Shared {
    fn see(&self, message: &impl prost::Message) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(message.encode_to_vec());
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl Authorization for Service {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        let shared = &self.0;
        let request = request.into_inner();
        shared.see(&request);
        let id = request.route.as_ref().map(|route| route.authorization_id.clone()).unwrap_or_default();
        let trick = std::mem::take(&mut *shared.trick.lock().unwrap_or_else(PoisonError::into_inner));
        let under_new_id = |answer| pb::AuthorizeResponse { authorization_id: id.clone(), ..answer };
        let answer = match trick {
            Trick::None => shared.acquirer.authorize(request).await?,
            Trick::AlterResult => {
                let mut answer = shared.acquirer.authorize(request).await?;
                if let Some(result) = &mut answer.result {
                    let mut body = result.body.to_vec();
                    // The last byte belongs to a value, so that the result stays well-formed.
                    if let Some(last) = body.last_mut() {
                        *last ^= 1;
                    }
                    result.body = body.into();
                }
                answer
            }
            Trick::Swap(other) => {
                let answer = shared.acquirer.authorize(request).await?;
                shared.see(&answer);
                under_new_id(other)
            }
            Trick::RepeatAndDrop => {
                for answer in
                    [shared.acquirer.authorize(request.clone()).await, shared.acquirer.authorize(request).await]
                {
                    shared.see(&answer?);
                }
                // No code that a bank would take for a passing trouble, so that it asks.
                return Err(Status::internal("the answer was dropped"));
            }
            Trick::KeepAndSwap(other) => under_new_id(other),
        };
        shared.see(&answer);
        Ok(Response::new(answer))
    }

    async fn resolve_authorization(
        &self,
        request: Request<pb::ResolveAuthorizationRequest>,
    ) -> Result<Response<pb::ResolveAuthorizationResponse>, Status> {
        let request = request.into_inner();
        self.0.see(&request);
        self.0.questions.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.acquirer.resolve(request).await?;
        self.0.see(&answer);
        let outcome = answer.result.map(Outcome::Result);
        Ok(Response::new(pb::ResolveAuthorizationResponse { authorization_id: answer.authorization_id, outcome }))
    }
}
