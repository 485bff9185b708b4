//! More than a port takes: what has no room is refused at once and cheaply, and what nobody waits for any
//! more isn't begun.

use crate::raw::{DATA, END_HEADERS, HEADERS, PING, Raw, frame, head, request, streams};
use crate::service::{ECHO, HOLD, Network, ONWARD, Running, SPIN, WHO, ask, call, soon};
use mesh::channel::within;
use mesh::config::Period;
use mesh::serve::Limits;
use mesh::status::{is_transport, reason_of, retry_after_of};
use proto::reason::Reason;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
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
async fn handshakes_from_one_address_keep_no_other_address_out() {
    let network = Network::new();
    let limits = Limits { handshakes_max: 8, handshake: Period::new(Duration::from_secs(60)), ..Limits::default() };
    let running = network.serve_with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("another address of this machine's");
        silent.push(socket.connect(running.address).await.expect("a connection"));
    }
    // A fourth may stay, and the others are closed at once.
    for stream in &mut silent[2..] {
        assert_eq!(soon("the end", stream.read(&mut [0])).await.expect("an orderly end"), 0);
    }
    assert_eq!(number(&running, "bankside_connections_refused_total{port=\"trial\",reason=\"handshakes\"}"), 14);
    ask(&network.channel(&running), ECHO).await.expect("another address has room");
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

#[tokio::test]
async fn an_rpc_that_is_full_keeps_no_other_out() {
    let network = Network::new();
    // One may have three fourths of all.
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let channel = network.channel(&running);
    let hold = |_| {
        let channel = channel.clone();
        tokio::spawn(async move { ask(&channel, HOLD).await })
    };
    let held: Vec<_> = (0..3).map(hold).collect();
    soon("the calls", running.trial.begun.acquire_many(3)).await.expect("open").forget();
    let status = ask(&channel, HOLD).await.expect_err("full");
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::Overloaded.as_wire()), "{status}");
    assert!(retry_after_of(&status).is_some());
    ask(&channel, ECHO).await.expect("another RPC has room of its own");
    running.trial.release.notify_waiters();
    for call in held {
        soon("a held call", call).await.expect("no panic").expect("released");
    }
}

#[tokio::test]
async fn a_message_that_comes_slowly_takes_no_room_from_those_that_are_there() {
    let network = Network::new();
    // One RPC may have three of these four.
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    let begin = |stream| frame(HEADERS, END_HEADERS, stream, &head(ECHO, None));
    for stream in streams(3) {
        raw.send(&begin(stream)).await.expect("sent");
    }
    // An answered ping says that what was sent before has been read.
    raw.send(&frame(PING, 0, 0, b"was read")).await.expect("sent");
    raw.find("the answer to the ping", |frame| frame.kind == PING && frame.payload == b"was read").await;
    ask(&network.channel(&running), ECHO).await.expect("none of the three has taken a place");
    for stream in streams(3) {
        let message = request(stream, ECHO, None, "hello").split_off(begin(stream).len());
        raw.send(&message).await.expect("sent");
        raw.find("an answer", |frame| frame.kind == DATA && frame.stream == stream).await;
    }
}

#[tokio::test]
async fn messages_that_never_come_give_their_room_to_others() {
    let network = Network::new();
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    for stream in streams(4) {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &head(ECHO, None))).await.expect("sent");
    }
    raw.send(&frame(PING, 0, 0, b"was read")).await.expect("sent");
    raw.find("the answer to the ping", |frame| frame.kind == PING && frame.payload == b"was read").await;
    // They may have ten seconds by the port's deadline, and the fifth call doesn't wait for that.
    let channel = network.channel(&running);
    let begin = Instant::now();
    let status = ask(&channel, ECHO).await.expect_err("full");
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::Overloaded.as_wire()), "{status}");
    soon("room", async { while ask(&channel, ECHO).await.is_err() {} }).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    for stream in streams(4) {
        let refused = raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == stream).await;
        assert_eq!(refused.flags & 1, 1, "a head that is the end as well");
    }
}
