//! A network for tests: an authority, its operator, members with keys of their own, and a platform over
//! a store in memory and a clock that a test moves.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use mesh::{
    clock::{Clock, ManualClock, SeededEntropy},
    identity::{CertificateSerial, Fingerprint, Peer, Role, TrustDomain},
    signing::{Signer, SigningTrust},
    store::{Store, memory::MemoryStore},
    telemetry::Metrics,
};
use prost::Message as _;
use proto::{
    directory::{BinRange, Entry, Limits, MemberRole, MemberStatus},
    ids::OrderId,
    money::Money,
    order::{Merchant, Order, SignedOrder},
    pb,
    signed::SignedBody,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::CheckoutLimits,
    context::Context,
    directory::{Register, RegisterParts},
    error::Error,
    health::HealthBoard,
    keys::Seal,
    repository::Repository,
    ticket::{TicketKey, TicketKeys},
};

/// The network's name.
pub(crate) const DOMAIN: &str = "pay.example";
/// No step of a test takes longer; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen soon.
pub(crate) async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took too long"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) struct Network {
    pub(crate) authority: Authority,
    pub(crate) operator: Signer,
    pub(crate) clock: Arc<ManualClock>,
    signers: Mutex<HashMap<(Role, String), Signer>>,
}

impl Network {
    /// A network in the autumn of 2026.
    pub(crate) fn new() -> Self {
        Self::at(UNIX_EPOCH + Duration::from_secs(1_790_000_000))
    }

