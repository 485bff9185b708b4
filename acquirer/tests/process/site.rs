//! The files of one acquirer and of those around it, and the running process.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use acquirer::config::AcquirerConfig;
use certs::authority::{AUTHORITY_LIFETIME, Authority, HostName, Issued, LeafRequest};
use mesh::{
    boot::{self, Failure, Listeners, RoleConfig as _},
    channel::MeshChannel,
    clock::{Clock, SystemClock, SystemEntropy},
    config::{TlsFiles, load},
    identity::Role,
    signing::Signer,
    telemetry::Metrics,
    tls::{ExpectedServer, TlsIdentity},
};
use prost::Message as _;
use proto::pb::{self, order_service_client::OrderServiceClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) const DOMAIN: &str = "pay.example";
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// One network in a folder: the acquirer's files, and the keys of those around it.
pub(super) struct Site {
    folder: tempfile::TempDir,
    pub(super) authority: Authority,
    pub(super) operator: Signer,
    /// An issuer of the directory.
    pub(super) bank: Signer,
    /// The directory file, as the operator signed it.
    pub(super) directory: pb::DirectoryFile,
}

impl Site {
    /// Writes everything that the sample configuration names into a folder, and the configuration itself.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let mut authority = Authority::create(DOMAIN.parse().unwrap(), "Test", AUTHORITY_LIFETIME, now).unwrap();
        let certs = folder.path().join("certs");
        authority.save(&certs, now).unwrap();
        let member = || "acquirer-one".parse().unwrap();
        let server = LeafRequest::server(Role::Acquirer, member(), vec![host()]);
        authority.issue(&server, now).unwrap().save(&certs).unwrap();
        let signing = authority.issue(&LeafRequest::signing(Role::Acquirer, member()), now).unwrap();
        signing.save(&certs).unwrap();
        for shop in ["shop-books", "shop-none"] {
            let shop_certificate = LeafRequest::client(Role::Merchant, shop.parse().unwrap());
            authority.issue(&shop_certificate, now).unwrap().save(&folder.path().join(shop)).unwrap();
        }
        let bank = LeafRequest::client(Role::Issuer, "bank-a".parse().unwrap());
        authority.issue(&bank, now).unwrap().save(&folder.path().join("bank-a")).unwrap();
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
        let sample = include_str!("../../acquirer.sample.toml");
        let site = Self { folder, authority, operator, bank, directory };
        let ports = [":7443", ":7444", ":8443", ":9444"];
        site.configure(&ports.iter().fold(sample.to_owned(), |text, port| text.replace(port, ":0")));
        site
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn config(&self) -> String {
        fs::read_to_string(self.path().join("acquirer.toml")).unwrap()
    }

    pub(super) fn configure(&self, text: &str) {
        fs::write(self.path().join("acquirer.toml"), text).unwrap();
    }

    /// Who calls with the client certificate in this folder.
    pub(super) fn identity(&self, member: &str) -> Arc<TlsIdentity> {
        self.identity_from(&self.path().join(member), "client")
    }

    /// Who shows the certificate in this folder.
    pub(super) fn identity_from(&self, folder: &Path, name: &str) -> Arc<TlsIdentity> {
        let files = TlsFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            authority: self.path().join("certs/ca.pem"),
            revocations: None,
        };
        TlsIdentity::load(&files, DOMAIN.parse().unwrap()).unwrap()
    }
}

pub(super) fn host() -> HostName {
    "127.0.0.1".parse().unwrap()
}

pub(super) fn signer(issued: &Issued) -> Signer {
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

pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) members: SocketAddr,
    pub(super) page: SocketAddr,
    /// Where the configuration names it.
    pub(super) admin: Option<SocketAddr>,
    /// Where the configuration names it.
    pub(super) operations: Option<SocketAddr>,
    pub(super) role: JoinHandle<Result<(), Failure>>,
}

impl Running {
    pub(super) async fn start(site: &Site) -> Self {
        Self::start_by(site, Arc::new(SystemClock::new())).await
    }

    /// With this clock in the place of the system's.
    pub(super) async fn start_by(site: &Site, clock: Arc<dyn Clock>) -> Self {
        let config: AcquirerConfig = load(&site.path().join("acquirer.toml")).unwrap();
        let listeners = Listeners::bind(&config.listeners()).await.unwrap();
        let address = |name| listeners.address(name).unwrap();
        let (members, page) = (address("listen.members"), address("listen.page"));
        let admin = listeners.address("listen.admin");
        let stop = CancellationToken::new();
        let context = boot::Context {
            listeners,
            stop: stop.clone(),
            clock,
            entropy: Arc::new(SystemEntropy::new()),
            metrics: Metrics::new(),
        };
        let operations = context.listeners.address("listen.operations");
        Self { stop, members, page, admin, operations, role: tokio::spawn(acquirer::run(config, context)) }
    }

    pub(super) fn channel(&self, site: &Site, member: &str) -> MeshChannel {
        let expected = ExpectedServer::member(Role::Acquirer, "acquirer-one".parse().unwrap());
        MeshChannel::new(&format!("https://{}", self.members), site.identity(member), expected).unwrap()
    }

    pub(super) fn orders(&self, site: &Site, shop: &str) -> OrderServiceClient<MeshChannel> {
        OrderServiceClient::new(self.channel(site, shop))
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(WAIT, self.role).await.expect("it stops in time").unwrap().unwrap();
    }
}

pub(super) fn wish() -> pb::CreateOrderRequest {
    let price = Some(pb::Money { currency_code: "TWD".into(), minor_units: 129_900 });
    pb::CreateOrderRequest {
        merchant_reference: "R-1".into(),
        amount: price.clone(),
        lines: vec![pb::OrderLine { description: "A book".into(), quantity: 1, unit_price: price }],
        return_url: "https://books.example/checkout/1".into(),
        expires_after: None,
        delivery_hint: "W*** L** · Taipei".into(),
    }
}
