//! One issuer with its customers and cards, two acquirers, and a way to start the issuer again.

use std::{future::Future, sync::Arc, time::Duration};

use certs::authority::{Authority, DAY, Issued, LeafRequest};
use issuer::{
    audit::Standing,
    auth::{Auth, PasswordConfig},
    charges::{self, Bells, Charge, Numbers},
    config::{AuthLimits, ChargeLimits},
    context::Context,
    domain::{account, charge::State, low_value::Tally, policy::Policy},
    error::Error,
    keys::Keys,
    records,
    repository::{Changes, Outcome, Repository},
    vault::{LookupKeys, StoredVerification, seal_card},
};
use mesh::{
    clock::{Clock, Entropy, ManualClock, SeededEntropy},
    directory::{Directory, DirectoryHandle},
    identity::{Role, TrustDomain},
    sealing::at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    signing::{Signer, SigningCertificate, SigningTrust},
    store::memory::MemoryStore,
    telemetry::Metrics,
};
use prost::Message as _;
use proto::{
    card::{CardData, Expiry},
    directory::{Entry, Limits, MemberRole, MemberStatus},
    ids::CardOptionId,
    order::SignedOrder,
    pb,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use super::submission::{CHALLENGE, charge_id, policy, session, submission};
use super::{
    acquirer::{Acquirer, Hop, Network, sign, start},
    faults::FaultyStore,
};

pub(super) const PAN: &str = "4000000000000002";

/// The longest that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cards of the tests' customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Card {
    /// Of lin, on a credit line of TWD 1,000.00 that is shared with `Second`.
    First = 1,
    /// Of lin, on the same credit line.
    Second = 2,
    /// Of lin, on a balance of TWD 50.00.
    Debit = 3,
    /// Of lin, in US dollars.
    Dollars = 4,
    /// Of lin, blocked.
    Blocked = 5,
    /// Of lin, expired.
    Expired = 6,
    /// Of wu, on a credit line of TWD 1,000.00.
    OfWu = 7,
}

impl Card {
    pub(super) fn id(self) -> CardOptionId {
        CardOptionId::from_random([self as u8; 16])
    }
}

/// What survives a restart, and what stands around the issuer.
pub(super) struct World {
    pub clock: Arc<ManualClock>,
    pub disk: Arc<MemoryStore>,
    pub acquirer: Arc<Acquirer>,
    pub other: Arc<Acquirer>,
    pub hop: Arc<Hop>,
    pub authority: Authority,
    pub trust: SigningTrust,
    pub operator: Signer,
    pub directory: Arc<DirectoryHandle>,
    /// What every run from now on demands.
    pub policy: Policy,
    issuer: Issued,
    kek: [u8; 32],
}

/// One run of the issuer's process.
pub(super) struct Run {
    pub ctx: Arc<Context>,
    pub store: Arc<FaultyStore>,
}

impl World {
    /// A world and the issuer's first run. Any one factor pays.
    pub(super) async fn new() -> (Self, Run) {
        Self::with_policy(Policy::one_factor()).await
    }

    pub(super) async fn with_policy(policy: Policy) -> (Self, Run) {
        let world = Self { policy, ..Self::empty() };
        let run = world.start(1).await;
        world.fill(&run.ctx).await;
        (world, run)
    }

    fn empty() -> Self {
        let clock = Arc::new(ManualClock::new(start()));
        let authority = Authority::create(domain(), "Tests", DAY * 3650, start() - DAY * 300).unwrap();
        let trust = SigningTrust::new([authority.certificate().clone()]).unwrap();
        let issuer = signing(&authority, Role::Issuer, "bank-aurora");
        let issuer_certificate = trust.certificate(&issuer.certificate).unwrap();
        let operator = signer(&signing(&authority, Role::Operator, "operator"));
        let acquirer = |id| {
            let key = signer(&signing(&authority, Role::Acquirer, id));
            Arc::new(Acquirer::new(id, key, issuer_certificate.clone(), Arc::clone(&clock)))
        };
        let (acquirer, other) = (acquirer("bank-borealis"), acquirer("bank-corona"));
        let world = Self {
            clock,
            disk: Arc::new(MemoryStore::new()),
            directory: Arc::default(),
            policy: Policy::one_factor(),
            acquirer,
            other,
            hop: Arc::default(),
            authority,
            trust,
            operator,
            issuer,
            kek: [7; 32],
        };
        world.publish(&world.trust, |_| {});
        world
    }

