//! What a change of files does to new and to live connections.

use crate::pki::{Authority, Files};
use crate::service::{HOLD, Network, WATCH, WHO, acquirer, ask, soon, watch};
use mesh::status::is_transport;
use mesh::tls::Reload;
use rustls_pki_types::ServerName;
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_revocation_ends_the_live_connection_and_no_other() {
    let network = Network::new();
    let running = network.serve().await;
    let revoked = network.channel(&running);
    let other = network.channel_of(&running, "merchant/shop-2");
    let mut revoked_stream = watch(&revoked, WATCH).await.expect("a stream");
    let mut other_stream = watch(&other, WATCH).await.expect("a stream");
    for stream in [&mut revoked_stream, &mut other_stream] {
        assert!(soon("an item", stream.message()).await.is_ok());
    }
    assert_eq!(network.server_identity.connections().len(), 2);

    let list = network.authority.revocations(&[network.merchant_leaf.serial]);
    network.server_files.write("crl.pem", &list);
    let reload = network.server_identity.reload().expect("a good list");
    assert_eq!(reload, Reload::Swapped { closed: 1 });

    let status = soon("the end", revoked_stream.message()).await.expect_err("the connection must end");
    assert!(is_transport(&status), "{status}");
    let again = ask(&revoked, WHO).await.expect_err("revoked");
    assert!(is_transport(&again), "{again}");
    assert!(ask(&other, WHO).await.is_ok());
}

#[tokio::test]
async fn the_watch_notices_a_revocation_by_itself() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let mut stream = watch(&channel, WATCH).await.expect("a stream");
    soon("an item", stream.message()).await.expect("an item");
    let stop = CancellationToken::new();
    let watching = tokio::spawn(Arc::clone(&network.server_identity).watch(stop.clone()));
    let list = network.authority.revocations(&[network.merchant_leaf.serial]);
    network.server_files.write("crl.pem", &list);
    let within = Duration::from_secs(5);
    tokio::time::timeout(within, stream.message())
        .await
        .expect("within five seconds")
        .expect_err("the connection must end");
    stop.cancel();
    soon("the watch", watching).await.expect("no panic");
}

#[tokio::test]
async fn an_expired_or_unwelcome_peer_is_disconnected() {
    let network = Network::new();
    let running = network.serve().await;
    let connections = network.server_identity.connections();
    let channel = network.channel(&running);
    ask(&channel, WHO).await.expect("connected");
    assert_eq!(connections.close_expired(SystemTime::now()), 0);
    assert_eq!(connections.close_where(|peer| peer.id.member().as_str() == "shop-2"), 0);
    let in_two_hours = SystemTime::now() + Duration::from_secs(7_200);
    assert_eq!(connections.close_expired(in_two_hours), 1);
    soon("leaving the registry", async {
        while !connections.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Its certificate is good, so that it may come back.
    soon("coming back", async { while ask(&channel, WHO).await.is_err() {} }).await;
    assert_eq!(connections.close_where(|peer| peer.id.member().as_str() == "shop-1"), 1);
}

#[tokio::test]
async fn a_server_changes_its_certificate_while_calls_are_in_flight() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let held = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel, HOLD).await }
    });
    let begun = soon("the call", running.trial.begun.acquire()).await;
    begun.expect("open").forget();

    let fresh = network.authority.member("acquirer/acq-1");
    network.server_files.write_leaf(&fresh);
    let list = network.authority.revocations(&[network.server_leaf.serial]);
    network.merchant_files.write("crl.pem", &list);
    let reload = network.server_identity.reload().expect("a good pair");
    assert_eq!(reload, Reload::Swapped { closed: 0 });
    network.merchant_identity.reload().expect("a good list");

    // A new connection meets the new certificate: the old one would be refused as revoked.
    ask(&channel, WHO).await.expect("the new certificate");
    running.trial.release.notify_one();
    let answer = soon("the held call", held).await.expect("no panic");
    assert_eq!(answer.expect("finished on the old connection"), "released");
}

#[tokio::test]
async fn a_client_changes_its_certificate_for_the_next_call() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    assert!(ask(&channel, WHO).await.expect("an answer").ends_with("/shop-1"));
    network.merchant_files.write_leaf(&network.authority.member("merchant/shop-7"));
    network.merchant_identity.reload().expect("a good pair");
    assert!(ask(&channel, WHO).await.expect("an answer").ends_with("/shop-7"));
}

