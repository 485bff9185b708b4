//! Clients that are slow, silent, or loud on purpose: each is cut off by time or by count, and nobody else
//! notices. Some of it HTTP/2's implementation does by itself, which is shown here and done nowhere else.

use crate::raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, frame, head, request, streams,
};
use crate::service::{ECHO, HOLD, Network, Running, WATCH, ask, soon, watch};
use mesh::config::Period;
use mesh::serve::Limits;
use std::time::{Duration, Instant};

/// HTTP/2's words for "you do too much" (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Larger than any window that is needed here.
const WIDE: u32 = 0x7fff_0000;

fn period(ms: u64) -> Period {
    Period::new(Duration::from_millis(ms))
}

/// Limits with which an answer that isn't read is soon cut off.
fn impatient() -> Limits {
    Limits { unread: period(100), drain: period(50), ..Limits::default() }
}

fn cuts(running: &Running, reason: &str) -> u64 {
    number(running, &format!("bankside_connections_cut_total{{port=\"trial\",reason=\"{reason}\"}} "))
}

const ANSWERED: &str = "bankside_requests_answered_total{port=\"trial\"} ";

/// A counter, which is there once the port is served.
fn number(running: &Running, name: &str) -> u64 {
    let numbers = running.metrics.exposition();
    numbers.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |count| count.parse().expect("a number"))
}

async fn until_cut(running: &Running, reason: &str) {
    let waiting = async {
        while cuts(running, reason) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("the cut", waiting).await;
}

#[tokio::test]
async fn a_head_that_is_never_finished_is_cut_off() {
    let network = Network::new();
    let limits = Limits { keep_alive: period(50), keep_alive_wait: period(50), ..Limits::default() };
    let running = network.serve_with(limits).await;
    // One stops within its headers, where it can't answer a ping any more, the other within a frame.
    let head = head(ECHO, None);
    let whole = frame(HEADERS, 0, 1, &head);
    for bytes in [&whole[..], &whole[..whole.len() - 1]] {
        let mut raw = Raw::connect(&network, &running, &[]).await;
        raw.send(bytes).await.expect("sent");
        raw.end().await;
    }
    assert_eq!(running.trial.begun.available_permits(), 0);
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_at_the_deadline() {
    let network = Network::new();
    let running = network.serve_with(Limits { deadline_default: period(100), ..Limits::default() }).await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &head(ECHO, None))).await.expect("sent");
    // A head that is an answer's end as well: nothing but a status.
    let answer = raw.find("the refusal", |frame| frame.kind == HEADERS && frame.stream == 1).await;
    assert_eq!(answer.flags & 1, 1);
    // The connection goes on.
    raw.send(&request(3, ECHO, None, "hello")).await.expect("sent");
    raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 3).await;
}

