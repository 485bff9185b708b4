//! Every RPC of the real servers, over real sockets and mutual TLS, with messages that are nearly right.
//!
//! Refusals are what is expected. A server that panics, fails on its own account, or is gone afterwards is not.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use acquirer::config::AcquirerConfig;
use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, Bytes};
use data_encoding::HEXLOWER;
use fastrand::Rng;
use issuer::config::IssuerConfig;
use mesh::{
    channel::{MeshChannel, device_channel, within},
    identity::Role,
    signing::Signer,
    status::reason_of,
};
use platform::config::PlatformConfig;
use prost::Message as _;
use proto::{pb, signed::SignedBody};
use tests::{
    network::{Network, OPERATOR, sign},
    roles::{self, PLATFORM, SHOP},
    running::{Bound, Running},
};
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

use crate::{messages, mutate};

const ACQUIRER: &str = "acq-harbor";
const ISSUER: &str = "bank-aurora";
/// Calls under way at one time.
const CALLERS: u64 = 16;
/// How long one call may take: what any of the servers waits for another, and some more.
const CALL_TIME: Duration = Duration::from_secs(15);
/// How long a stream is read.
const STREAM_TIME: Duration = Duration::from_millis(20);

/// What was called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Called {
    /// All calls.
    pub(crate) calls: u64,
    /// Those that were answered with a message.
    pub(crate) answered: u64,
    /// Different RPCs.
    pub(crate) rpcs: usize,
}

/// Calls until the time is over.
pub(crate) fn run(seed: u64, time: Duration) -> anyhow::Result<Called> {
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, before) = (Arc::clone(&panics), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let called = runtime.block_on(async {
        let site = Arc::new(Site::open().await);
        let until = Instant::now() + time;
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| tokio::spawn(call_until(Arc::clone(&site), Rng::with_seed(seed ^ number << 32), until)))
            .collect();
        let mut called = Called { rpcs: site.calls.len(), ..Called::default() };
        for caller in callers {
            let (calls, answered) = caller.await.context("a caller panicked")??;
            called.calls += calls;
            called.answered += answered;
        }
        Arc::into_inner(site).context("every caller has ended")?.close().await;
        anyhow::Ok(called)
    });
    drop(panic::take_hook());
    match panics.load(Ordering::SeqCst) {
        0 => called,
        count => bail!("{count} panics in the servers; they are told above"),
    }
}

async fn call_until(site: Arc<Site>, mut rng: Rng, until: Instant) -> anyhow::Result<(u64, u64)> {
    let (mut calls, mut answered) = (0, 0);
    while Instant::now() < until {
        let call = &site.calls[rng.usize(..site.calls.len())];
        let message = site.message(call, &mut rng);
        calls += 1;
        let Err(status) = call.send(message.clone()).await else {
            answered += 1;
            continue;
        };
        let reason = reason_of(&status).unwrap_or_default();
        let is_own_fault = matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss);
        if is_own_fault || reason == "INTERNAL" {
            bail!("{} answered {status:?} to {}", call.path, HEXLOWER.encode(&message));
        }
    }
    Ok((calls, answered))
}

/// One RPC and who calls it.
struct Call {
    path: PathAndQuery,
    input: String,
    is_stream: bool,
    channel: MeshChannel,
}

impl Call {
    async fn send(&self, message: Bytes) -> Result<(), Status> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        if !self.is_stream {
            return client.unary(within(message, CALL_TIME), self.path.clone(), Raw).await.map(drop);
        }
        let stream = client.server_streaming(within(message, CALL_TIME), self.path.clone(), Raw).await?;
        match tokio::time::timeout(STREAM_TIME, stream.into_inner().message()).await {
            Ok(first) => first.map(drop),
            Err(_) => Ok(()),
        }
    }
}

/// The servers, and the parties that call them.
struct Site {
    network: Network,
    servers: Vec<Running>,
    calls: Vec<Call>,
}

impl Site {
    async fn open() -> Self {
        let network = Network::new();
        network.write("platform.toml", roles::platform(&network));
        let platform = Bound::<PlatformConfig>::new(&network.path("platform.toml")).await;
        let (hub, hub_devices) = (platform.address("listen.members"), platform.address("listen.devices"));
        network.write("acquirer.toml", roles::acquirer(&network, ACQUIRER) + &roles::membership(ACQUIRER, hub));
        let acquirer = Bound::<AcquirerConfig>::new(&network.path("acquirer.toml")).await;
        let cheap = "[auth]\nsource_failures_max = 1000000\n[passwords]\nmemory_kib = 7168\niterations = 5\n";
        let text = roles::issuer(&network, ISSUER) + cheap + &roles::membership(ISSUER, hub);
        let text = text.replace("listen.devices", "listen.operations.address = \"127.0.0.1:0\"\nlisten.devices");
        network.write("issuer.toml", text);
        let issuer = Bound::<IssuerConfig>::new(&network.path("issuer.toml")).await;
        network.join(Role::Merchant, SHOP);
        let harbor = acquirer.address("listen.members");
        let entries =
            [network.acquirer_entry(ACQUIRER, harbor), network.issuer_entry(ISSUER, hub, &[(40_000_000, 40_000_099)])];
        network.write("directory.binpb", network.directory_file(&entries));
        let (devices, operations) = (issuer.address("listen.devices"), issuer.address("listen.operations"));
        let servers = vec![platform.run(platform::run), acquirer.run(acquirer::run), issuer.run(issuer::run)];
        let calls = calls(&network, &Addresses { hub, hub_devices, harbor, devices, operations });
        Self { network, servers, calls }
    }

