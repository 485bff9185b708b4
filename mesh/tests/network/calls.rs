//! What happens to a call: limits, deadlines, panics, load and the end of the server.

use crate::service::{
    ECHO, HOLD, LEFT, Network, PANIC, Running, TRACE, WATCH, WATCH_PANIC, WHO, acquirer, ask, call, soon, watch,
};
use mesh::channel::within;
use mesh::config::Period;
use mesh::serve::{Drained, Limits, MESSAGE_BYTES_MAX};
use mesh::status::{is_transport, reason_of, retry_after_of};
use proto::reason::Reason;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Request, Status};

fn period(ms: u64) -> Period {
    Period::new(Duration::from_millis(ms))
}

async fn begun(running: &Running) {
    let permit = soon("the call", running.trial.begun.acquire()).await;
    permit.expect("open").forget();
}

fn assert_refused(status: &Status, code: Code, reason: Reason) {
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(reason_of(status).as_deref(), Some(reason.as_wire()), "{status}");
    assert!(!is_transport(status), "{status}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    // A string in a message of one field takes four bytes more at this size: a tag and a length.
    let largest = "x".repeat(MESSAGE_BYTES_MAX - 4);
    let answer = call(&channel, ECHO, Request::new(largest.clone())).await;
    assert_eq!(answer.expect("at the limit").len(), largest.len());
    let over = call(&channel, ECHO, Request::new(format!("{largest}x"))).await;
    let status = over.expect_err("over the limit");
    assert_refused(&status, Code::ResourceExhausted, Reason::MessageTooLarge);
    ask(&channel, ECHO).await.expect("the connection lives");
}

#[tokio::test]
async fn a_callers_deadline_counts_up_to_the_cap() {
    let network = Network::new();
    let running = network
        .serve_with(Limits { deadline_default: period(5_000), deadline_max: period(8_000), ..Limits::default() })
        .await;
    let channel = network.channel(&running);
    let cases = [(None, 5_000), (Some(3_000), 3_000), (Some(60_000), 8_000)];
    for (asked, allowed) in cases {
        let request = match asked {
            Some(ms) => within(String::new(), Duration::from_millis(ms)),
            None => Request::new(String::new()),
        };
        let left = call(&channel, LEFT, request).await.expect("an answer");
        let left: u64 = left.parse().expect("milliseconds");
        assert!(left <= allowed, "{asked:?}: {left}");
        assert!(left > allowed - 2_000, "{asked:?}: {left}");
    }
}

#[tokio::test]
async fn a_call_is_stopped_at_the_cap_whatever_its_caller_asks() {
    let network = Network::new();
    let running = network
        .serve_with(Limits { deadline_default: period(100), deadline_max: period(100), ..Limits::default() })
        .await;
    let channel = network.channel(&running);
    let request = within(String::new(), Duration::from_secs(60));
    let status = call(&channel, HOLD, request).await.expect_err("held");
    assert_refused(&status, Code::DeadlineExceeded, Reason::DeadlineExceeded);
}

#[tokio::test]
async fn our_client_gives_up_at_its_own_deadline_even_while_it_connects() {
    let network = Network::new();
    // A port that accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let channel =
        mesh::channel::MeshChannel::new(&format!("https://{address}"), network.merchant_identity.clone(), acquirer())
            .expect("a channel");
    let request = within(String::new(), Duration::from_millis(100));
    let status = call(&channel, WHO, request).await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn a_panic_is_contained() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let status = ask(&channel, PANIC).await.expect_err("a panic");
    assert_refused(&status, Code::Internal, Reason::Internal);
    assert!(!status.message().contains("the text of a panic"));
    let mut stream = watch(&channel, WATCH_PANIC).await.expect("a stream");
    let first = soon("an item", stream.message()).await.expect("an item");
    assert_eq!(first.as_deref(), Some("first"));
    let status = soon("the end", stream.message()).await.expect_err("a panic");
    assert_refused(&status, Code::Internal, Reason::Internal);
    ask(&channel, WHO).await.expect("the server lives");
    assert_eq!(network.server_identity.connections().len(), 1, "on one connection");
}

#[tokio::test]
async fn a_full_server_sheds_the_next_call_and_says_when_to_come_back() {
    let network = Network::new();
    let running =
        network.serve_with(Limits { requests_max: 1, retry_after_shed: period(700), ..Limits::default() }).await;
    let channel = network.channel(&running);
    let held = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel, HOLD).await }
    });
    begun(&running).await;
    let status = ask(&channel, ECHO).await.expect_err("full");
    assert_refused(&status, Code::ResourceExhausted, Reason::Overloaded);
    assert_eq!(retry_after_of(&status), Some(Duration::from_millis(700)));
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let check = tonic_health::pb::HealthCheckRequest::default();
    health.check(check).await.expect("health is never shed");
    running.trial.release.notify_one();
    soon("the held call", held).await.expect("no panic").expect("released");
    ask(&channel, ECHO).await.expect("room again");
    let numbers = running.metrics.exposition();
    assert!(numbers.contains("bankside_requests_shed_total{port=\"trial\"} 1"), "{numbers}");
}