    /// Puts a directory in force with one certificate for each acquirer, after a change of the entries.
    pub(super) fn publish(&self, trust: &SigningTrust, change: impl FnOnce(&mut [Entry; 2])) {
        let entry = |acquirer: &Acquirer| Entry {
            member: (&acquirer.id).into(),
            role: MemberRole::Acquirer,
            version: 1,
            status: MemberStatus::Active,
            name_zh_tw: "收單銀行".into(),
            name_en: "Acquiring Bank".into(),
            logo_svg: String::new(),
            app_link: None,
            endpoint: "https://localhost:7443".parse().unwrap(),
            bin_ranges: vec![],
            signing_certificates: vec![acquirer.signer.certificate_der().to_vec().into()],
            limits: Limits { amount_max: vec![], authorizations_per_second: 100 },
            signed_at: start(),
        };
        let mut entries = [entry(&self.acquirer), entry(&self.other)];
        change(&mut entries);
        let file = pb::DirectoryFile {
            entries: entries.iter().map(|entry| sign(&self.operator, &entry.to_pb()).to_pb()).collect(),
            operator_certificates: vec![self.operator.certificate_der().to_vec().into()],
            ..Default::default()
        };
        self.directory.replace(Directory::from_file(&file.encode_to_vec(), trust, &domain()).unwrap());
    }

    /// Starts the issuer over what is on the disk. Each run draws other random bytes.
    pub(super) async fn start(&self, run: u64) -> Run {
        self.start_with(run, ChargeLimits::default()).await
    }

    pub(super) async fn start_with(&self, run: u64, charge_limits: ChargeLimits) -> Run {
        let store = Arc::new(FaultyStore::new(Arc::clone(&self.disk)));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(run));
        let vault = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &self.kek).unwrap()]).unwrap();
        let metrics = Metrics::new();
        let network = Network {
            acquirers: vec![Arc::clone(&self.acquirer), Arc::clone(&self.other)],
            hop: Arc::clone(&self.hop),
            durable: Repository::new(Arc::clone(&self.disk) as Arc<_>),
        };
        let ctx = Context {
            issuer: "bank-aurora".parse().unwrap(),
            repository: Repository::new(Arc::clone(&store) as Arc<_>),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            lookup: LookupKeys::open(self.disk.as_ref(), &vault, entropy.as_ref()).await.unwrap(),
            auth: Auth::new(&PasswordConfig::default(), Arc::clone(&entropy), &vault).unwrap(),
            keys: Keys { signer: signer(&self.issuer), vault },
            entropy,
            verification: Box::new(StoredVerification),
            directory: Arc::clone(&self.directory),
            client: Arc::new(network),
            policy: self.policy.clone(),
            auth_limits: AuthLimits::default(),
            charge_limits,
            numbers: Numbers::new(&metrics),
            metrics,
            bells: Bells::new(),
            audit: Standing::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Run { ctx: Arc::new(ctx), store }
    }

    async fn fill(&self, ctx: &Context) {
        let credit = pb::CardKind::Credit;
        for (id, customer, kind, currency, funds) in [
            ("credit-lin", "lin", credit, "TWD", 100_000),
            ("debit-lin", "lin", pb::CardKind::Debit, "TWD", 5_000),
            ("dollars-lin", "lin", credit, "USD", 100_000),
            ("credit-wu", "wu", credit, "TWD", 100_000),
        ] {
            let account = records::Account {
                account_id: id.into(),
                customer_id: customer.into(),
                kind: kind.into(),
                currency: currency.into(),
                funds,
                ..Default::default()
            };
            assert_eq!(ctx.repository.commit(Changes::new().create(&account)).await.unwrap(), Outcome::Committed);
        }
        for (card, customer, account, expiry, blocked) in [
            (Card::First, "lin", "credit-lin", (2031, 12), false),
            (Card::Second, "lin", "credit-lin", (2026, 11), false),
            (Card::Debit, "lin", "debit-lin", (2031, 12), false),
            (Card::Dollars, "lin", "dollars-lin", (2031, 12), false),
            (Card::Blocked, "lin", "credit-lin", (2031, 12), true),
            (Card::Expired, "lin", "credit-lin", (2026, 10), false),
            (Card::OfWu, "wu", "credit-wu", (2031, 12), false),
        ] {
            let data = CardData {
                pan: PAN.parse().unwrap(),
                expiry: Expiry::new(expiry.0, expiry.1).unwrap(),
                cvv: Some("123".parse().unwrap()),
            };
            let sealed = seal_card(&ctx.keys.vault, &customer.parse().unwrap(), &card.id(), &data).unwrap();
            let record = records::Card {
                card_option_id: card.id().to_string(),
                customer_id: customer.into(),
                account_id: account.into(),
                label: format!("{card:?}"),
                sealed_data: sealed.into(),
                brand: data.pan.brand().into(),
                last_four: data.pan.last_four().into(),
                expiry_month: expiry.1,
                expiry_year: expiry.0,
                blocked,
                // Unique, because nothing here looks a card up by its number.
                number_hash: card.id().to_string().into_bytes().into(),
            };
            assert_eq!(ctx.repository.commit(Changes::new().create(&record)).await.unwrap(), Outcome::Committed);
        }
    }

    /// What is durably left, held and spent of an account, in minor units.
    pub(super) async fn account(&self, id: &str) -> (i64, i64, i64) {
        let durable = Repository::new(Arc::clone(&self.disk) as Arc<_>);
        let record = durable.load(&records::Account::at(&id.parse().unwrap())).await.unwrap().unwrap().value;
        let account = record.domain().unwrap();
        let spent = match account.funds() {
            account::Funds::Credit { spent, .. } => spent.minor_units(),
            account::Funds::Debit { balance } => 5_000 - balance.minor_units(),
        };
        (account.available().minor_units(), account.held().minor_units(), spent)
    }

    /// How many records of any kind lie on the disk under these keys.
    pub(super) async fn claim(&self, order: &SignedOrder) -> Option<records::Claim> {
        let durable = Repository::new(Arc::clone(&self.disk) as Arc<_>);
        durable.load(&records::Claim::at(&order.digest)).await.unwrap().map(|stored| stored.value)
    }

    /// A customer's durable tally of small payments.
    pub(super) async fn tally(&self, customer: &str) -> Tally {
        let durable = Repository::new(Arc::clone(&self.disk) as Arc<_>);
        let stored = durable.load(&records::LowValue::at(&customer.parse().unwrap())).await.unwrap();
        stored.map_or_else(Tally::default, |stored| stored.value.tally().unwrap())
    }

    pub(super) async fn request_is_stored(&self, charge: &Charge) -> bool {
        self.stored_request(charge).await.is_some()
    }

    /// The bytes that would be sent again.
    pub(super) async fn stored_request(&self, charge: &Charge) -> Option<bytes::Bytes> {
        let durable = Repository::new(Arc::clone(&self.disk) as Arc<_>);
        durable.load(&records::Request::at(&charge.authorization)).await.unwrap().map(|stored| stored.value.bytes)
    }
}

