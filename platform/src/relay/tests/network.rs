//! A network of certificates, a directory, a relay, and issuers that call it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use certs::authority::{AUTHORITY_LIFETIME, Authority, HostName, LeafRequest};
use mesh::access::{AccessTable, Rule};
use mesh::channel::{MeshChannel, within};
use mesh::clock::{ManualClock, SystemEntropy};
use mesh::config::TlsFiles;
use mesh::directory::{Directory, DirectoryHandle, EntryVerifier, Member};
use mesh::identity::{Role, TrustDomain};
use mesh::serve::{Limits, Server};
use mesh::signing::{Signer, SigningTrust};
use mesh::status::reason_of;
use mesh::telemetry::Metrics;
use mesh::tls::{ExpectedServer, ServerTls, TlsIdentity};
use prost::Message as _;
use proto::authorization::Route;
use proto::digest::Digest;
use proto::ids::{AuthorizationId, IssuerId};
use proto::money::Money;
use proto::pb;
use proto::pb::authorization_client::AuthorizationClient;
use proto::reason::Reason;
use proto::signed::SignedBody as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::relay::{AUTHORIZE, Parts, RESOLVE, RelayLimits, mount};
use crate::ticket::{TicketKey, TicketKeys};

pub(super) const AURORA: &str = "bank-aurora";
pub(super) const BOREALIS: &str = "bank-borealis";
pub(super) const HARBOR: &str = "acq-harbor";
pub(super) const LANTERN: &str = "acq-lantern";
const DOMAIN: &str = "pay.example";

/// No step of a test waits longer; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took too long"),
    }
}

/// A directory entry under construction.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) role: Role,
    pub(super) status: pb::MemberStatus,
    pub(super) rate: u32,
    pub(super) endpoint: String,
    pub(super) version: u64,
}

impl Terms {
    pub(super) fn issuer() -> Self {
        let endpoint = "https://localhost:1".to_owned();
        Self { role: Role::Issuer, status: pb::MemberStatus::Active, rate: 1_000, endpoint, version: 1 }
    }

    pub(super) fn acquirer(address: SocketAddr) -> Self {
        Self { role: Role::Acquirer, endpoint: format!("https://localhost:{}", address.port()), ..Self::issuer() }
    }

    pub(super) fn with_status(self, status: pb::MemberStatus) -> Self {
        Self { status, version: self.version + 1, ..self }
    }
}

/// The network's authority, and who signs its directory.
pub(super) struct Network {
    authority: Authority,
    folder: tempfile::TempDir,
    operator: Signer,
    verifier: EntryVerifier,
    pub(super) tickets: Arc<TicketKeys>,
}

impl Network {
    pub(super) fn new() -> Self {
        let now = SystemTime::now();
        let domain: TrustDomain = DOMAIN.parse().unwrap();
        let mut authority = Authority::create(domain.clone(), "test", AUTHORITY_LIFETIME, now).unwrap();
        let folder = tempfile::tempdir().unwrap();
        authority.save(&folder.path().join("authority"), now).unwrap();
        let operator = authority.issue(&LeafRequest::signing(Role::Operator, "op-one".parse().unwrap()), now).unwrap();
        let trust = SigningTrust::new([authority.certificate().clone()]).unwrap();
        let verifier = EntryVerifier::new(trust, domain, std::slice::from_ref(&operator.certificate)).unwrap();
        let operator = Signer::from_pem(operator.certificate_pem().as_bytes(), operator.key_pem.as_bytes()).unwrap();
        let tickets = Arc::new(TicketKeys::new(TicketKey::new(1, &[7; 32]), None));
        Self { authority, folder, operator, verifier, tickets }
    }

    pub(super) fn identity(&self, role: Role, id: &str) -> Arc<TlsIdentity> {
        TlsIdentity::load(&self.files(role, id), DOMAIN.parse().unwrap()).unwrap()
    }

    /// A new certificate and its key.
    fn files(&self, role: Role, id: &str) -> TlsFiles {
        let hosts: Vec<HostName> = vec!["localhost".parse().unwrap()];
        let request = LeafRequest::server(role, id.parse().unwrap(), hosts);
        let own = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let (certificate, key) = self.authority.issue(&request, SystemTime::now()).unwrap().save(&own).unwrap();
        let authority: PathBuf = self.folder.path().join("authority/ca.pem");
        TlsFiles { certificate, key, authority, revocations: None }
    }

    /// Gives the relay another certificate of the same name.
    pub(super) fn renew(&self, relaying: &Relaying) {
        let fresh = self.files(Role::Platform, "hub");
        std::fs::copy(&fresh.key, &relaying.files.key).unwrap();
        std::fs::copy(&fresh.certificate, &relaying.files.certificate).unwrap();
        relaying.identity.reload().unwrap();
    }

