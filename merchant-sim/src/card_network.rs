//! A card network as a process of its own, for everything that a test card inside the acquirer can't show: one
//! that is slow, silent, late, answers twice, declines, loses messages, or dies in the middle.
//!
//! It speaks the contract `CardNetwork` on its line and keeps every authorization in a ledger on disk. What it
//! decides follows from the card, by the rules and test cards of `acquirer::network`. What it does wrong is told
//! to it on its control port, by `CardNetworkSimulation`; the faults die with the process, and the ledger does not.
//!
//! At the end of a run its ledger is what an auditor compares with the acquirer's orders: by
//! `ListAuthorizations` no approval stands there that belongs to no approved order.
//!
//! It is started as `merchant-sim role card-network --config FILE`. The file:
//!
//! ```toml
//! [listen.line]
//! address = "127.0.0.1:7600"
//! [listen.control]             # a loopback address
//! address = "127.0.0.1:7601"
//! [store]
//! folder = "data"
//! # With mutual TLS the line serves acquirers of the card network's own authority; without it, a loopback address.
//! # trust_domain = "cards.example"   (above the tables)
//! # [tls]
//! # certificate = "server.pem"       spiffe://cards.example/platform/<member>
//! # key = "server.key"
//! # authority = "ca.pem"
//! ```

mod config;
mod control;
mod faults;
mod ledger;
mod repeat;
mod service;

pub use config::CardNetworkConfig;
pub use ledger::{Asked, Entry, Id, Ledger, LedgerError, State, Verdict};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh::access::{AccessTable, Rule};
use mesh::boot::{self, Failure};
use mesh::identity::Role;
use mesh::serve::Server;
use mesh::store::sled::{Options, SledStore};
use mesh::tls::{ServerTls, TlsIdentity};
use proto::pb::card_network_server::CardNetworkServer;
use proto::pb::card_network_simulation_server::CardNetworkSimulationServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use control::Control;
use faults::Faults;
use repeat::Repeating;
use service::Line;

/// How long calls may go on once the process is asked to stop. A silent one would go on for ever.
const GRACE: Duration = Duration::from_millis(200);

/// Runs the card network until it is asked to stop, or told to die.
///
/// # Errors
/// [`Failure`], which names the field or the file where one is at fault.
pub async fn run(config: CardNetworkConfig, mut boot: boot::Context) -> Result<(), Failure> {
    let identity = match &config.tls {
        Some(files) => {
            let domain = config.trust_domain.clone();
            let domain = domain.ok_or_else(|| Failure::Config("field `trust_domain`: must be set".to_owned()))?;
            Some(TlsIdentity::load(files, domain)?)
        }
        None => None,
    };
    let folder = config.store.folder.clone();
    let options = Options::new("card-network").cache_bytes(u64::from(config.store.cache_mib) * 1024 * 1024);
    let opening = folder.clone();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(opening, options)).await;
    let store = match opened {
        Ok(opened) => Arc::new(opened.map_err(|error| Failure::data_folder(folder, &error))?),
        Err(_) => return Err(Failure::DataFolder { folder, problem: "opening it panicked".to_owned() }),
    };
    let ledger = Ledger::new(store, Arc::clone(&boot.clock));
    let faults = Arc::new(Faults::default());

    let line = Line::new(ledger.clone(), Arc::clone(&faults), Arc::clone(&boot.clock), identity.is_some());
    let line_routes = Routes::new(Repeating::new(CardNetworkServer::new(line)));
    let control_routes = Routes::new(CardNetworkSimulationServer::new(Control::new(faults)));
    let (line, control) = (boot.listeners.take("listen.line")?, boot.listeners.take("listen.control")?);
    boot.ready();
    let stop = &boot.stop;
    match identity {
        Some(identity) => {
            let server = Server::grpc("line", line, ServerTls::mutual(identity)?, table(), line_routes);
            let serving = async {
                let _ = server.serve(stop.clone()).await;
            };
            tokio::join!(within_grace(serving, stop), plain(control, control_routes, stop));
        }
        None => {
            tokio::join!(plain(line, line_routes, stop), plain(control, control_routes, stop));
        }
    }
    ledger.close().await;
    Ok(())
}

fn table() -> AccessTable {
    const ACQUIRERS: &[Role] = &[Role::Acquirer];
    AccessTable::new([
        Rule::roles("/bankside.v1.CardNetwork/Authorize", ACQUIRERS),
        Rule::roles("/bankside.v1.CardNetwork/Inquire", ACQUIRERS),
        Rule::roles("/bankside.v1.CardNetwork/Reverse", ACQUIRERS),
        Rule::roles("/bankside.v1.CardNetwork/ListAuthorizations", ACQUIRERS),
    ])
}

/// Serves without TLS, which is right on a loopback address alone; the configuration has checked that.
async fn plain(listener: TcpListener, routes: Routes, stop: &CancellationToken) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_routes(routes);
    let serving = async {
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, stop.cancelled()).await {
            tracing::error!(%error, "a port has failed");
        }
    };
    within_grace(serving, stop).await;
}

async fn within_grace(serving: impl Future<Output = ()>, stop: &CancellationToken) {
    let cut = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = serving => {}
        () = cut => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_rpc_of_the_line_has_a_row() {
        assert_eq!(table().differences(proto::FILE_DESCRIPTOR_SET).unwrap(), Vec::<String>::new());
    }
}
