//! Acquirers that are not there, come back, move, or are somebody else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh::identity::Role;
use proto::reason::Reason;
use tokio::net::TcpListener;
use tonic::Code;

use super::acquirer::{Acquirer, Behaviour};
use super::network::{AURORA, HARBOR, Network, Terms, assert_refused, authorize, resolve, soon};
use crate::relay::RelayLimits;

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_acquirer_that_is_away_is_refused_at_once_and_used_again_when_it_is_back() {
    let network = Network::new();
    let address = free_address().await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(address))]);
    let relaying = network.relay(directory, RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let route = network.route();
    assert_refused(authorize(&aurora, &route).await, Code::Unavailable, Reason::AcquirerUnreachable);
    assert_eq!(relaying.count(Reason::AcquirerUnreachable), 1);

    let acquirer = Acquirer::start_on(&network, HARBOR, TcpListener::bind(address).await.unwrap()).await;
    soon("the acquirer's return", async {
        while authorize(&aurora, &route).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(acquirer.canned.received().len(), 1, "nothing is sent twice");
}

#[tokio::test]
async fn an_acquirer_that_goes_in_the_middle_leaves_the_outcome_unknown() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(acquirer.address))]);
    let relaying = network.relay(directory, RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    acquirer.canned.behave(Behaviour::Silent);
    let call = {
        let (aurora, route) = (aurora.clone(), network.route());
        tokio::spawn(async move { authorize(&aurora, &route).await })
    };
    soon("the request", acquirer.canned.arrived.acquire()).await.unwrap().forget();
    assert_eq!(acquirer.canned.received().len(), 1);
    drop(acquirer);
    assert_refused(call.await.unwrap(), Code::Unavailable, Reason::AcquirerUnreachable);
}

#[tokio::test]
async fn an_acquirer_that_moves_is_followed() {
    let network = Network::new();
    let (old, new) = (Acquirer::start(&network, HARBOR).await, Acquirer::start(&network, HARBOR).await);
    let at = |address| network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(address))]);
    let relaying = network.relay(at(old.address), RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    authorize(&aurora, &network.route()).await.unwrap();
    relaying.directory.replace(at(new.address));
    authorize(&aurora, &network.route()).await.unwrap();
    assert_eq!((old.canned.received().len(), new.canned.received().len()), (1, 1));
}

#[tokio::test]
async fn a_server_with_another_acquirers_certificate_gets_nothing() {
    let network = Network::new();
    let impostor = Acquirer::start(&network, "acq-pirate").await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(impostor.address))]);
    let relaying = network.relay(directory, RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    assert_refused(authorize(&aurora, &network.route()).await, Code::Unavailable, Reason::AcquirerUnreachable);
    assert!(impostor.canned.received().is_empty());
}

#[tokio::test]
async fn it_is_connected_before_the_first_request() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(acquirer.address))]);
    let limits = RelayLimits { threads: 2, ..RelayLimits::default() };
    let _relaying = network.relay(directory, limits).await;
    soon("a connection from each thread", async {
        while acquirer.connections() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(acquirer.canned.received().is_empty());
}

#[tokio::test]
async fn an_acquirer_that_says_goodbye_is_left_for_its_successor_at_the_same_address() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let address = acquirer.address;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(address))]);
    let relaying = network.relay(directory, RelayLimits { threads: 1, ..RelayLimits::default() }).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    authorize(&aurora, &network.route()).await.unwrap();
    acquirer.stopped().await;
    let successor = Acquirer::start_on(&network, HARBOR, TcpListener::bind(address).await.unwrap()).await;
    soon("the successor", async {
        while authorize(&aurora, &network.route()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(successor.canned.received().len(), 1, "nothing is sent twice");
}

#[tokio::test]
async fn a_new_certificate_is_shown_on_the_next_connection_while_calls_on_the_old_one_finish() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(acquirer.address))]);
    let relaying = network.relay(directory, RelayLimits { threads: 1, ..RelayLimits::default() }).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let (hold, until) = tokio::sync::oneshot::channel();
    acquirer.canned.behave(Behaviour::AnswersAfter(Arc::new(Mutex::new(Some(until)))));
    let held = {
        let (aurora, route) = (aurora.clone(), network.route());
        tokio::spawn(async move { authorize(&aurora, &route).await })
    };
    soon("the request", acquirer.canned.arrived.acquire()).await.unwrap().forget();
    let old = acquirer.canned.received()[0].certificate;
    acquirer.canned.behave(Behaviour::Answers);

    network.renew(&relaying);
    soon("the new certificate", async {
        loop {
            // A question, because this may take more of them than a bank may start authorizations.
            resolve(&aurora, &network.route()).await.unwrap();
            if acquirer.canned.received().last().unwrap().certificate != old {
                return;
            }
        }
    })
    .await;
    hold.send(()).unwrap();
    held.await.unwrap().unwrap();
}
