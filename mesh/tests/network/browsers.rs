//! The port for browsers: the same limits, refused in HTTP's terms.

use crate::service::{Network, soon};
use axum::Router;
use axum::routing::{get, post};
use mesh::config::Period;
use mesh::serve::{Limits, RemoteAddr, Server};
use mesh::tls::{ServerTls, TlsIdentity, device_client_config};
use mesh::web::sse;
use rustls_pki_types::ServerName;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

/// More than the sockets of one connection hold.
const LARGE: usize = 64 * 1024 * 1024;

async fn panics() -> &'static str {
    panic!("the text of a panic")
}

async fn serve(tls: Option<ServerTls>) -> SocketAddr {
    let router = Router::new()
        .route("/", get(async |from: axum::Extension<RemoteAddr>| from.0.0.ip().to_string()))
        .route("/panic", get(panics))
        .route("/slow", get(std::future::pending::<String>))
        .route("/large", get(async || "x".repeat(LARGE)))
        .route("/post", post(async |body: axum::body::Bytes| body.len().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let limits = Limits {
        message_bytes_max: 1_000,
        deadline_default: Period::new(Duration::from_secs(1)),
        first_request: Period::new(Duration::from_secs(1)),
        unread: Period::new(Duration::from_millis(100)),
        drain: Period::new(Duration::from_millis(50)),
        ..Limits::default()
    };
    let server = Server::http("pages", listener, tls, router).limits(limits);
    let address = server.local_addr().expect("an address");
    tokio::spawn(server.serve(CancellationToken::new()));
    address
}

/// Sends one request and returns the status line and the body.
async fn exchange<S>(mut stream: S, request: &str) -> (String, String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let line = head.lines().next().unwrap_or_default();
    (line.to_owned(), body.to_owned())
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn each_limit_is_refused_in_http() {
    let address = serve(None).await;
    let cases = [
        (request("GET", "/", ""), "HTTP/1.1 200 OK"),
        (request("GET", "/nowhere", ""), "HTTP/1.1 404 Not Found"),
        (request("GET", "/panic", ""), "HTTP/1.1 500 Internal Server Error"),
        (request("GET", "/slow", ""), "HTTP/1.1 504 Gateway Timeout"),
        (request("POST", "/post", &"x".repeat(1_000)), "HTTP/1.1 200 OK"),
        (request("POST", "/post", &"x".repeat(1_100)), "HTTP/1.1 413 Payload Too Large"),
    ];
    for (request, expected) in cases {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (line, body) = exchange(stream, &request).await;
        assert_eq!(line, expected);
        assert!(!body.contains("panic"));
    }
}

#[tokio::test]
async fn a_web_certificate_needs_no_id_and_serves_no_members() {
    let network = Network::new();
    let leaf = network.authority.leaf(&[], time::Duration::hours(1));
    network.server_files.write("web.pem", &leaf.certificate);
    network.server_files.write("web.key", &leaf.key);
    let identity = TlsIdentity::load_web(&network.server_files.path("web.pem"), &network.server_files.path("web.key"))
        .expect("a pair");
    assert_eq!(identity.own_id(), None);
    assert!(ServerTls::mutual(Arc::clone(&identity)).is_err());

    let address = serve(Some(ServerTls::device(identity))).await;
    let mut config = device_client_config(&network.server_files.path("ca.pem")).expect("roots");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = soon("the handshake", connecting).await.expect("TLS");
    let (line, body) = exchange(stream, &request("GET", "/", "")).await;
    assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "127.0.0.1"));
}

/// Reads until `text` has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut bytes = [0; 1024];
        let count = soon("a piece", stream.read(&mut bytes)).await.expect("read");
        assert!(count > 0, "ended early: {read}");
        read.push_str(std::str::from_utf8(&bytes[..count]).expect("UTF-8"));
    }
    read
}

#[tokio::test]
async fn a_stream_of_events_has_no_deadline_is_counted_apart_and_ends_with_the_server() {
    let (news, _) = broadcast::channel::<String>(4);
    let told = news.clone();
    let events = async move || {
        let news = BroadcastStream::new(told.subscribe());
        sse::answer(news.filter_map(Result::ok).map(|text| sse::Event::default().data(text)))
    };
    let router = Router::new()
        .route("/", get(async || "page"))
        .route("/slow", get(std::future::pending::<String>))
        .route("/events", get(events));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let limits = Limits {
        streams_max: 1,
        // Far shorter than the test waits for what comes behind them.
        deadline_default: Period::new(Duration::from_millis(50)),
        ..Limits::default()
    };
    let server = Server::http("pages", listener, None, router).limits(limits);
    let address = server.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));

    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request("GET", "/events", "").as_bytes()).await.expect("sent");
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    // What came later is over its deadline by now, and so would the stream be.
    let late = TcpStream::connect(address).await.expect("a connection");
    assert_eq!(exchange(late, &request("GET", "/slow", "")).await.0, "HTTP/1.1 504 Gateway Timeout");
    news.send("first".to_owned()).expect("somebody listens");
    read_until(&mut stream, "data: first\n\n").await;

    // There is room for one stream, and for any number of pages beside it.
    let other = TcpStream::connect(address).await.expect("a connection");
    assert_eq!(exchange(other, &request("GET", "/events", "")).await.0, "HTTP/1.1 503 Service Unavailable");
    let page = TcpStream::connect(address).await.expect("a connection");
    assert_eq!(exchange(page, &request("GET", "/", "")).await.1, "page");

    stop.cancel();
    let mut rest = Vec::new();
    soon("the end", stream.read_to_end(&mut rest)).await.expect("a clean end");
    assert_eq!(rest, b"0\r\n\r\n", "no status stands at the end");
    assert_eq!(soon("the drain", serving).await.expect("served").cut, 0);
}

#[tokio::test]
async fn a_browser_that_is_slow_on_purpose_is_cut_off() {
    let address = serve(None).await;
    // A head that never ends, and a body that never comes.
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut answer)).await;
    let body = "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nxxx";
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (line, _) = exchange(stream, body).await;
    assert_eq!(line, "HTTP/1.1 504 Gateway Timeout");
}

#[tokio::test]
async fn a_browser_that_does_not_read_is_cut_off() {
    let address = serve(None).await;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request("GET", "/large", "").as_bytes()).await.expect("sent");
    // The operating system says so when the server has gone with something unread.
    let gone = async { while !matches!(stream.ready(Interest::ERROR).await, Ok(ready) if ready.is_error()) {} };
    let written = async {
        while stream.try_write(b"x").map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |_| true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the cut", async {
        tokio::select! {
            () = gone => {}
            () = written => {}
        }
    })
    .await;
    let mut taken = Vec::new();
    let _ = soon("the rest", stream.read_to_end(&mut taken)).await;
    assert!(taken.len() < LARGE, "{}", taken.len());
}
