//! One acquirer and one card network, each a process, with everything that they need in one folder.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::authority::{AUTHORITY_LIFETIME, Authority, HostName, Issued, LeafRequest};
use merchant_sim::process::Process;
use merchant_sim::process::ports;
use mesh::channel::{MeshChannel, within};
use mesh::config::TlsFiles;
use mesh::identity::Role;
use mesh::signing::Signer;
use mesh::tls::{ExpectedServer, TlsIdentity};
use prost::Message as _;
use proto::pb::card_network_client::CardNetworkClient;
use proto::pb::card_network_simulation_client::CardNetworkSimulationClient;
use proto::pb::order_service_client::OrderServiceClient;
use proto::pb::{self, CardNetworkAuthorization, CardNetworkFault};
use tonic::transport::{Channel, Endpoint};

const DOMAIN: &str = "pay.example";
const CARDS: &str = "cards.example";
/// Generous; it only ends a wait that would never end.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const CALL_TIME: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what} did not come true in time");
}

pub(super) struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
    pub(super) bank: Signer,
    members: SocketAddr,
    line: SocketAddr,
    control: SocketAddr,
    line_tls: Option<Arc<TlsIdentity>>,
}

impl Site {
    /// The files of both. The line has mutual TLS, or is a loopback one.
    pub(super) fn new(is_mutual: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let mut authority = Authority::create(DOMAIN.parse().unwrap(), "Test", AUTHORITY_LIFETIME, now).unwrap();
        let certs = folder.path().join("certs");
        authority.save(&certs, now).unwrap();
        let acquirer = || "acquirer-one".parse().unwrap();
        let server = LeafRequest::server(Role::Acquirer, acquirer(), vec![host()]);
        authority.issue(&server, now).unwrap().save(&certs).unwrap();
        let signing = authority.issue(&LeafRequest::signing(Role::Acquirer, acquirer()), now).unwrap();
        signing.save(&certs).unwrap();
        for (role, id) in [(Role::Merchant, "shop-books"), (Role::Issuer, "bank-a")] {
            let client = LeafRequest::client(role, id.parse().unwrap());
            authority.issue(&client, now).unwrap().save(&folder.path().join(id)).unwrap();
        }
        let signer =
            |role, id: &str| signer(&authority.issue(&LeafRequest::signing(role, id.parse().unwrap()), now).unwrap());
        let (operator, bank) = (signer(Role::Operator, "operator-one"), signer(Role::Issuer, "bank-a"));
        let entries = vec![
            entry("acquirer-one", &signing.certificate, pb::MemberRole::Acquirer),
            entry("bank-a", bank.certificate_der(), pb::MemberRole::Issuer),
        ];
        let directory = certs::directory::sign(entries, &operator, None, now).unwrap();
        fs::write(folder.path().join("directory.binpb"), directory.encode_to_vec()).unwrap();
        let vault = folder.path().join("vault.keys");
        fs::write(&vault, format!("1:{}\n", "a5".repeat(32))).unwrap();
        fs::set_permissions(&vault, fs::Permissions::from_mode(0o600)).unwrap();

        let reserved = ports::reserve(4).unwrap();
        let at = |place: usize| SocketAddr::from(([127, 0, 0, 1], reserved.ports()[place]));
        let (members, line, control) = (at(0), at(2), at(3));
        let line_tls = is_mutual.then(|| make_line(folder.path(), now));
        let site = Self { folder, authority, bank, members, line, control, line_tls };
        site.configure(at(1));
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn configure(&self, page: SocketAddr) {
        let (address, tls) = match &self.line_tls {
            None => (format!("http://{}", self.line), ""),
            Some(_) => (
                format!("https://{}", self.line),
                "[card_network.tls]\ntrust_domain = \"cards.example\"\nmember = \"cards\"\n\
                 certificate = \"cards/acquirer/client.pem\"\nkey = \"cards/acquirer/client.key\"\n\
                 authority = \"cards/ca.pem\"\nrevocations = \"cards/crl.pem\"\n",
            ),
        };
        let sample = include_str!("../../../acquirer/acquirer.sample.toml");
        let replaced = [
            ("127.0.0.1:7443", self.members.to_string()),
            ("127.0.0.1:8443", page.to_string()),
            ("network_deadline = \"5s\"", "network_deadline = \"2s\"".to_owned()),
            ("network_inquiry_deadline = \"2s\"", "network_inquiry_deadline = \"1s\"".to_owned()),
            ("\nkind = \"simulated\"\n", format!("\nkind = \"remote\"\naddress = \"{address}\"\n{tls}")),
        ];
        let config = replaced.iter().fold(sample.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        fs::write(self.path().join("acquirer.toml"), config).unwrap();
        let tls = match &self.line_tls {
            None => ("", ""),
            Some(_) => (
                "trust_domain = \"cards.example\"\n",
                "[tls]\ncertificate = \"cards/network/server.pem\"\nkey = \"cards/network/server.key\"\n\
                 authority = \"cards/ca.pem\"\nrevocations = \"cards/crl.pem\"\n",
            ),
        };
        let config = format!(
            "{}[listen.line]\naddress = \"{}\"\n[listen.control]\naddress = \"{}\"\n\
             [store]\nfolder = \"ledger\"\ncache_mib = 16\n{}",
            tls.0, self.line, self.control, tls.1
        );
        fs::write(self.path().join("card-network.toml"), config).unwrap();
    }

    fn start(&self, role: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_merchant-sim"));
        let config = self.path().join(format!("{role}.toml"));
        command.args(["role", role, "--until-input-closes", "--config"]).arg(config);
        Process::spawn(role, command, &self.path().join(format!("{role}.log"))).unwrap()
    }

    /// Starts the acquirer and waits until it takes calls.
    pub(super) async fn start_acquirer(&self) -> Process {
        let mut process = self.start("acquirer");
        until("the acquirer's start", async || {
            assert!(process.ended().unwrap().is_none(), "it ended:\n{}", process.log_tail());
            let none = pb::ListOrdersRequest { page_size: 1, page_token: String::new() };
            self.orders().list_orders(within(none, CALL_TIME)).await.is_ok()
        })
        .await;
        process
    }

    /// Starts the card network and waits until it takes calls.
    pub(super) async fn start_network(&self) -> Process {
        let mut process = self.start("card-network");
        until("the card network's start", async || {
            assert!(process.ended().unwrap().is_none(), "it ended:\n{}", process.log_tail());
            self.control().get_faults(pb::GetFaultsRequest {}).await.is_ok()
        })
        .await;
        process
    }

    /// Waits until a process is dead that was told to die.
    pub(super) async fn dead(process: &mut Process) {
        until("the death", async || process.ended().unwrap().is_some()).await;
    }

    pub(super) fn orders(&self) -> OrderServiceClient<MeshChannel> {
        OrderServiceClient::new(self.acquirer_channel("shop-books"))
    }

    pub(super) fn acquirer_channel(&self, member: &str) -> MeshChannel {
        let folder = self.path().join(member);
        let files = TlsFiles {
            certificate: folder.join("client.pem"),
            key: folder.join("client.key"),
            authority: self.path().join("certs/ca.pem"),
            revocations: None,
        };
        let identity = TlsIdentity::load(&files, DOMAIN.parse().unwrap()).unwrap();
        let expected = ExpectedServer::member(Role::Acquirer, "acquirer-one".parse().unwrap());
        MeshChannel::new(&format!("https://{}", self.members), identity, expected).unwrap()
    }

    fn control(&self) -> CardNetworkSimulationClient<Channel> {
        CardNetworkSimulationClient::new(plain(self.control))
    }

    /// Tells the network to fail like this and no other way.
    pub(super) async fn fail(&self, faults: Vec<CardNetworkFault>) {
        self.control().set_faults(pb::SetFaultsRequest { faults }).await.unwrap();
    }

    /// Waits until every fault that ends by itself has met its calls.
    pub(super) async fn faults_met(&self) {
        until("the faults' calls", async || {
            let answer = self.control().get_faults(pb::GetFaultsRequest {}).await;
            answer.is_ok_and(|answer| answer.into_inner().faults.is_empty())
        })
        .await;
    }

    /// Every authorization that the card network holds, in the order of the amounts.
    pub(super) async fn ledger(&self) -> Vec<CardNetworkAuthorization> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request =
                pb::ListAuthorizationsRequest { acquirer_id: "acquirer-one".into(), page_size: 3, page_token };
            let page = match &self.line_tls {
                None => CardNetworkClient::new(plain(self.line)).list_authorizations(request).await,
                Some(identity) => {
                    let expected = ExpectedServer::member(Role::Platform, "cards".parse().unwrap());
                    let address = format!("https://{}", self.line);
                    let channel = MeshChannel::new(&address, Arc::clone(identity), expected).unwrap();
                    CardNetworkClient::new(channel).list_authorizations(request).await
                }
            };
            let page = page.unwrap().into_inner();
            all.extend(page.authorizations);
            if page.next_page_token.is_empty() {
                return all;
            }
            page_token = page.next_page_token;
        }
    }

