//! A service to call, a server around it, and clients.

use crate::pki::{Authority, Files, Leaf};
use mesh::access::{AccessTable, Rule, peer_of};
use mesh::channel::{MeshChannel, within};
use mesh::identity::Role;
use mesh::serve::{Deadline, Drained, Limits, Server};
use mesh::telemetry::{Metrics, TraceContext};
use mesh::tls::{ExpectedServer, ServerTls, TlsIdentity};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

pub(crate) const ECHO: &str = "/trial.Trial/Echo";
pub(crate) const WHO: &str = "/trial.Trial/Who";
pub(crate) const HOLD: &str = "/trial.Trial/Hold";
pub(crate) const LEFT: &str = "/trial.Trial/Left";
/// Calls [`LEFT`] at the test's `onward` channel.
pub(crate) const ONWARD: &str = "/trial.Trial/Onward";
/// Keeps its thread busy for so many milliseconds.
pub(crate) const SPIN: &str = "/trial.Trial/Spin";
/// Takes so many milliseconds, and refuses at once what is no number.
pub(crate) const SLOW: &str = "/trial.Trial/Slow";
pub(crate) const PANIC: &str = "/trial.Trial/Panic";
pub(crate) const TRACE: &str = "/trial.Trial/Trace";
pub(crate) const WATCH: &str = "/trial.Trial/Watch";
pub(crate) const WATCH_PANIC: &str = "/trial.Trial/WatchPanic";
/// Mounted, and without a row in the table.
pub(crate) const FORGOTTEN: &str = "/trial.Trial/Forgotten";

/// No step of a test waits longer; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took too long"),
    }
}

/// The handlers, and the handles by which a test holds them.
#[derive(Clone)]
pub(crate) struct Trial {
    /// One permit for each `Hold` that has begun.
    pub(crate) begun: Arc<Semaphore>,
    /// Lets one `Hold` finish.
    pub(crate) release: Arc<Notify>,
    /// Where `Onward` calls.
    pub(crate) onward: Arc<OnceLock<MeshChannel>>,
}

impl Trial {
    async fn unary(self, path: String, request: Request<String>) -> Result<Response<String>, Status> {
        let answer = match path.as_str() {
            WHO => peer_of(&request)?.id.to_string(),
            HOLD => {
                self.begun.add_permits(1);
                self.release.notified().await;
                "released".to_owned()
            }
            LEFT => {
                let left = Deadline::of(&request).expect("a deadline").left();
                left.as_millis().to_string()
            }
            ONWARD => {
                let channel = self.onward.get().expect("a channel");
                call(channel, LEFT, within(String::new(), Duration::from_secs(20))).await?
            }
            SPIN => {
                let until = Instant::now() + Duration::from_millis(request.get_ref().parse().expect("milliseconds"));
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                String::new()
            }
            SLOW => {
                let wait = request.get_ref().parse().map_err(|_| Status::invalid_argument("no number"))?;
                tokio::time::sleep(Duration::from_millis(wait)).await;
                String::new()
            }
            PANIC => panic!("the text of a panic"),
            TRACE => TraceContext::current().expect("a trace").trace_id(),
            _ => request.into_inner(),
        };
        Ok(Response::new(answer))
    }
}

struct Unary(Trial, String);

impl UnaryService<String> for Unary {
    type Response = String;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Status>> + Send>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(self.0.clone().unary(self.1.clone(), request))
    }
}

struct Watch(bool);

type Items = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// One item, and then either silence or a panic.
struct OneItem {
    polls: u32,
    panics: bool,
}

impl Stream for OneItem {
    type Item = Result<String, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok("first".to_owned()))),
            2 => {
                // A pause lets the item go out; without one it waits for more to go with it.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ if self.panics => panic!("the text of a panic"),
            _ => Poll::Pending,
        }
    }
}

impl ServerStreamingService<String> for Watch {
    type Response = String;
    type ResponseStream = Items;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Items>, Status>> + Send>>;

    fn call(&mut self, _request: Request<String>) -> Self::Future {
        let items: Items = Box::pin(OneItem { polls: 0, panics: self.0 });
        Box::pin(async move { Ok(Response::new(items)) })
    }
}

impl NamedService for Trial {
    const NAME: &'static str = "trial.Trial";
}

impl tower::Service<http::Request<Body>> for Trial {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let trial = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            Ok(match path.as_str() {
                WATCH => grpc.server_streaming(Watch(false), request).await,
                WATCH_PANIC => grpc.server_streaming(Watch(true), request).await,
                _ => grpc.unary(Unary(trial, path), request).await,
            })
        })
    }
}