    pub(super) fn member(&self, id: &str, terms: &Terms) -> Member {
        let now = SystemTime::now();
        let signing = self.authority.issue(&LeafRequest::signing(terms.role, id.parse().unwrap()), now).unwrap();
        let (role, app_link) = match terms.role {
            Role::Issuer => (pb::MemberRole::Issuer, format!("https://{id}.example/pay")),
            Role::Acquirer | Role::Platform | Role::Merchant | Role::Operator => {
                (pb::MemberRole::Acquirer, String::new())
            }
        };
        let first = if id == AURORA { 40_000_000 } else { 52_000_000 };
        let bins = if terms.role == Role::Issuer { vec![pb::BinRange { first, last: first + 99 }] } else { vec![] };
        let amount_max = vec![money(1_000_000).to_pb()];
        let entry = pb::DirectoryEntry {
            member_id: id.to_owned(),
            role: role.into(),
            version: terms.version,
            status: terms.status.into(),
            name_zh_tw: "測試".to_owned(),
            name_en: "Test".to_owned(),
            logo_svg: String::new(),
            app_link,
            endpoint: terms.endpoint.clone(),
            bin_ranges: bins,
            signing_certificates: vec![Bytes::copy_from_slice(&signing.certificate)],
            limits: Some(pb::MemberLimits { amount_max, authorizations_per_second: terms.rate }),
            signed_at: Some(proto::time::to_pb(now)),
        };
        let body = Bytes::from(entry.encode_to_vec());
        let signature = Bytes::copy_from_slice(&self.operator.sign(pb::DirectoryEntry::NAME, &body));
        self.verifier.member(pb::Signed { body, key_id: self.operator.key_id().to_string(), signature }).unwrap()
    }

    pub(super) fn directory(&self, members: &[(&str, Terms)]) -> Directory {
        Directory::new(members.iter().map(|(id, terms)| self.member(id, terms)), None).unwrap()
    }

    /// A ticket for this bank and the order of [`route`], good for another hour.
    pub(super) fn ticket(&self, bank: &str) -> Bytes {
        self.tickets.issue(&bank.parse().unwrap(), &order(), now() + Duration::from_secs(3_600))
    }

    pub(super) fn route(&self) -> Route {
        Route {
            issuer: AURORA.parse::<IssuerId>().unwrap(),
            acquirer: HARBOR.parse().unwrap(),
            authorization: AuthorizationId::from_random([3; 16]),
            order_digest: order(),
            amount: money(125_000),
            ticket: self.ticket(AURORA),
        }
    }

    pub(super) async fn relay(&self, directory: Directory, limits: RelayLimits) -> Relaying {
        self.relay_on(directory, limits, Limits::default()).await
    }

    /// A relay on a port with these limits.
    pub(super) async fn relay_on(&self, directory: Directory, limits: RelayLimits, port: Limits) -> Relaying {
        let files = self.files(Role::Platform, "hub");
        let identity = TlsIdentity::load(&files, DOMAIN.parse().unwrap()).unwrap();
        let directory = Arc::new(DirectoryHandle::new(directory));
        let clock = Arc::new(ManualClock::new(now()));
        let metrics = Metrics::new();
        let table = AccessTable::new([Rule::roles(AUTHORIZE, &[Role::Issuer]), Rule::roles(RESOLVE, &[Role::Issuer])]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = ServerTls::mutual(Arc::clone(&identity)).unwrap();
        let server = Server::grpc("members", listener, tls, table, tonic::service::Routes::default())
            .metrics(metrics.clone())
            .limits(port);
        let parts = Parts {
            directory: Arc::clone(&directory),
            tickets: Arc::clone(&self.tickets),
            identity: Arc::clone(&identity),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy::new()),
            metrics: metrics.clone(),
            limits,
        };
        let server = mount(server, parts).unwrap();
        let address = server.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        Relaying { address, directory, clock, metrics, files, identity, _stop: stop.drop_guard() }
    }

    /// A caller with its own certificate.
    pub(super) fn caller(&self, relaying: &Relaying, role: Role, id: &str) -> MeshChannel {
        let expected = ExpectedServer::member(Role::Platform, "hub".parse().unwrap());
        let address = format!("https://localhost:{}", relaying.address.port());
        MeshChannel::new(&address, self.identity(role, id), expected).unwrap()
    }
}

/// A relay that runs.
pub(super) struct Relaying {
    pub(super) address: SocketAddr,
    pub(super) directory: Arc<DirectoryHandle>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) metrics: Metrics,
    files: TlsFiles,
    identity: Arc<TlsIdentity>,
    _stop: tokio_util::sync::DropGuard,
}

impl Relaying {
    pub(super) fn count(&self, reason: Reason) -> u64 {
        let line = format!("bankside_relay_refused_total{{reason=\"{}\"}} ", reason.as_wire());
        let text = self.metrics.exposition();
        text.lines().find_map(|text| text.strip_prefix(&line)).unwrap().parse().unwrap()
    }
}

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(super) fn order() -> Digest {
    Digest::of(b"an order")
}

pub(super) fn money(minor_units: i64) -> Money {
    Money::parse_positive(pb::Money { currency_code: "TWD".to_owned(), minor_units }).unwrap()
}

pub(super) fn request(route: &Route) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { route: Some(route.to_pb()), request: Some(sealed()) }
}

fn sealed() -> pb::Signed {
    pb::Signed { body: vec![5; 1_500].into(), key_id: "k".to_owned(), signature: vec![6; 64].into() }
}

pub(super) async fn authorize(channel: &MeshChannel, route: &Route) -> Result<pb::AuthorizeResponse, Status> {
    let mut client = AuthorizationClient::new(channel.clone());
    let call = client.authorize(within(request(route), Duration::from_secs(10)));
    soon("an answer", call).await.map(tonic::Response::into_inner)
}

pub(super) async fn resolve(channel: &MeshChannel, route: &Route) -> Result<pb::ResolveAuthorizationResponse, Status> {
    let mut client = AuthorizationClient::new(channel.clone());
    let question = pb::ResolveAuthorizationRequest { route: Some(route.to_pb()), request: Some(sealed()) };
    let call = client.resolve_authorization(within(question, Duration::from_secs(10)));
    soon("an answer", call).await.map(tonic::Response::into_inner)
}

pub(super) fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: Reason) -> Status {
    let status = outcome.expect_err("refused");
    assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason.as_wire())), "{status}");
    status
}