    /// A message for a call: made by chance, damaged, and where that is what the server looks at first, signed
    /// by the genuine key of who sends it.
    fn message(&self, call: &Call, rng: &mut Rng) -> Bytes {
        let made = mutate::damaged(&messages::message(&call.input, rng), rng);
        let bank = || self.network.signer(Role::Issuer, ISSUER);
        let name = call.input.strip_prefix("bankside.v1.").unwrap_or_default();
        let signed = match name {
            _ if rng.u8(..4) == 0 => None,
            "AuthorizeRequest" => pb::AuthorizeRequest::decode(made.as_slice()).ok().map(|mut request| {
                request.request = Some(signed::<pb::AuthorizationRequest>(&bank(), rng));
                request.encode_to_vec()
            }),
            "ResolveAuthorizationRequest" => {
                pb::ResolveAuthorizationRequest::decode(made.as_slice()).ok().map(|mut request| {
                    request.request = Some(signed::<pb::ResolveRequest>(&bank(), rng));
                    request.encode_to_vec()
                })
            }
            "PutBankRequest" => pb::PutBankRequest::decode(made.as_slice()).ok().map(|mut request| {
                request.entry = Some(signed::<pb::DirectoryEntry>(self.network.operator(), rng));
                request.encode_to_vec()
            }),
            _ => None,
        };
        signed.unwrap_or(made).into()
    }

    async fn close(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

fn signed<M: SignedBody>(signer: &Signer, rng: &mut Rng) -> pb::Signed {
    let made = messages::message(&format!("bankside.v1.{}", M::NAME), rng);
    sign(signer, &M::decode(made.as_slice()).unwrap_or_default()).to_pb()
}

struct Addresses {
    hub: SocketAddr,
    hub_devices: SocketAddr,
    harbor: SocketAddr,
    devices: SocketAddr,
    operations: SocketAddr,
}

/// Every RPC of the contracts that one of the servers serves, with a caller that is let in.
fn calls(network: &Network, at: &Addresses) -> Vec<Call> {
    let authority = network.path("ca/ca.pem");
    let device = |address: SocketAddr| {
        device_channel(&format!("https://{address}"), &authority).expect("invariant: the authority's file is there")
    };
    let to_hub = |role, id| network.channel((role, id), (Role::Platform, PLATFORM), at.hub);
    let to_harbor = |role, id| network.channel((role, id), (Role::Acquirer, ACQUIRER), at.harbor);
    let mut calls = Vec::new();
    for service in messages::POOL.services().filter(|service| service.full_name().starts_with("bankside.v1.")) {
        for method in service.methods() {
            let channels = match (service.name(), method.name()) {
                ("OrderService", _) => vec![to_harbor(Role::Merchant, SHOP)],
                ("Authorization", _) => vec![to_hub(Role::Issuer, ISSUER), to_harbor(Role::Issuer, ISSUER)],
                ("Checkout", "PublishOrder") => vec![to_hub(Role::Acquirer, ACQUIRER)],
                ("Checkout", _) => vec![device(at.hub_devices)],
                ("BankDirectory", "PutBank" | "SuspendBank" | "ResumeBank" | "RemoveBank" | "ListChanges") => {
                    vec![to_hub(Role::Operator, OPERATOR)]
                }
                ("BankDirectory", _) => vec![to_hub(Role::Issuer, ISSUER)],
                ("IssuerAuth" | "CardSelection", _) => vec![device(at.devices)],
                ("IssuerOperations", _) => {
                    vec![network.channel((Role::Issuer, ISSUER), (Role::Issuer, ISSUER), at.operations)]
                }
                // The shop serves the notifications, the card network its own; both are not ours to break here.
                (_, _) => Vec::new(),
            };
            let path: PathAndQuery = format!("/{}/{}", service.full_name(), method.name())
                .parse()
                .expect("invariant: names of services are paths");
            calls.extend(channels.into_iter().map(|channel| Call {
                path: path.clone(),
                input: method.input().full_name().to_owned(),
                is_stream: method.is_server_streaming(),
                channel,
            }));
        }
    }
    let paths: BTreeSet<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    assert!(paths.len() >= 30, "the contracts have more RPCs than {}", paths.len());
    calls
}

/// Bytes as they are, in the place of a message.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