/// A server that runs until it is dropped or stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) trial: Trial,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Metrics,
    served: JoinHandle<Drained>,
}

impl Running {
    /// A mutual port with the test's table.
    pub(crate) async fn mutual(identity: Arc<TlsIdentity>, limits: Limits) -> Self {
        let tls = ServerTls::mutual(identity).expect("a member's identity");
        Self::start(tls, limits).await
    }

    pub(crate) async fn start(tls: ServerTls, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let trial = Trial { begun: Arc::new(Semaphore::new(0)), release: Arc::default(), onward: Arc::default() };
        let merchants = |path| Rule::roles(path, &[Role::Merchant]);
        let table = AccessTable::new([
            Rule::anyone(ECHO),
            merchants(WHO),
            merchants(HOLD),
            merchants(LEFT),
            merchants(ONWARD),
            merchants(SPIN),
            merchants(SLOW),
            merchants(PANIC),
            merchants(TRACE),
            merchants(WATCH).stream(),
            merchants(WATCH_PANIC).stream(),
        ]);
        let metrics = Metrics::new();
        let routes = Routes::new(trial.clone());
        let server = Server::grpc("trial", listener, tls, table, routes).limits(limits).metrics(metrics.clone());
        let address = server.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.serve(stop.clone()));
        Self { address, trial, stop, metrics, served }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) async fn drained(self) -> Drained {
        soon("draining", self.served).await.expect("no panic")
    }
}

/// A network with one acquirer, whose server the tests call, and one merchant.
pub(crate) struct Network {
    pub(crate) authority: Authority,
    pub(crate) server_leaf: Leaf,
    pub(crate) server_files: Files,
    pub(crate) server_identity: Arc<TlsIdentity>,
    pub(crate) merchant_leaf: Leaf,
    pub(crate) merchant_files: Files,
    pub(crate) merchant_identity: Arc<TlsIdentity>,
}

impl Network {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("network");
        let server_leaf = authority.member("acquirer/acq-1");
        let merchant_leaf = authority.member("merchant/shop-1");
        let none_revoked = authority.revocations(&[]);
        let server_files = Files::new(&authority, &server_leaf).with_revocations(&none_revoked);
        let merchant_files = Files::new(&authority, &merchant_leaf).with_revocations(&none_revoked);
        Self {
            server_identity: server_files.identity(),
            merchant_identity: merchant_files.identity(),
            authority,
            server_leaf,
            server_files,
            merchant_leaf,
            merchant_files,
        }
    }

    pub(crate) async fn serve(&self) -> Running {
        self.serve_with(Limits::default()).await
    }

    pub(crate) async fn serve_with(&self, limits: Limits) -> Running {
        Running::mutual(Arc::clone(&self.server_identity), limits).await
    }

    /// The merchant's channel.
    pub(crate) fn channel(&self, running: &Running) -> MeshChannel {
        channel(running, Arc::clone(&self.merchant_identity))
    }

    /// A channel of another member.
    pub(crate) fn channel_of(&self, running: &Running, role_and_id: &str) -> MeshChannel {
        let leaf = self.authority.member(role_and_id);
        channel(running, Files::new(&self.authority, &leaf).identity())
    }
}

fn channel(running: &Running, identity: Arc<TlsIdentity>) -> MeshChannel {
    MeshChannel::new(&running.url(), identity, acquirer()).expect("a channel")
}

pub(crate) fn acquirer() -> ExpectedServer {
    ExpectedServer::member(Role::Acquirer, "acq-1".parse().expect("an id"))
}

/// Makes one unary call.
pub(crate) async fn call(
    channel: &MeshChannel,
    path: &'static str,
    request: Request<String>,
) -> Result<String, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("always ready");
    let codec = ProstCodec::<String, String>::default();
    let path = PathAndQuery::from_static(path);
    soon("a call", grpc.unary(request, path, codec)).await.map(Response::into_inner)
}

/// As [`call`], with a short text and no deadline of its own.
pub(crate) async fn ask(channel: &MeshChannel, path: &'static str) -> Result<String, Status> {
    call(channel, path, Request::new("hello".to_owned())).await
}

/// Opens a stream.
pub(crate) async fn watch(channel: &MeshChannel, path: &'static str) -> Result<tonic::Streaming<String>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("always ready");
    let codec = ProstCodec::<String, String>::default();
    let request = Request::new(String::new());
    let path = PathAndQuery::from_static(path);
    soon("a stream", grpc.server_streaming(request, path, codec)).await.map(Response::into_inner)
}
