//! More than a port takes: what has no room is refused at once and cheaply, and what nobody waits for any
//! more isn't begun.

use crate::raw::{DATA, END_HEADERS, HEADERS, PING, Raw, frame, head, request, streams};
use crate::service::{ECHO, HOLD, Network, ONWARD, Running, SLOW, SPIN, WHO, ask, call, soon};
use mesh::channel::within;
use mesh::config::Period;
use mesh::serve::Limits;
use mesh::status::{is_transport, reason_of, retry_after_of};
use proto::reason::Reason;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
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
async fn who_is_shed_is_read_from_again_a_moment_later() {
    let network = Network::new();
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    for stream in [1, 3, 5] {
        raw.send(&request(stream, HOLD, None, "hello")).await.expect("sent");
    }
    soon("the calls", running.trial.begun.acquire_many(3)).await.expect("open").forget();
    let begin = Instant::now();
    for stream in [7, 9, 11] {
        raw.send(&request(stream, HOLD, None, "hello")).await.expect("sent");
        raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == stream).await;
    }
    // Ten milliseconds after the first refusal and after the second one.
    assert!(begin.elapsed() >= Duration::from_millis(20), "{:?}", begin.elapsed());
    // What was begun is answered all the same, and what has room is read when the pause is over.
    running.trial.release.notify_waiters();
    raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 1).await;
    raw.send(&request(13, ECHO, None, "hello")).await.expect("sent");
    raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 13).await;
}

#[tokio::test]
async fn a_message_that_comes_slowly_takes_no_room_from_those_that_are_there() {
    let network = Network::new();
    // One RPC may have three of these four, and one address one without its message.
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let mut slow = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        slow.push(heads(&network, &running, from, 1).await);
    }
    ask(&network.channel(&running), ECHO).await.expect("none of the three has taken a place");
    for raw in &mut slow {
        let message = request(1, ECHO, None, "hello").split_off(begin(1).len());
        raw.send(&message).await.expect("sent");
        raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 1).await;
    }
}

#[tokio::test]
async fn messages_that_never_come_give_their_room_to_others() {
    let network = Network::new();
    let running = network.serve_with(Limits { requests_max: 4, requests_min: 1, ..Limits::default() }).await;
    let mut slow = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        slow.push(heads(&network, &running, from, 1).await);
    }
    // They may have ten seconds by the port's deadline, and the fifth call doesn't wait for that.
    let channel = network.channel(&running);
    let begin = Instant::now();
    let status = ask(&channel, ECHO).await.expect_err("full");
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::Overloaded.as_wire()), "{status}");
    soon("room", async { while ask(&channel, ECHO).await.is_err() {} }).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    for raw in &mut slow {
        let refused = raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == 1).await;
        assert_eq!(refused.flags & 1, 1, "a head that is the end as well");
    }
}

fn begin(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(ECHO, None))
}

/// A connection from that address with so many calls that are a head and nothing more. The server has read each of
/// them before the next one is sent.
async fn heads(network: &Network, running: &Running, from: &str, count: u32) -> Raw {
    let mut raw = Raw::connect_from(network, running, from, &[]).await;
    for stream in streams(count) {
        raw.send(&[begin(stream), frame(PING, 0, 0, b"was read")].concat()).await.expect("sent");
        raw.find("the answer to the ping", |frame| frame.kind == PING && frame.payload == b"was read").await;
    }
    raw
}

/// Begins another call for each that is refused, one after the other, until the connection ends.
async fn again_and_again(mut raw: Raw, count: u32) {
    let (mut next, mut refused, mut is_read) = (2 * count + 1, 0, true);
    while let Some(got) = raw.next().await {
        match got.kind {
            HEADERS => refused += 1,
            PING => is_read = true,
            _ => {}
        }
        if refused > 0 && is_read {
            if raw.send(&[begin(next), frame(PING, 0, 0, b"was read")].concat()).await.is_err() {
                return;
            }
            (next, refused, is_read) = (next + 2, refused - 1, false);
        }
    }
}

#[tokio::test]
async fn heads_without_messages_from_one_address_keep_nobody_out() {
    let network = Arc::new(Network::new());
    let running = Arc::new(network.serve_with(Limits { requests_max: 16, ..Limits::default() }).await);
    // Twice as many as there is room for, for each that is refused another, and whenever it is cut off once more.
    let ends = Arc::new(AtomicUsize::new(0));
    let attack = tokio::spawn({
        let (network, running, ends) = (Arc::clone(&network), Arc::clone(&running), Arc::clone(&ends));
        async move {
            loop {
                let raw = heads(&network, &running, "127.0.0.2", 32).await;
                again_and_again(raw, 32).await;
                ends.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let channel = network.channel(&running);
    soon("some ends", async {
        while ends.load(Ordering::Relaxed) < 5 {
            ask(&channel, ECHO).await.expect("there is room");
        }
    })
    .await;
    // Who sends whole calls from that very address is not kept out either.
    let mut raw = Raw::connect_from(&network, &running, "127.0.0.2", &[]).await;
    raw.send(&request(1, ECHO, None, "hello")).await.expect("sent");
    raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 1).await;
    attack.abort();
}

#[tokio::test]
async fn who_begins_again_whenever_it_is_turned_out_is_cut_off() {
    let network = Network::new();
    let running = network.serve().await;
    // Together they take all the room that there is.
    let mut attacks = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        let raw = heads(&network, &running, from, 256).await;
        attacks.push(tokio::spawn(again_and_again(raw, 256)));
    }
    let channel = network.channel(&running);
    // Once one of them is gone, the others can't fill it.
    soon("an end", async {
        while !attacks.iter().any(|attack| attack.is_finished()) {
            let _ = ask(&channel, ECHO).await;
        }
    })
    .await;
    assert!(number(&running, "bankside_connections_cut_total{port=\"trial\",reason=\"resets\"}") >= 1);
    for _ in 0..100 {
        ask(&channel, ECHO).await.expect("room");
    }
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_make_honest_work_look_slow() {
    let network = Network::new();
    let limits = Limits {
        requests_max: 64,
        requests_min: 2,
        answer_time: Period::new(Duration::from_millis(1)),
        ..Limits::default()
    };
    let running = network.serve_with(limits).await;
    let channel = network.channel(&running);
    let slow = |text: &str| call(&channel, SLOW, Request::new(text.to_owned()));
    // What it takes at rest: some 80 ms.
    for _ in 0..12 {
        slow("80").await.expect("an answer");
    }
    // A flood of what is refused at once, for many times as long as it is judged by.
    let flood = Instant::now();
    while flood.elapsed() < Duration::from_secs(2) {
        let refused = slow("not a number").await.expect_err("a refusal");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    for _ in 0..6 {
        let mut many = JoinSet::new();
        for _ in 0..24 {
            let channel = channel.clone();
            many.spawn(async move { call(&channel, SLOW, Request::new("80".to_owned())).await });
        }
        for answer in many.join_all().await {
            answer.expect("as quick as ever, and so none is shed");
        }
    }
}
