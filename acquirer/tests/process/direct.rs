//! Without a platform: an order over the wire, and a restart.

use std::{fs, time::SystemTime};

use certs::authority::LeafRequest;
use mesh::{channel::within, identity::Role, status::reason_of};
use prost::Message as _;
use proto::pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::site::{Running, Site, WAIT, wish};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_made_over_the_wire_and_found_after_a_restart() {
    let site = Site::new();
    let acquirer = Running::start(&site).await;
    let mut orders = acquirer.orders(&site, "shop-books");
    let made = orders.create_order(within(wish(), WAIT)).await.unwrap().into_inner();
    assert!(acquirer.page.port() > 0);

    let stranger = acquirer.orders(&site, "shop-none").create_order(within(wish(), WAIT)).await;
    assert_eq!(reason_of(&stranger.unwrap_err()).as_deref(), Some("MERCHANT_UNKNOWN"));
    acquirer.stop().await;

    let acquirer = Running::start(&site).await;
    let mut orders = acquirer.orders(&site, "shop-books");
    let again = orders.create_order(within(wish(), WAIT)).await.unwrap().into_inner();
    assert_eq!(again, made, "the same wish gives the same order, byte for byte");
    let order_id = again.order.unwrap().order_id;
    let cancel = pb::CancelOrderRequest { order_id };
    let cancelled = orders.cancel_order(within(cancel, WAIT)).await.unwrap().into_inner();
    assert_eq!(cancelled.outcome(), pb::CancelOutcome::Cancelled);
    let watch = tonic::Request::new(pb::WatchOrdersRequest::default());
    let mut events = orders.watch_orders(watch).await.unwrap().into_inner();
    let event = tokio::time::timeout(WAIT, events.message()).await.expect("an event in time").unwrap().unwrap();
    let event = pb::OrderEvent::decode(event.event.unwrap().body).unwrap();
    assert_eq!((event.position, event.state()), (1, pb::OrderState::Cancelled));
    drop(events);
    acquirer.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_together_is_named() {
    let site = Site::new();
    let certs = site.path().join("certs");
    fs::remove_file(certs.join("signing.pem")).unwrap();
    fs::remove_file(certs.join("signing.key")).unwrap();
    let other = LeafRequest::signing(Role::Acquirer, "acquirer-two".parse().unwrap());
    site.authority.issue(&other, SystemTime::now()).unwrap().save(&certs).unwrap();
    let failure = Running::start(&site).await.role.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("`signing.certificate`"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_read_on_a_port_of_their_own() {
    let site = Site::new();
    let acquirer = Running::start(&site).await;
    assert_eq!(acquirer.admin, None, "the sample has no such port");
    acquirer.stop().await;

    site.configure(&site.config().replace("#[listen.admin]\n#address", "[listen.admin]\naddress"));
    let acquirer = Running::start(&site).await;
    acquirer.orders(&site, "shop-books").create_order(within(wish(), WAIT)).await.unwrap();
    let mut numbers = TcpStream::connect(acquirer.admin.unwrap()).await.unwrap();
    numbers.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(WAIT, numbers.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("bankside_requests_answered_total{port=\"members\"} 1\n"),
        "{text}"
    );
    acquirer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_speaks_plain_http_on_loopback_and_tells_of_a_cancellation_at_once() {
    let site = Site::new();
    site.configure(&site.config().replace("# tls = \"none\"", "tls = \"none\""));
    let acquirer = Running::start(&site).await;
    let mut orders = acquirer.orders(&site, "shop-books");
    let made = orders.create_order(within(wish(), WAIT)).await.unwrap().into_inner();
    let order_id = made.order.unwrap().order_id;

    let mut page = TcpStream::connect(acquirer.page).await.unwrap();
    let get = |path: &str| format!("GET /pay/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    page.write_all(get(&order_id).as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(WAIT, page.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("data-state=\"open\""), "{text}");

    let mut events = TcpStream::connect(acquirer.page).await.unwrap();
    events.write_all(get(&format!("{order_id}/events")).as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut until = async |what: &str| {
        while !told.contains(what) {
            let mut bytes = [0; 1024];
            let count = tokio::time::timeout(WAIT, events.read(&mut bytes)).await.expect("an event in time").unwrap();
            assert!(count > 0, "the stream ended before {what}: {told}");
            told.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    };
    until("data: open.0").await;
    orders.cancel_order(within(pb::CancelOrderRequest { order_id }, WAIT)).await.unwrap();
    until("data: cancelled.0").await;
    acquirer.stop().await;
}

#[tokio::test]
async fn a_signing_certificate_that_the_directory_lacks_is_named_at_the_start() {
    let site = Site::new();
    let directory = site.path().join("directory.binpb");
    let without_us = pb::DirectoryFile { entries: site.directory.entries[1..].to_vec(), ..site.directory.clone() };
    fs::write(&directory, without_us.encode_to_vec()).unwrap();
    let failure = Running::start(&site).await.role.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("no entry of acquirer-one"), "{failure}");

    fs::write(&directory, site.directory.encode_to_vec()).unwrap();
    let certs = site.path().join("certs");
    fs::remove_file(certs.join("signing.pem")).unwrap();
    fs::remove_file(certs.join("signing.key")).unwrap();
    let newer = LeafRequest::signing(Role::Acquirer, "acquirer-one".parse().unwrap());
    site.authority.issue(&newer, SystemTime::now()).unwrap().save(&certs).unwrap();
    let failure = Running::start(&site).await.role.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("`signing.certificate`"), "{failure}");
    assert!(failure.to_string().contains("have the operator sign an entry with this certificate"), "{failure}");
}