    /// The domain of the network of banks; its authority lives as long as the site.
    pub(super) fn domain(&self) -> &str {
        let _ = &self.authority;
        DOMAIN
    }
}

/// The card network's own authority, its certificate, and the acquirer's.
fn make_line(folder: &Path, now: SystemTime) -> Arc<TlsIdentity> {
    let cards = folder.join("cards");
    let mut authority = Authority::create(CARDS.parse().unwrap(), "Cards", AUTHORITY_LIFETIME, now).unwrap();
    authority.save(&cards, now).unwrap();
    let server = LeafRequest::server(Role::Platform, "cards".parse().unwrap(), vec![host()]);
    authority.issue(&server, now).unwrap().save(&cards.join("network")).unwrap();
    let client = LeafRequest::client(Role::Acquirer, "acquirer-one".parse().unwrap());
    authority.issue(&client, now).unwrap().save(&cards.join("acquirer")).unwrap();
    let files = TlsFiles {
        certificate: cards.join("acquirer/client.pem"),
        key: cards.join("acquirer/client.key"),
        authority: cards.join("ca.pem"),
        revocations: None,
    };
    TlsIdentity::load(&files, CARDS.parse().unwrap()).unwrap()
}

fn plain(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().timeout(CALL_TIME).connect_lazy()
}

fn host() -> HostName {
    "127.0.0.1".parse().unwrap()
}

fn signer(issued: &Issued) -> Signer {
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

fn entry(id: &str, certificate: &[u8], role: pb::MemberRole) -> pb::DirectoryEntry {
    let is_issuer = role == pb::MemberRole::Issuer;
    let limit = vec![pb::Money { currency_code: "TWD".into(), minor_units: 10_000_000 }];
    pb::DirectoryEntry {
        member_id: id.into(),
        role: role.into(),
        version: 1,
        status: pb::MemberStatus::Active.into(),
        name_zh_tw: "銀行".into(),
        name_en: "Bank".into(),
        app_link: if is_issuer { "https://app.bank-a.example/pay".into() } else { String::new() },
        endpoint: "https://127.0.0.1:7443".into(),
        bin_ranges: if is_issuer { vec![pb::BinRange { first: 40_000_000, last: 40_000_099 }] } else { Vec::new() },
        signing_certificates: vec![bytes::Bytes::copy_from_slice(certificate)],
        limits: Some(pb::MemberLimits {
            amount_max: if is_issuer { limit } else { Vec::new() },
            authorizations_per_second: 100,
        }),
        ..Default::default()
    }
}
