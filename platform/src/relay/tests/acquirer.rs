//! An acquirer that records what reaches it and answers as it is told.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use mesh::access::{AccessTable, Rule};
use mesh::identity::{Fingerprint, Role};
use mesh::serve::{Answer, Call, Drained, FramedMessage, Limits, Server, UnaryBytes, Workers};
use mesh::status::Refusal;
use mesh::telemetry::TraceContext;
use mesh::tls::{ServerTls, TlsIdentity};
use prost::Message as _;
use proto::pb;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;

use super::network::{Network, soon};
use crate::relay::{AUTHORIZE, RESOLVE, route};

/// What an acquirer does with a request.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    /// Answers for the authorization that was asked about.
    Answers,
    /// Answers for another one.
    AnswersForAnother,
    /// Answers with these bytes as the message.
    AnswersWith(Bytes),
    /// Refuses with a reason, details and a sentence of its own.
    Refuses,
    /// Answers the first request once this says so.
    AnswersAfter(Arc<Mutex<Option<oneshot::Receiver<()>>>>),
    /// Never answers.
    Silent,
    /// Stops altogether, so that not even its own deadline is kept, until the other end is dropped.
    Stuck(Arc<Mutex<Receiver<()>>>),
}

/// What reached it.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) rpc: &'static str,
    pub(super) peer: String,
    pub(super) certificate: Fingerprint,
    pub(super) message: Bytes,
    pub(super) left: Duration,
    pub(super) trace_id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Canned {
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    /// One permit for each request that has come.
    pub(super) arrived: Semaphore,
}

impl Canned {
    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl UnaryBytes for Canned {
    fn paths(&self) -> &'static [&'static str] {
        &[AUTHORIZE, RESOLVE]
    }

    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let message = call.message.message();
        let peer = call.peer.unwrap();
        self.received.lock().unwrap().push(Received {
            rpc: call.rpc,
            peer: peer.id.to_string(),
            certificate: peer.fingerprint,
            message: message.clone(),
            left: call.deadline.left(),
            trace_id: TraceContext::current().map(|trace| trace.trace_id()),
        });
        let behaviour = self.behaviour.lock().unwrap().clone();
        self.arrived.add_permits(1);
        if let Behaviour::Stuck(until) = &behaviour {
            let _gone = until.lock().unwrap().recv();
        }
        Box::pin(async move {
            let asked = route::of_request(message).unwrap().authorization.to_string();
            let answer = |authorization_id| {
                let result = pb::Signed { body: vec![8; 300].into(), ..pb::Signed::default() };
                framed(&pb::AuthorizeResponse { authorization_id, result: Some(result) }.encode_to_vec())
            };
            match behaviour {
                Behaviour::Answers => Answer::Message(answer(asked)),
                Behaviour::AnswersAfter(until) => {
                    let until = until.lock().unwrap().take();
                    until.unwrap().await.unwrap();
                    Answer::Message(answer(asked))
                }
                Behaviour::AnswersForAnother => Answer::Message(answer(format!("{asked}x"))),
                Behaviour::AnswersWith(message) => Answer::Message(framed(&message)),
                Behaviour::Refuses => Answer::Refused(
                    Refusal::new(
                        Code::Unauthenticated,
                        proto::reason::Reason::SignatureInvalid,
                        "a sentence of the acquirer's, 100 %",
                    )
                    .metadata("key", "value")
                    .retry_after(Duration::from_secs(3))
                    .into_status(),
                ),
                Behaviour::Silent | Behaviour::Stuck(_) => std::future::pending().await,
            }
        })
    }
}

fn framed(message: &[u8]) -> FramedMessage {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    FramedMessage::parse(frame.freeze()).unwrap()
}

/// An acquirer that runs.
pub(super) struct Acquirer {
    pub(super) address: SocketAddr,
    pub(super) canned: Arc<Canned>,
    identity: Arc<TlsIdentity>,
    served: JoinHandle<Drained>,
    stop: DropGuard,
}

impl Acquirer {
    /// With the certificate of `id`.
    pub(super) async fn start(network: &Network, id: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(network, id, listener).await
    }

    pub(super) async fn start_on(network: &Network, id: &str, listener: TcpListener) -> Self {
        let canned = Arc::new(Canned {
            behaviour: Mutex::new(Behaviour::Answers),
            received: Mutex::default(),
            arrived: Semaphore::new(0),
        });
        let table = AccessTable::new([AUTHORIZE, RESOLVE].map(|path| Rule::roles(path, &[Role::Platform])));
        let identity = network.identity(Role::Acquirer, id);
        let tls = ServerTls::mutual(Arc::clone(&identity)).unwrap();
        let server = Server::grpc("canned", listener, tls, table, tonic::service::Routes::default())
            .limits(Limits { drain: mesh::config::Period::new(Duration::ZERO), ..Limits::default() })
            .unary(Workers::start("canned", 1).unwrap(), vec![Arc::clone(&canned) as _]);
        let address = server.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.serve(stop.clone()));
        Self { address, canned, identity, served, stop: stop.drop_guard() }
    }

    /// Stops it as an operator does, and waits until its port is free.
    pub(super) async fn stopped(self) {
        drop(self.stop);
        soon("the end", self.served).await.unwrap();
    }

    /// How many relays' threads are connected.
    pub(super) fn connections(&self) -> usize {
        self.identity.connections().len()
    }
}
