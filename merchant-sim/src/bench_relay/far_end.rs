//! The far end: an acquirer that answers at once with the same bytes, whatever it is asked.

use std::future::{self, Future};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mesh::access::{AccessTable, Rule};
use mesh::identity::Role;
use mesh::serve::{Answer, Call, FramedMessage, Server, UnaryBytes, Workers};
use mesh::tls::ServerTls;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

use super::load::AUTHORIZE;
use super::members::Members;
use super::messages;

/// Threads of the far end, as many as a relay has on the two processors that the figures are for.
const THREADS: usize = 2;

/// The far end, as long as this lives.
#[derive(Debug)]
pub(super) struct FarEnd {
    pub(super) port: u16,
    _stop: DropGuard,
}

impl FarEnd {
    /// Starts it in this process.
    ///
    /// # Errors
    /// There is no port or no thread for it.
    pub(super) async fn start(members: &Members) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the far end")?;
        let port = listener.local_addr()?.port();
        let tls = ServerTls::mutual(members.acquirer_identity()?)?;
        let table = AccessTable::new([Rule::roles(AUTHORIZE, &[Role::Platform, Role::Issuer])]);
        let message = FramedMessage::parse(messages::answer())?;
        let canned = Arc::new(Canned { answer: message });
        let services = (0..THREADS).map(|_| Arc::clone(&canned) as Arc<dyn UnaryBytes>).collect();
        let server = Server::grpc("far-end", listener, tls, table, Routes::default())
            .unary(Workers::start("far-end", THREADS)?, services);
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        Ok(Self { port, _stop: stop.drop_guard() })
    }
}

#[derive(Debug)]
struct Canned {
    answer: FramedMessage,
}

impl UnaryBytes for Canned {
    fn paths(&self) -> &'static [&'static str] {
        &[AUTHORIZE]
    }

    fn call(self: Arc<Self>, _call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(future::ready(Answer::Message(self.answer.clone())))
    }
}