impl Run {
    pub(super) async fn submit(&self, charge: u8, order: &SignedOrder, card: Card) -> Result<Charge, Error> {
        charges::submit(&self.ctx, submission("lin", charge, order, card)).await
    }

    pub(super) async fn charge(&self, charge: u8) -> Charge {
        charges::load(&self.ctx, &"lin".parse().unwrap(), &charge_id(charge)).await.unwrap()
    }

    /// Waits until a charge is as it should be.
    pub(super) async fn until(&self, charge: u8, wanted: impl Fn(&State) -> bool) -> Charge {
        let mut bell = self.ctx.bells.listen(&"lin".parse().unwrap(), &charge_id(charge));
        within_patience(async {
            loop {
                let now = self.charge(charge).await;
                if wanted(&now.state) {
                    return now;
                }
                bell.changed().await.unwrap();
            }
        })
        .await
    }

    pub(super) async fn until_final(&self, charge: u8) -> Charge {
        self.until(charge, |state| state.is_final()).await
    }

    pub(super) async fn until_unknown(&self, charge: u8) -> Charge {
        self.until(charge, |state| matches!(state, State::Unknown { .. })).await
    }

    /// Begins to ask about what is not known, beside the test.
    pub(super) fn ask(&self) {
        tokio::spawn(issuer::tasks::resolve::run(Arc::clone(&self.ctx)));
    }
}

/// Waits until a condition holds, giving way to everything else in between.
pub(super) async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    within_patience(async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) async fn within_patience<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this must happen, and soon")
}

/// Lets everything that can run do so, until nothing but the clock could move it.
pub(super) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn domain() -> TrustDomain {
    "bankside.example".parse().unwrap()
}

pub(super) fn signing(authority: &Authority, role: Role, member: &str) -> Issued {
    authority.issue(&LeafRequest::signing(role, member.parse().unwrap()), start() - DAY).unwrap()
}

pub(super) fn signer(issued: &Issued) -> Signer {
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

/// The certificate of a signer, as far as this trust goes.
pub(super) fn certificate(trust: &SigningTrust, signer: &Signer) -> SigningCertificate {
    trust.certificate(signer.certificate_der()).unwrap()
}
