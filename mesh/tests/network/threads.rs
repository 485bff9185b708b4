//! A port on threads of its own, and calls that are answered as bytes: shared out evenly, and through
//! the same steps as everything else.

use crate::service::{ECHO, HOLD, LEFT, Network, PANIC, TRACE, WHO, acquirer, ask, call, soon};
use bytes::{BufMut as _, BytesMut};
use mesh::access::{AccessTable, Rule};
use mesh::channel::{MeshChannel, within};
use mesh::config::Period;
use mesh::identity::Role;
use mesh::serve::{Answer, Call, Drained, FramedMessage, Limits, MESSAGE_BYTES_MAX, Server, UnaryBytes, Workers};
use mesh::status::{reason_of, retry_after_of};
use mesh::telemetry::TraceContext;
use mesh::tls::ServerTls;
use prost::Message as _;
use proto::reason::Reason;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request};

/// Answers with the name of the thread, what was asked, or something that a test looks for.
#[derive(Debug)]
struct Plain {
    begun: Semaphore,
    release: Semaphore,
}

impl UnaryBytes for Plain {
    fn paths(&self) -> &'static [&'static str] {
        &[ECHO, WHO, HOLD, LEFT, PANIC, TRACE]
    }

    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move {
            let text = match call.rpc {
                ECHO => return Answer::Message(call.message),
                WHO => {
                    format!("{} on {}", call.peer.expect("a peer").id, std::thread::current().name().expect("a name"))
                }
                HOLD => {
                    self.begun.add_permits(1);
                    self.release.acquire().await.expect("open").forget();
                    "released".to_owned()
                }
                LEFT => call.deadline.left().as_millis().to_string(),
                TRACE => TraceContext::current().expect("a trace").trace_id(),
                _ => panic!("the text of a panic"),
            };
            Answer::Message(framed(&text))
        })
    }
}

fn framed(text: &str) -> FramedMessage {
    let message = text.to_owned().encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("short"));
    frame.put_slice(&message);
    FramedMessage::parse(frame.freeze()).expect("one message")
}

struct Running {
    address: SocketAddr,
    plain: Arc<Plain>,
    stop: CancellationToken,
    served: JoinHandle<Drained>,
}

async fn serve(network: &Network, threads: usize, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let tls = ServerTls::mutual(Arc::clone(&network.server_identity)).expect("a member's identity");
    let table =
        AccessTable::new([ECHO, WHO, HOLD, LEFT, PANIC, TRACE].map(|path| Rule::roles(path, &[Role::Merchant])));
    let plain = Arc::new(Plain { begun: Semaphore::new(0), release: Semaphore::new(0) });
    let services = (0..threads).map(|_| Arc::clone(&plain) as Arc<dyn UnaryBytes>).collect();
    let workers = Workers::start("trial", threads).expect("threads");
    let server = Server::grpc("trial", listener, tls, table, Routes::default()).limits(limits).unary(workers, services);
    let address = server.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let served = tokio::spawn(server.serve(stop.clone()));
    Running { address, plain, stop, served }
}

fn channel(network: &Network, running: &Running) -> MeshChannel {
    let address = format!("https://{}", running.address);
    MeshChannel::new(&address, Arc::clone(&network.merchant_identity), acquirer()).expect("a channel")
}

#[tokio::test]
async fn connections_are_shared_out_evenly_and_stay_where_they_are() {
    let network = Network::new();
    let running = serve(&network, 3, Limits::default()).await;
    let channels: Vec<_> = (0..6).map(|_| channel(&network, &running)).collect();
    let mut threads: BTreeMap<String, usize> = BTreeMap::new();
    for channel in &channels {
        let first = ask(channel, WHO).await.expect("an answer");
        assert_eq!(ask(channel, WHO).await.expect("an answer"), first);
        *threads.entry(first).or_default() += 1;
    }
    let expected = (0..3).map(|i| (format!("spiffe://pay.example/merchant/shop-1 on trial-{i}"), 2));
    assert_eq!(threads, expected.collect());
}

#[tokio::test]
async fn calls_as_bytes_go_through_the_same_steps() {
    let network = Network::new();
    let running = serve(&network, 2, Limits::default()).await;
    let merchant = channel(&network, &running);
    let largest = "x".repeat(MESSAGE_BYTES_MAX - 4);
    assert_eq!(call(&merchant, ECHO, Request::new(largest.clone())).await.expect("at the limit"), largest);
    let over = call(&merchant, ECHO, Request::new(format!("{largest}x"))).await.expect_err("over the limit");
    assert_eq!(reason_of(&over).as_deref(), Some(Reason::MessageTooLarge.as_wire()));
    let left = call(&merchant, LEFT, within(String::new(), Duration::from_secs(3))).await.expect("an answer");
    assert!((1_000..=3_000).contains(&left.parse::<u64>().expect("milliseconds")), "{left}");
    assert_eq!(ask(&merchant, TRACE).await.expect("a trace").len(), 32);
    let panicked = ask(&merchant, PANIC).await.expect_err("a panic");
    assert_eq!((panicked.code(), reason_of(&panicked).as_deref()), (Code::Internal, Some("INTERNAL")));
    assert!(!panicked.message().contains("the text of a panic"));

    let issuer = network.authority.member("issuer/bank-1");
    let issuer = crate::pki::Files::new(&network.authority, &issuer).identity();
    let issuer = MeshChannel::new(&format!("https://{}", running.address), issuer, acquirer()).expect("a channel");
    let refused = ask(&issuer, WHO).await.expect_err("another role");
    assert_eq!(reason_of(&refused).as_deref(), Some(Reason::RoleNotAllowed.as_wire()));
    ask(&merchant, WHO).await.expect("the server lives");
}

#[tokio::test]
async fn each_thread_has_its_share_of_the_limit() {
    let network = Network::new();
    let wait = Period::new(Duration::from_millis(700));
    let limits = Limits { requests_max: 2, retry_after_shed: wait, ..Limits::default() };
    let running = serve(&network, 2, limits).await;
    let (one, other) = (channel(&network, &running), channel(&network, &running));
    ask(&one, WHO).await.expect("connected");
    ask(&other, WHO).await.expect("connected, to the other thread");
    let held = tokio::spawn({
        let one = one.clone();
        async move { ask(&one, HOLD).await }
    });
    soon("the call", running.plain.begun.acquire()).await.expect("open").forget();
    let status = ask(&one, WHO).await.expect_err("that thread is full");
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::Overloaded.as_wire()));
    assert_eq!(retry_after_of(&status), Some(Duration::from_millis(700)));
    ask(&other, WHO).await.expect("the other one is not");
    running.plain.release.add_permits(1);
    soon("the held call", held).await.expect("no panic").expect("released");
    ask(&one, WHO).await.expect("room again");
}

#[tokio::test]
async fn draining_lets_the_calls_of_every_thread_finish() {
    let network = Network::new();
    let running = serve(&network, 2, Limits::default()).await;
    let held: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel(&network, &running);
            tokio::spawn(async move { ask(&channel, HOLD).await })
        })
        .collect();
    soon("both calls", running.plain.begun.acquire_many(2)).await.expect("open").forget();
    running.stop.cancel();
    running.plain.release.add_permits(2);
    for call in held {
        assert_eq!(soon("a held call", call).await.expect("no panic").expect("finished"), "released");
    }
    assert_eq!(soon("draining", running.served).await.expect("no panic"), Drained { cut: 0 });
}