#[tokio::test]
async fn bad_files_are_refused_and_the_old_ones_stay_in_use() {
    let network = Network::new();
    let running = network.serve().await;
    let identity = &network.server_identity;
    let other = Authority::new("another network");
    let good_list = network.authority.revocations(&[]);

    assert_eq!(identity.reload().expect("same"), Reload::Unchanged);
    network.server_files.write("own.pem", "half a certifi");
    assert!(identity.reload().is_err());
    network.server_files.write_leaf(&other.member("acquirer/acq-1"));
    assert!(identity.reload().is_err());
    network.server_files.write_leaf(&network.server_leaf);
    network.server_files.write("crl.pem", "not a list");
    assert!(identity.reload().is_err());
    network.server_files.write("crl.pem", &good_list);

    assert_eq!(identity.generation(), 0);
    ask(&network.channel(&running), WHO).await.expect("still serving");
}

#[test]
fn a_list_that_judges_nobody_of_ours_is_refused() {
    let authority = Authority::new("network");
    let own = authority.member("acquirer/acq-1");
    let files = Files::new(&authority, &own).with_revocations(&authority.revocations(&[]));
    let identity = files.identity();
    // Another network's list, and one of an impostor who only has our authority's name.
    for stranger in ["another network", "network"] {
        files.write("crl.pem", &Authority::new(stranger).revocations(&[]));
        let refused = identity.reload().expect_err("it says nothing about our members");
        assert!(refused.to_string().contains("crl.pem"), "{refused}");
        assert_eq!(identity.generation(), 0);
    }
    files.write("crl.pem", &authority.revocations(&[7]));
    assert_eq!(identity.reload().expect("our own list"), Reload::Swapped { closed: 0 });
}

#[test]
fn reloads_at_one_time_swap_once() {
    let authority = Authority::new("network");
    let own = authority.member("acquirer/acq-1");
    let files = Files::new(&authority, &own).with_revocations(&authority.revocations(&[]));
    let identity = files.identity();
    files.write("crl.pem", &authority.revocations(&[7]));
    let together = Barrier::new(8);
    let reload = || {
        together.wait();
        identity.reload().expect("a good list")
    };
    let swapped = std::thread::scope(|scope| {
        let reloads: Vec<_> = (0..8).map(|_| scope.spawn(reload)).collect();
        let outcomes = reloads.into_iter().map(|reload| reload.join().expect("no panic"));
        outcomes.filter(|reload| *reload != Reload::Unchanged).count()
    });
    assert_eq!((swapped, identity.generation()), (1, 1));
}

#[test]
fn our_own_revocation_does_not_keep_us_from_refusing_others() {
    let authority = Authority::new("network");
    let own = authority.member("acquirer/acq-1");
    let files = Files::new(&authority, &own).with_revocations(&authority.revocations(&[]));
    let identity = files.identity();
    files.write("crl.pem", &authority.revocations(&[own.serial]));
    assert_eq!(identity.reload().expect("in use"), Reload::Swapped { closed: 0 });
    assert!(files.load().is_err(), "a fresh start with it is refused");
}

#[tokio::test]
async fn a_handshake_begun_before_a_revocation_gains_nothing_by_it() {
    let network = Network::new();
    let running = network.serve().await;
    let stream = TcpStream::connect(running.address).await.expect("a connection");
    // The server takes its configuration for this handshake as soon as it has accepted. This runtime
    // has one thread, so that its task has run once we have yielded to it a few times.
    soon("accepting", async {
        while !running.metrics.exposition().contains("bankside_connections_open{port=\"trial\"} 1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let list = network.authority.revocations(&[network.merchant_leaf.serial]);
    network.server_files.write("crl.pem", &list);
    let reload = network.server_identity.reload().expect("a good list");
    assert_eq!(reload, Reload::Swapped { closed: 0 }, "it is in no registry yet");

    let config = network.merchant_identity.client_config(&acquirer()).expect("a member");
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let mut stream = soon("the handshake", connecting).await.expect("the old list still lets it in");
    let error = soon("the end", stream.read_u8()).await.expect_err("and then it is over");
    assert!(!error.to_string().contains("CertificateRevoked"), "refused too early: {error}");
    assert!(network.server_identity.connections().is_empty());
}