#[tokio::test]
async fn draining_lets_the_call_in_flight_finish_and_ends_streams() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let mut stream = watch(&channel, WATCH).await.expect("a stream");
    soon("an item", stream.message()).await.expect("an item");
    let held = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel, HOLD).await }
    });
    begun(&running).await;
    running.stop.cancel();
    let status = soon("the end", stream.message()).await.expect_err("drained");
    assert_refused(&status, Code::Unavailable, Reason::Unavailable);
    soon("closing the port", async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!held.is_finished());
    running.trial.release.notify_one();
    let answer = soon("the held call", held).await.expect("no panic");
    assert_eq!(answer.expect("finished"), "released");
    assert_eq!(running.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn draining_has_an_end() {
    let network = Network::new();
    let running = network.serve_with(Limits { drain: period(100), ..Limits::default() }).await;
    let channel = network.channel(&running);
    let held = tokio::spawn(async move { ask(&channel, HOLD).await });
    begun(&running).await;
    running.stop.cancel();
    running.drained().await;
    let status = soon("the cut call", held).await.expect("no panic").expect_err("cut");
    assert!(is_transport(&status), "{status}");
}

#[tokio::test]
async fn health_says_not_serving_before_the_port_closes() {
    let network = Network::new();
    let running = network.serve_with(Limits { drain_notice: period(60_000), ..Limits::default() }).await;
    let channel = network.channel(&running);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let request = tonic_health::pb::HealthCheckRequest { service: "trial.Trial".to_owned() };
    let mut changes = health.watch(request).await.expect("a watch").into_inner();
    let mut next = async || {
        let change = soon("a change", changes.message()).await;
        change.expect("no error").expect("no end").status()
    };
    use tonic_health::pb::health_check_response::ServingStatus;
    assert_eq!(next().await, ServingStatus::Serving);
    running.stop.cancel();
    assert_eq!(next().await, ServingStatus::NotServing);
    ask(&channel, ECHO).await.expect("still answering");
}

#[tokio::test]
async fn a_connection_that_never_shakes_hands_is_ended() {
    let network = Network::new();
    let running = network.serve_with(Limits { handshake: period(50), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.expect("a connection");
    let ended = soon("the end", stream.read(&mut [0])).await;
    assert_eq!(ended.expect("an orderly end"), 0);
}

#[tokio::test]
async fn a_connection_that_never_asks_for_anything_is_ended() {
    let network = Network::new();
    let running = network.serve_with(Limits { first_request: period(50), ..Limits::default() }).await;
    // One says hello in HTTP/2 and no more, the other not even that.
    for words in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], &b""[..]] {
        let config = network.merchant_identity.client_config(&acquirer());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.expect("a member")));
        let stream = TcpStream::connect(running.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        // The server may be quicker than these words.
        let _ = stream.write_all(words).await;
        let mut heard = Vec::new();
        // Whether the end is announced in TLS doesn't matter here.
        let _ = soon("the end", stream.read_to_end(&mut heard)).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let network = Network::new();
    let running = network.serve_with(Limits { connections_max: 1, ..Limits::default() }).await;
    let channel = network.channel(&running);
    ask(&channel, ECHO).await.expect("the first connection");
    let other = network.channel_of(&running, "merchant/shop-2");
    let status = ask(&other, ECHO).await.expect_err("the second");
    assert!(is_transport(&status), "{status}");
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_the_client_comes_back() {
    let network = Network::new();
    let running = network.serve_with(Limits { idle: period(50), ..Limits::default() }).await;
    let channel = network.channel(&running);
    ask(&channel, ECHO).await.expect("the first connection");
    let connections = network.server_identity.connections();
    soon("the end", async {
        while !connections.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ask(&channel, ECHO).await.expect("a second connection");
}

#[tokio::test]
async fn a_trace_goes_on_through_the_server() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = mesh::telemetry::TraceContext::parse(header).expect("a header");
    let seen = trace.scope(ask(&channel, TRACE)).await.expect("an answer");
    assert_eq!(seen, trace.trace_id());
    let fresh = ask(&channel, TRACE).await.expect("an answer");
    assert_ne!(fresh, seen);
}