#[tokio::test]
async fn talk_that_asks_for_nothing_is_cut_off() {
    let network = Network::new();
    let running = network.serve_with(impatient()).await;
    let floods = [
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("answers to no pings", frame(PING, ACK, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        ("frames of an unknown kind", frame(0xfe, 0, 0, &[7; 64])),
    ];
    for (what, one) in floods {
        let some = one.repeat(256);
        let before = cuts(&running, "talk");
        let raw = Raw::connect(&network, &running, &[]).await;
        let sent = raw.flood(&some, true).await;
        // What a socket holds on its way comes on top of what the server has read.
        assert!(sent < 16 * 1024 * 1024, "{what}: {sent}");
        assert_eq!(cuts(&running, "talk"), before + 1, "{what}");
    }
    ask(&network.channel(&running), ECHO).await.expect("nobody else noticed");
}

#[tokio::test]
async fn floods_that_http2_itself_ends_are_ended() {
    let network = Network::new();
    let running = network.serve().await;
    // Headers without end (VU#421644), data without content (CVE-2019-9518).
    let begin = frame(HEADERS, 0, 1, &head(ECHO, None));
    let more = frame(CONTINUATION, 0, 1, &crate::raw::head("/x", None)).repeat(64);
    let open = frame(HEADERS, END_HEADERS, 1, &head(HOLD, None));
    let empty = frame(DATA, 0, 1, &[]).repeat(1_024);
    for (what, first, then) in [("headers without end", begin, more), ("empty data", open, empty)] {
        let mut raw = Raw::connect(&network, &running, &[]).await;
        raw.send(&first).await.expect("sent");
        let sent = raw.flood(&then, true).await;
        assert!(sent < 16 * 1024 * 1024, "{what}: {sent}");
    }
    ask(&network.channel(&running), ECHO).await.expect("nobody else noticed");
}

#[tokio::test]
async fn a_flood_of_pings_that_reads_nothing_is_cut_off_too() {
    let network = Network::new();
    let running = network.serve_with(impatient()).await;
    let raw = Raw::connect(&network, &running, &[]).await;
    raw.flood(&frame(PING, 0, 0, &[7; 8]).repeat(256), false).await;
    assert_eq!(cuts(&running, "talk") + cuts(&running, "unread"), 1);
}

/// A call, and right behind it the word that its answer isn't wanted any more.
fn call_and_reset(stream: u32) -> Vec<u8> {
    let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    [request(stream, HOLD, None, "hello"), reset].concat()
}

/// Behind a relay one bank's calls share a connection with those of all others.
#[tokio::test]
async fn some_calls_that_are_taken_back_before_they_are_looked_at_end_nobody_elses() {
    let network = Network::new();
    let running = network.serve().await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    let taken_back = streams(100).flat_map(call_and_reset);
    let all: Vec<u8> = taken_back.chain(request(201, ECHO, None, "hello")).collect();
    raw.send(&all).await.expect("sent");
    raw.find("an answer", |frame| frame.kind == DATA && frame.stream == 201).await;
}

/// CVE-2023-44487: a call is made and taken back at once, so that it counts as none.
#[tokio::test]
async fn calls_that_are_taken_back_at_once_end_the_connection() {
    let network = Network::new();
    let running = network.serve().await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    let all: Vec<u8> = streams(20_000).flat_map(call_and_reset).collect();
    // The server may end it before it has taken everything.
    let _ = raw.send(&all).await;
    assert_eq!(raw.end().await, Some(ENHANCE_YOUR_CALM));
    let begun = running.trial.begun.available_permits();
    assert!(begun < 1_000, "{begun} handlers were begun for nothing");
    ask(&network.channel(&running), ECHO).await.expect("nobody else noticed");
}

#[tokio::test]
async fn calls_that_are_taken_back_once_they_are_begun_end_it_as_well() {
    let network = Network::new();
    let running = network.serve().await;
    let mut raw = Raw::connect(&network, &running, &[]).await;
    let mut begun = 0;
    for stream in streams(2_000) {
        if raw.send(&request(stream, HOLD, None, "hello")).await.is_err() {
            break;
        }
        let handler = async {
            tokio::select! {
                permit = running.trial.begun.acquire() => permit.expect("open").forget(),
                () = until_cut(&running, "resets") => {}
            }
        };
        soon("the handler", handler).await;
        if cuts(&running, "resets") > 0 {
            break;
        }
        begun += 1;
        let _ = raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
    }
    assert_eq!(cuts(&running, "resets"), 1);
    assert!((200..1_000).contains(&begun), "{begun}");
    ask(&network.channel(&running), ECHO).await.expect("nobody else noticed");
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_cut_off() {
    let network = Network::new();
    for (what, window, path) in [
        ("an answer that nobody comes for", 0, ECHO),
        ("an answer that is there and cannot go", 1, ECHO),
        ("a stream that cannot begin", 0, WATCH),
        ("a stream that stands still", 3, WATCH),
    ] {
        let running = network.serve_with(impatient()).await;
        let healthy = network.channel(&running);
        let mut idle = watch(&healthy, WATCH).await.expect("a stream");
        soon("an item", idle.message()).await.expect("an item");
        let mut raw = Raw::connect(&network, &running, &[(INITIAL_WINDOW_SIZE, window)]).await;
        for stream in streams(8) {
            raw.send(&request(stream, path, None, "hello")).await.expect("sent");
        }
        raw.end().await;
        assert_eq!(cuts(&running, "unread"), 1, "{what}");
        ask(&healthy, ECHO).await.expect("a stream that waits for news is no such client");
        assert_eq!(network.server_identity.connections().len(), 1, "{what}");
        drop((idle, healthy));
    }
}

#[tokio::test]
async fn an_answer_that_was_taken_back_on_its_way_is_no_offence() {
    let network = Network::new();
    let running = network.serve_with(impatient()).await;
    let mut raw = Raw::connect(&network, &running, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    let mut ask_and_reset = async |stream: u32| {
        raw.send(&request(stream, ECHO, None, "hello")).await.expect("sent");
        raw.find("the first byte", |frame| frame.kind == DATA && frame.stream == stream).await;
        raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await.expect("sent");
        // An answered ping says that what was sent before has been read.
        raw.send(&frame(PING, 0, 0, b"was read")).await.expect("sent");
        raw.find("the answer to the ping", |frame| frame.kind == PING && frame.payload == b"was read").await;
    };
    // Several times as long as an answer may lie unread.
    let begin = Instant::now();
    let mut numbers = streams(100_000);
    while begin.elapsed() < impatient().unread.get() * 5 {
        ask_and_reset(numbers.next().expect("a number")).await;
    }
    assert_eq!(cuts(&running, "unread"), 0);
}

#[tokio::test]
async fn a_client_that_never_reads_its_socket_is_cut_off() {
    let network = Network::new();
    let running = network.serve_with(impatient()).await;
    let mut raw = Raw::connect(&network, &running, &[(INITIAL_WINDOW_SIZE, WIDE)]).await;
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes())).await.expect("sent");
    // The server's own window is open only when it has said so.
    raw.find("the server's window", |frame| frame.kind == WINDOW_UPDATE).await;
    let text = "x".repeat(60_000);
    // More than the sockets of one connection hold, and no more at one time than the server's window allows.
    let asking = async {
        for (stream, asked) in streams(1_000).zip(0..) {
            while number(&running, ANSWERED) + 8 < asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if raw.send(&request(stream, ECHO, None, &text)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = until_cut(&running, "unread") => {}
        () = async { asking.await; std::future::pending().await } => {}
    }
    ask(&network.channel(&running), ECHO).await.expect("nobody else noticed");
}
