//! The whole platform over real sockets: who gets in where, how members follow, and what a suspension does.
#![allow(clippy::unwrap_used)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use certs::authority::LeafRequest;
use mesh::{
    boot::{Listeners, RoleConfig as _},
    channel::{MeshChannel, device_channel, within},
    clock::{Clock, SystemClock, SystemEntropy},
    config::TlsFiles,
    directory::follow::{FollowParts, Follower},
    identity::Role,
    status::reason_of,
    telemetry::Metrics,
    tls::ExpectedServer,
};
use proto::{
    directory::{Entry, MemberStatus},
    pb::{
        self, bank_directory_client::BankDirectoryClient, checkout_client::CheckoutClient,
        select_bank_request::Order as Picked, watch_banks_response::Update,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::{Code, Status};

use super::*;
use crate::testing::{DOMAIN, Network, domain, next, soon};

const WAIT: Duration = Duration::from_secs(10);

/// A platform's files, and the process while it runs.
struct Site {
    network: Network,
    folder: tempfile::TempDir,
}

struct Running {
    members: SocketAddr,
    devices: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    role: JoinHandle<Result<(), Failure>>,
}

impl Site {
    fn new() -> Self {
        let network = Network::at(SystemTime::now());
        let folder = tempfile::tempdir().unwrap();
        let site = Self { network, folder };
        site.write("ca.pem", site.network.authority.certificate_pem().as_bytes());
        site.server(Role::Platform, "hub");
        let signing = LeafRequest::signing(Role::Platform, "hub".parse().unwrap());
        let signing = site.network.authority.issue(&signing, site.network.now()).unwrap();
        signing.save(&site.path("hub")).unwrap();
        let operator = site.network.operator.certificate_der();
        site.write("operator.pem", pem(operator).as_bytes());
        site.write("ticket.keys", format!("1:{}\n", "ab".repeat(32)).as_bytes());
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(site.path("ticket.keys"), fs::Permissions::from_mode(0o600)).unwrap();
        let members = [
            site.network.bank("bank-a", &[(40_000_000, 40_000_099)]),
            site.network.bank("bank-b", &[(52_000_000, 52_000_099)]),
            site.network.acquirer("acq-1"),
        ];
        site.write("directory.binpb", &site.network.file(&members));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The party's TLS certificate, issued into a folder of its own when it is first asked for.
    fn server(&self, role: Role, id: &str) -> TlsFiles {
        let folder = self.path(id);
        let hosts = vec!["localhost".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let request = match role {
            Role::Operator => LeafRequest::client(role, id.parse().unwrap()),
            Role::Acquirer | Role::Issuer | Role::Platform | Role::Merchant => {
                LeafRequest::server(role, id.parse().unwrap(), hosts)
            }
        };
        let [certificate, key] = ["pem", "key"].map(|kind| folder.join(format!("{}.{kind}", request.purpose())));
        if !certificate.exists() {
            self.network.authority.issue(&request, self.network.now()).unwrap().save(&folder).unwrap();
        }
        TlsFiles { certificate, key, authority: self.path("ca.pem"), revocations: None }
    }

    fn config(&self) -> PlatformConfig {
        let text = format!(
            "platform = \"hub\"\ntrust_domain = \"{DOMAIN}\"\n\
             [listen]\nmembers.address = \"127.0.0.1:0\"\ndevices.address = \"127.0.0.1:0\"\n\
             pages.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
             [tls]\ncertificate = \"hub/server.pem\"\nkey = \"hub/server.key\"\nauthority = \"ca.pem\"\n\
             [keys]\nsigning_certificate = \"hub/signing.pem\"\nsigning_key = \"hub/signing.key\"\ntickets = \"ticket.keys\"\n\
             [store]\nfolder = \"data\"\n\
             [directory]\noperator_certificates = [\"operator.pem\"]\nfirst = \"directory.binpb\"\n\
             [checkout]\npublic_url = \"https://pay.network.example\"\n"
        );
        mesh::config::parse(&text, Path::new("platform.toml"), self.folder.path()).unwrap()
    }

    async fn start(&self) -> Running {
        let config = self.config();
        let stop = CancellationToken::new();
        let listeners = Listeners::bind(&config.listeners()).await.unwrap();
        let address = |name| listeners.address(name).unwrap();
        let running = (address("listen.members"), address("listen.devices"), address("listen.admin"));
        let boot = boot::Context {
            listeners,
            stop: stop.clone(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            metrics: Metrics::new(),
        };
        let role = tokio::spawn(run(config, boot));
        Running { members: running.0, devices: running.1, admin: running.2, stop, role }
    }

    fn channel(&self, running: &Running, role: Role, id: &str) -> MeshChannel {
        self.channel_to(running.members, role, id)
    }

    fn channel_to(&self, address: SocketAddr, role: Role, id: &str) -> MeshChannel {
        let identity = TlsIdentity::load(&self.server(role, id), domain()).unwrap();
        let hub = ExpectedServer::member(Role::Platform, "hub".parse().unwrap());
        MeshChannel::new(&format!("https://{address}"), identity, hub).unwrap()
    }

    async fn suspend(&self, operator: &mut BankDirectoryClient<MeshChannel>, entry: &Entry) {
        let entry = Some(self.network.sign(&next(entry, |entry| entry.status = MemberStatus::Suspended)));
        operator.suspend_bank(within(pb::SuspendBankRequest { entry }, WAIT)).await.unwrap();
    }

    fn follower(&self, channel: MeshChannel, id: &str, clock: Arc<dyn Clock>) -> Follower {
        Follower::open(FollowParts {
            trust: self.network.trust(),
            domain: domain(),
            channel,
            copy: self.path(&format!("{id}.copy")),
            clock,
            entropy: Arc::new(SystemEntropy::new()),
        })
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        soon("the end", self.role).await.unwrap().unwrap();
    }
}

/// One address in front of a platform that comes and goes.
struct Front {
    address: SocketAddr,
    behind: tokio::sync::watch::Sender<Option<SocketAddr>>,
}

impl Front {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, target) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            while let Ok((mut member, _)) = listener.accept().await {
                // With nobody behind, the connection is dropped at once.
                let Some(platform) = *target.borrow() else { continue };
                tokio::spawn(async move {
                    let mut platform = TcpStream::connect(platform).await?;
                    tokio::io::copy_bidirectional(&mut member, &mut platform).await
                });
            }
        });
        Self { address, behind }
    }
}

fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn assert_refused(status: &Status, code: Code, reason: &str) {
    assert_eq!((status.code(), reason_of(status).as_deref()), (code, Some(reason)), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_lets_in_whom_it_is_for() {
    let site = Site::new();
    let running = site.start().await;
    let put = || within(pb::PutBankRequest { entry: None }, WAIT);
    for (role, id) in [(Role::Merchant, "shop-1"), (Role::Issuer, "bank-a"), (Role::Acquirer, "acq-1")] {
        let mut client = BankDirectoryClient::new(site.channel(&running, role, id));
        assert_refused(&client.put_bank(put()).await.unwrap_err(), Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    }
    let mut operator = BankDirectoryClient::new(site.channel(&running, Role::Operator, "ops"));
    assert_refused(&operator.put_bank(put()).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    let device = device_channel(&format!("https://{}", running.devices), &site.path("ca.pem")).unwrap();
    let mut directory = BankDirectoryClient::new(device.clone());
    let banks = directory.list_banks(within(pb::ListBanksRequest::default(), WAIT)).await.unwrap().into_inner().banks;
    assert_eq!(banks.len(), 2);
    assert_refused(&directory.put_bank(put()).await.unwrap_err(), Code::Unimplemented, "RPC_UNKNOWN");
    let mut checkout = CheckoutClient::new(device);
    let publish = within(pb::PublishOrderRequest::default(), WAIT);
    assert_refused(&checkout.publish_order(publish).await.unwrap_err(), Code::Unimplemented, "RPC_UNKNOWN");
    let mut numbers = TcpStream::connect(running.admin).await.unwrap();
    numbers.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    soon("the numbers", numbers.read_to_string(&mut text)).await.unwrap();
    assert!(text.contains("bankside_requests_refused_total{port=\"members\"} 3"), "{text}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_comes_from_the_order_to_the_ticket() {
    let site = Site::new();
    let running = site.start().await;
    let mut acquirer = CheckoutClient::new(site.channel(&running, Role::Acquirer, "acq-1"));
    let order = site.network.order("acq-1", 1).signed.to_pb();
    let publish = within(pb::PublishOrderRequest { order: Some(order.clone()), ..Default::default() }, WAIT);
    let published = acquirer.publish_order(publish).await.unwrap().into_inner();
    assert_eq!(published.checkout_url, format!("https://pay.network.example/c/{}", published.checkout_id));
    let device = device_channel(&format!("https://{}", running.devices), &site.path("ca.pem")).unwrap();
    let mut device = CheckoutClient::new(device);
    let get = within(pb::GetCheckoutRequest { checkout_id: published.checkout_id.clone() }, WAIT);
    let shown = device.get_checkout(get).await.unwrap().into_inner();
    assert_eq!((shown.amount.unwrap().minor_units, shown.bank_options.len()), (149_900, 2));
    let select = |order| within(pb::SelectBankRequest { order: Some(order), bank_id: "bank-a".into() }, WAIT);
    let picked = device.select_bank(select(Picked::CheckoutId(published.checkout_id))).await.unwrap().into_inner();
    assert!(picked.ticket.is_empty());
    let (_, code) = picked.app_link.split_once("#c=").unwrap();
    let redeem = pb::RedeemCodeRequest { code: code.to_owned(), device_nonce: Bytes::from_static(&[7; 16]) };
    let redeemed = device.redeem_code(within(redeem, WAIT)).await.unwrap().into_inner();
    assert_eq!(redeemed.signed_order, Some(order.clone()));
    // The app that scanned the QR code gets the same ticket by the order itself.
    let scanned = device.select_bank(select(Picked::SignedOrder(order))).await.unwrap().into_inner();
    assert_eq!((scanned.ticket, scanned.app_link.as_str()), (redeemed.ticket, ""));
    let short = pb::RedeemCodeRequest { code: code.to_owned(), device_nonce: Bytes::from_static(&[7; 15]) };
    assert_refused(&device.redeem_code(within(short, WAIT)).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_ends_the_members_open_stream_within_five_seconds() {
    let site = Site::new();
    let running = site.start().await;
    let mut bank = BankDirectoryClient::new(site.channel(&running, Role::Issuer, "bank-a"));
    let mut stream = bank.watch_banks(pb::WatchBanksRequest { after_version: 0 }).await.unwrap().into_inner();
    let mut versions = Vec::new();
    while versions.len() < 3 {
        if let Some(Update::Entry(entry)) = soon("an update", stream.message()).await.unwrap().unwrap().update {
            versions.push(entry.directory_version);
        }
    }
    assert_eq!(versions, [1, 2, 3]);
    let mut operator = BankDirectoryClient::new(site.channel(&running, Role::Operator, "ops"));
    let entry = site.network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    site.suspend(&mut operator, &entry).await;
    let mut heard_of_itself = false;
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match stream.message().await {
                Ok(Some(update)) => heard_of_itself |= matches!(update.update, Some(Update::Entry(_))),
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    });
    assert_refused(&ended.await.unwrap(), Code::PermissionDenied, "MEMBER_SUSPENDED");
    assert!(heard_of_itself);
    let mut again = bank.watch_banks(pb::WatchBanksRequest { after_version: 0 }).await;
    if let Ok(stream) = &mut again {
        panic!("a stream was opened: {:?}", stream.get_mut().message().await);
    }
    assert_refused(&again.unwrap_err(), Code::PermissionDenied, "MEMBER_SUSPENDED");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_follows_works_on_alone_and_finds_back() {
    let (site, front) = (Site::new(), Front::new().await);
    let channel = site.channel_to(front.address, Role::Acquirer, "acq-1");
    fs::write(site.path("acq-1.copy"), b"damaged").unwrap();
    let follower = site.follower(channel, "acq-1", Arc::new(SystemClock::new()));
    let handle = follower.handle();
    let mut changes = handle.subscribe();
    assert!(handle.current().is_empty() && handle.freshness(SystemTime::now()).is_stale(), "it holds nothing yet");
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));

    // The platform starts after the member.
    let running = site.start().await;
    front.behind.send_replace(Some(running.members));
    soon("the copy", changes.changed()).await.unwrap();
    assert_eq!(handle.current().len(), 3);
    assert!(!handle.freshness(SystemTime::now()).is_stale());
    let mut operator = BankDirectoryClient::new(site.channel(&running, Role::Operator, "ops"));
    let [a, b] = ["bank-a", "bank-b"].map(|id| id.parse().unwrap());
    site.suspend(&mut operator, &site.network.bank("bank-a", &[(40_000_000, 40_000_099)])).await;
    while handle.current().member(&a).unwrap().is_active() {
        soon("the suspension", changes.changed()).await.unwrap();
    }

    // It goes away: the copy stays in force. It comes back with everything, and is followed again.
    running.stop().await;
    front.behind.send_replace(None);
    assert_eq!(handle.current().len(), 3);
    let running = site.start().await;
    let mut operator = BankDirectoryClient::new(site.channel(&running, Role::Operator, "ops"));
    site.suspend(&mut operator, &site.network.bank("bank-b", &[(52_000_000, 52_000_099)])).await;
    front.behind.send_replace(Some(running.members));
    while handle.current().member(&b).unwrap().is_active() {
        soon("the second suspension", changes.changed()).await.unwrap();
    }
    stop.cancel();
    soon("the follower's end", following).await.unwrap();
    running.stop().await;

    // What it left on the disk serves its next start without any platform, until it is stale.
    front.behind.send_replace(None);
    let clock = Arc::new(mesh::clock::ManualClock::new(SystemTime::now()));
    let channel = site.channel_to(front.address, Role::Acquirer, "acq-1");
    let handle = site.follower(channel, "acq-1", clock.clone()).handle();
    assert_eq!(handle.current().digest(), handle.current().head().unwrap().entries_digest);
    assert!(!handle.current().member(&b).unwrap().is_active());
    assert!(!handle.freshness(clock.now()).is_stale());
    clock.advance(Duration::from_secs(3601));
    assert!(handle.freshness(clock.now()).is_stale());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_a_server_that_takes_calls_from_one_that_does_not() {
    use crate::tasks::Probe as _;

    let site = Site::new();
    let running = site.start().await;
    let endpoint = format!("https://{}", running.devices).parse().unwrap();
    let probe = TlsProbe::new(site.path("ca.pem"), Duration::from_secs(5));
    assert!(probe.answers(&endpoint).await);
    // A server of another network is nobody.
    site.write("other.pem", Network::at(SystemTime::now()).authority.certificate_pem().as_bytes());
    assert!(!TlsProbe::new(site.path("other.pem"), Duration::from_secs(5)).answers(&endpoint).await);
    running.stop().await;
    assert!(!probe.answers(&endpoint).await);
}

#[tokio::test]
async fn a_platform_with_somebody_elses_certificate_does_not_start() {
    let site = Site::new();
    let mut config = site.config();
    config.platform = "other".parse().unwrap();
    let boot = boot::Context {
        listeners: Listeners::bind(&config.listeners()).await.unwrap(),
        stop: CancellationToken::new(),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy::new()),
        metrics: Metrics::new(),
    };
    let failure = run(config, boot).await.unwrap_err();
    assert!(matches!(&failure, Failure::Config(text) if text.contains("tls.certificate")), "{failure}");
}