    pub(crate) fn at(now: SystemTime) -> Self {
        let authority = Authority::create(domain(), "network", AUTHORITY_LIFETIME, now).unwrap();
        let operator = issue(&authority, Role::Operator, "ops", now);
        Self { authority, operator, clock: Arc::new(ManualClock::new(now)), signers: Mutex::default() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.authority.certificate().clone()]).unwrap()
    }

    /// A member's signing key, the same at each call.
    pub(crate) fn signer(&self, role: Role, id: &str) -> Signer {
        let mut signers = self.signers.lock().unwrap();
        signers.entry((role, id.to_owned())).or_insert_with(|| issue(&self.authority, role, id, self.now())).clone()
    }

    /// Another key of the same party.
    pub(crate) fn another_signer(&self, role: Role, id: &str) -> Signer {
        issue(&self.authority, role, id, self.now())
    }

    /// An active issuer's first entry.
    pub(crate) fn bank(&self, id: &str, bins: &[(u32, u32)]) -> Entry {
        Entry {
            member: id.parse().unwrap(),
            role: MemberRole::Issuer,
            version: 1,
            status: MemberStatus::Active,
            name_zh_tw: format!("銀行 {id}"),
            name_en: format!("Bank {id}"),
            logo_svg: String::new(),
            app_link: Some(format!("https://app.{id}.example/pay").parse().unwrap()),
            endpoint: format!("https://{id}.example:8443").parse().unwrap(),
            bin_ranges: bins.iter().map(|(first, last)| BinRange::new(*first, *last).unwrap()).collect(),
            signing_certificates: vec![Bytes::copy_from_slice(self.signer(Role::Issuer, id).certificate_der())],
            limits: Limits { amount_max: vec![money(5_000_000)], authorizations_per_second: 100 },
            signed_at: self.now(),
        }
    }

    /// An active acquirer's first entry.
    pub(crate) fn acquirer(&self, id: &str) -> Entry {
        Entry {
            role: MemberRole::Acquirer,
            app_link: None,
            signing_certificates: vec![Bytes::copy_from_slice(self.signer(Role::Acquirer, id).certificate_der())],
            ..self.bank(id, &[])
        }
    }

    /// The operator's signature under an entry.
    pub(crate) fn sign(&self, entry: &Entry) -> pb::Signed {
        sign(&self.operator, &entry.to_pb())
    }

    /// A directory file of these entries.
    pub(crate) fn file(&self, entries: &[Entry]) -> Vec<u8> {
        pb::DirectoryFile {
            entries: entries.iter().map(|entry| self.sign(entry)).collect(),
            operator_certificates: vec![Bytes::copy_from_slice(self.operator.certificate_der())],
            ..Default::default()
        }
        .encode_to_vec()
    }

    /// An order of this acquirer over 15 minutes.
    pub(crate) fn order(&self, acquirer: &str, number: u8) -> SignedOrder {
        self.order_at(acquirer, number, self.now())
    }

    pub(crate) fn order_at(&self, acquirer: &str, number: u8, created_at: SystemTime) -> SignedOrder {
        let order = Order {
            id: OrderId::from_random([number; 16]),
            acquirer: acquirer.parse().unwrap(),
            merchant: Merchant {
                id: "shop-1".parse().unwrap(),
                display_name: "Books & <b>More</b>".to_owned(),
                domain: "books.example".to_owned(),
                category: "5942".parse().unwrap(),
            },
            amount: money(149_900),
            lines_digest: proto::order::lines_digest(&[]),
            created_at,
            expires_at: created_at + Duration::from_secs(15 * 60),
            return_url: "https://books.example/paid".parse().unwrap(),
            sealing_key: [7; 32],
            delivery_hint: String::new(),
            device_check_url: None,
        };
        SignedOrder::parse(sign(&self.signer(Role::Acquirer, acquirer), &order.to_pb())).unwrap()
    }

    pub(crate) async fn register(&self, store: &Arc<dyn Store>) -> Result<Register, Error> {
        Register::open(RegisterParts {
            repository: Repository::new(Arc::clone(store)),
            trust: self.trust(),
            domain: domain(),
            operators: vec![Bytes::copy_from_slice(self.operator.certificate_der())],
            seal: Seal::new(self.signer(Role::Platform, "hub")),
            clock: self.clock.clone(),
        })
        .await
    }

    /// A platform with these members.
    pub(crate) async fn platform(&self, entries: &[Entry]) -> Arc<Context> {
        self.platform_over(&store(), entries).await
    }

    pub(crate) async fn platform_over(&self, store: &Arc<dyn Store>, entries: &[Entry]) -> Arc<Context> {
        let register = self.register(store).await.unwrap();
        register.add_first(&self.file(entries)).await.unwrap();
        Arc::new(Context {
            platform: "hub".parse().unwrap(),
            directory: register.handle(),
            register,
            health: Arc::new(HealthBoard::new()),
            tickets: Arc::new(TicketKeys::new(TicketKey::new(1, &[1; 32]), None)),
            repository: Repository::new(Arc::clone(store)),
            public_url: "https://pay.network.example".parse().unwrap(),
            limits: CheckoutLimits::default(),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
            metrics: Metrics::new(),
            stop: CancellationToken::new(),
        })
    }

    /// A request as it comes from a member's connection.
    pub(crate) fn request<T>(&self, role: Role, id: &str, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(Arc::new(self.peer(role, id)));
        request
    }

    pub(crate) fn peer(&self, role: Role, id: &str) -> Peer {
        Peer {
            id: format!("spiffe://{DOMAIN}/{role}/{id}").parse().unwrap(),
            fingerprint: Fingerprint::of(id.as_bytes()),
            not_after: self.now() + Duration::from_secs(3600),
            serial: CertificateSerial::from_bytes(&[1]),
            remote_addr: "127.0.0.1:1".parse().unwrap(),
        }
    }
}

/// A changed entry, of the next version.
pub(crate) fn next(entry: &Entry, change: impl FnOnce(&mut Entry)) -> Entry {
    let mut entry = Entry { version: entry.version + 1, ..entry.clone() };
    change(&mut entry);
    entry
}

pub(crate) fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

pub(crate) fn domain() -> TrustDomain {
    DOMAIN.parse().unwrap()
}

pub(crate) fn money(minor_units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), minor_units).unwrap()
}

pub(crate) fn sign<M: SignedBody>(signer: &Signer, message: &M) -> pb::Signed {
    let body = message.encode_to_vec();
    pb::Signed {
        key_id: signer.key_id().to_string(),
        signature: signer.sign(M::NAME, &body).to_vec().into(),
        body: body.into(),
    }
}

fn issue(authority: &Authority, role: Role, id: &str, now: SystemTime) -> Signer {
    let issued = authority.issue(&LeafRequest::signing(role, id.parse().unwrap()), now).unwrap();
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}
