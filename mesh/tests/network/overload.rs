//! More than a port takes: what has no room is refused at once and cheaply, and what nobody waits for any
//! more isn't begun.

use crate::raw::{HEADERS, Raw, request};
use crate::service::{ECHO, HOLD, Network, ONWARD, Running, SPIN, WHO, ask, call, soon};
use mesh::channel::within;
use mesh::config::Period;
use mesh::serve::Limits;
use mesh::status::{is_transport, reason_of, retry_after_of};
use proto::reason::Reason;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn number(running: &Running, name: &str) -> u64 {
    let numbers = running.metrics.exposition();
    let line = numbers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.trim().parse().expect("a number")
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let network = Network::new();
    let running = network.serve_with(Limits { connections_per_address_max: 2, ..Limits::default() }).await;
    let channels = [network.channel(&running), network.channel(&running)];
    for channel in &channels {
        ask(channel, ECHO).await.expect("room");
    }
    let third = network.channel(&running);
    let status = ask(&third, ECHO).await.expect_err("too many");
    assert!(is_transport(&status), "{status}");
    assert!(number(&running, "bankside_connections_refused_total{port=\"trial\",reason=\"address\"}") >= 1);
    drop(channels);
    soon("room again", async { while ask(&third, ECHO).await.is_err() {} }).await;
}

#[tokio::test]
async fn handshakes_under_way_are_bounded() {
    let network = Network::new();
    let limits = Limits { handshakes_max: 1, handshake: Period::new(Duration::from_secs(60)), ..Limits::default() };
    let running = network.serve_with(limits).await;
    let silent = TcpStream::connect(running.address).await.expect("a connection");
    let mut second = TcpStream::connect(running.address).await.expect("a connection");
    assert_eq!(soon("the end", second.read(&mut [0])).await.expect("an orderly end"), 0);
    assert_eq!(number(&running, "bankside_connections_refused_total{port=\"trial\",reason=\"handshakes\"}"), 1);
    drop(silent);
    let channel = network.channel(&running);
    soon("room again", async { while ask(&channel, ECHO).await.is_err() {} }).await;
    // A connection whose handshake is over takes up no such place.
    ask(&network.channel(&running), ECHO).await.expect("room");
}

#[tokio::test]
async fn health_has_room_of_its_own_and_not_without_end() {
    let network = Network::new();
    let running = network.serve_with(Limits { open_calls_max: 2, ..Limits::default() }).await;
    let channel = network.channel(&running);
    let mut health = HealthClient::new(channel.clone());
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut watch = health.watch(HealthCheckRequest::default()).await.expect("room").into_inner();
        soon("a change", watch.message()).await.expect("a change");
        watches.push(watch);
    }
    let status = health.check(HealthCheckRequest::default()).await.expect_err("full");
    assert_eq!((status.code(), reason_of(&status).as_deref()), (Code::ResourceExhausted, Some("OVERLOADED")));
    assert!(retry_after_of(&status).is_some());
    ask(&channel, ECHO).await.expect("ordinary calls have room of their own");
    watches.pop();
    soon("room again", async { while health.check(HealthCheckRequest::default()).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_call_whose_caller_has_stopped_waiting_is_not_begun() {
    let network = Network::new();
    let running = network.serve().await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    raw.send(&request(1, HOLD, Some("1n"), "hello")).await.expect("sent");
    raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == 1).await;
    assert_eq!(number(&running, "bankside_requests_stale_total{port=\"trial\"}"), 1);
    assert_eq!(running.trial.begun.available_permits(), 0);
}

#[tokio::test]
async fn our_client_sends_no_call_without_time() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let status = call(&channel, HOLD, within(String::new(), Duration::ZERO)).await.expect_err("no time");
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::DeadlineExceeded.as_wire()), "{status}");
    assert_eq!(running.trial.begun.available_permits(), 0);
    assert!(network.server_identity.connections().is_empty(), "it did not even connect");
}

#[tokio::test]
async fn what_is_left_of_the_time_goes_on_to_the_next_hop() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    running.trial.onward.set(channel.clone()).expect("set once");
    // The handler asks for twenty seconds of its own.
    let request = within(String::new(), Duration::from_secs(5));
    let left: u64 = call(&channel, ONWARD, request).await.expect("an answer").parse().expect("milliseconds");
    assert!((2_000..=5_000).contains(&left), "{left}");
    // Without a deadline of the caller's it is the port's.
    let left: u64 = call(&channel, ONWARD, Request::new(String::new())).await.expect("an answer").parse().expect("ms");
    assert!((7_000..=10_000).contains(&left), "{left}");
}

/// The runtime of this test has one thread, so that a handler that spins keeps the next call waiting.
#[tokio::test]
async fn a_call_that_waited_too_long_for_a_thread_is_shed() {
    let network = Network::new();
    let wait = Period::new(Duration::from_millis(5));
    let limits = Limits { queue_wait: wait, queue_wait_burst: wait, ..Limits::default() };
    let running = network.serve_with(limits).await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    raw.send(&[request(1, SPIN, None, "50"), request(3, WHO, None, "x")].concat()).await.expect("sent");
    let refused = raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == 3).await;
    // A head that is the end as well.
    assert_eq!(refused.flags & 1, 1);
    assert_eq!(number(&running, "bankside_requests_shed_total{port=\"trial\"}"), 1);
    ask(&network.channel(&running), ECHO).await.expect("the server has time again");
}
