//! The hostile platform: a server with a genuine platform's certificates that does with every message
//! whatever the attack on that order says, and remembers all that it saw.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::{
    network::Network,
    roles::PLATFORM,
    wait::{PATIENCE, soon},
};
use bytes::Bytes;
use mesh::{
    access::{AccessTable, Rule},
    channel::{MeshChannel, within},
    identity::Role,
    serve::Server,
    status::reason_of,
    tls::ServerTls,
};
use prost::Message as _;
use proto::pb::{
    self, authorization_client::AuthorizationClient, authorization_server::AuthorizationServer,
    bank_directory_server::BankDirectoryServer,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, service::Routes};

use super::{
    book::Book,
    loot::Loot,
    messages::{Answered, Asked, Rpc},
};

/// What an attack does with the messages about one order.
#[tonic::async_trait]
pub(crate) trait Trick: Send + Sync {
    /// Answers a request or question that an issuer sent.
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status>;
}

/// Does what an honest platform does.
pub(crate) struct Honest;

#[tonic::async_trait]
impl Trick for Honest {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        hostile.forward(&asked).await
    }
}

/// The attack on one order, and how far it has come.
pub(crate) struct Game {
    trick: Mutex<Arc<dyn Trick>>,
    /// How many messages about the order have come from issuers.
    asked: watch::Sender<u32>,
    /// What the acquirer said to the first request that was put to it, in a word.
    said: Mutex<Option<String>>,
}

impl Game {
    /// Waits until issuers have sent so many messages about the order.
    pub(crate) async fn asked(&self, times: u32) {
        let mut asked = self.asked.subscribe();
        soon("the issuer's next message", asked.wait_for(|count| *count >= times)).await.unwrap();
    }

    /// Changes the attack; an honest one ends it.
    pub(crate) fn play(&self, trick: Arc<dyn Trick>) {
        *self.trick.lock().unwrap() = trick;
    }

    /// What the acquirer said to the first request that was put to it, in a word.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone().unwrap_or_else(|| "nothing".to_owned())
    }
}

/// The hostile platform. Clones are one.
#[derive(Clone)]
pub(crate) struct Hostile(Arc<Parts>);

struct Parts {
    loot: Loot,
    book: Book,
    acquirer: AuthorizationClient<MeshChannel>,
    games: Mutex<HashMap<Bytes, Arc<Game>>>,
    seen: Mutex<Vec<Bytes>>,
}

/// A hostile platform that serves.
pub(crate) struct Serving {
    pub(crate) hostile: Hostile,
    _stop: DropGuard,
}

impl Hostile {
    /// Serves on the members' port, in front of the acquirer at that address.
    pub(crate) fn serve(
        network: &Network,
        listener: TcpListener,
        acquirer: (&str, SocketAddr),
        loot: Loot,
        book: Book,
    ) -> Serving {
        let identity = network.identity(Role::Platform, PLATFORM);
        let channel = network.channel((Role::Platform, PLATFORM), (Role::Acquirer, acquirer.0), acquirer.1);
        let hostile = Self(Arc::new(Parts {
            loot,
            book,
            acquirer: AuthorizationClient::new(channel),
            games: Mutex::default(),
            seen: Mutex::default(),
        }));
        let table = AccessTable::new([
            Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Issuer]),
            Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Issuer]),
            Rule::roles("/bankside.v1.BankDirectory/WatchBanks", &[Role::Acquirer, Role::Issuer]).stream(),
        ]);
        let routes = Routes::default()
            .add_service(AuthorizationServer::new(hostile.clone()))
            .add_service(BankDirectoryServer::new(hostile.0.book.clone()));
        let server = Server::grpc("members", listener, ServerTls::mutual(identity).unwrap(), table, routes);
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        Serving { hostile, _stop: stop.drop_guard() }
    }

    pub(crate) fn loot(&self) -> &Loot {
        &self.0.loot
    }

    pub(crate) fn book(&self) -> &Book {
        &self.0.book
    }

    /// Begins an attack on the messages about an order.
    pub(crate) fn attack(&self, order_digest: Bytes, trick: Arc<dyn Trick>) -> Arc<Game> {
        let game = Arc::new(Game { trick: Mutex::new(trick), asked: watch::Sender::new(0), said: Mutex::default() });
        self.0.games.lock().unwrap().insert(order_digest, Arc::clone(&game));
        game
    }

    /// Puts a message to the acquirer, as it is, and returns its answer.
    pub(crate) async fn forward(&self, asked: &Asked) -> Result<Answered, Status> {
        let answered = self.ask(asked).await;
        if let Ok(answered) = &answered {
            self.remember(answered.to_bytes(asked.rpc));
        }
        answered
    }

    async fn ask(&self, asked: &Asked) -> Result<Answered, Status> {
        let mut acquirer = self.0.acquirer.clone();
        match asked.rpc {
            Rpc::Authorize => {
                let answer = acquirer.authorize(within(asked.to_authorize(), PATIENCE)).await;
                Ok(answer?.into_inner().into())
            }
            Rpc::Resolve => {
                let answer = acquirer.resolve_authorization(within(asked.to_resolve(), PATIENCE)).await;
                Ok(answer?.into_inner().into())
            }
        }
    }

    /// As [`Hostile::forward`], and notes what the acquirer says to a request in the order's game.
    pub(crate) async fn put(&self, game: &Game, asked: &Asked) -> Result<Answered, Status> {
        let answered = self.forward(asked).await;
        if asked.rpc == Rpc::Authorize {
            let word = match &answered {
                Ok(answered) => answered.in_a_word(),
                Err(status) => reason_of(status).unwrap_or_else(|| format!("{:?}", status.code())),
            };
            game.said.lock().unwrap().get_or_insert(word);
        }
        answered
    }

    /// The attack on the order that a message is about.
    pub(crate) fn game(&self, asked: &Asked) -> Arc<Game> {
        let games = self.0.games.lock().unwrap();
        games.get(&asked.route.order_digest).map(Arc::clone).expect("a message about an order that nobody attacks")
    }

    /// Everything that came from issuers and from the acquirer.
    pub(crate) fn seen(&self) -> Vec<Bytes> {
        self.0.seen.lock().unwrap().clone()
    }

    fn remember(&self, bytes: Vec<u8>) {
        self.0.seen.lock().unwrap().push(bytes.into());
    }

    async fn relay(&self, asked: Asked) -> Result<Answered, Status> {
        let game = self.game(&asked);
        game.asked.send_modify(|count| *count += 1);
        let trick = Arc::clone(&game.trick.lock().unwrap());
        trick.relay(self, asked).await
    }
}

#[tonic::async_trait]
impl pb::authorization_server::Authorization for Hostile {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        self.remember(request.get_ref().encode_to_vec());
        let asked = Asked::from(request.into_inner());
        Ok(Response::new(self.relay(asked).await?.into_authorize()))
    }

    async fn resolve_authorization(
        &self,
        request: Request<pb::ResolveAuthorizationRequest>,
    ) -> Result<Response<pb::ResolveAuthorizationResponse>, Status> {
        self.remember(request.get_ref().encode_to_vec());
        let asked = Asked::from(request.into_inner());
        Ok(Response::new(self.relay(asked).await?.into_resolve()))
    }
}
