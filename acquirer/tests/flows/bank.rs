//! One acquirer with its network of two issuers, and everything that talks to it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use acquirer::{
    authorize::{Authorizer, Resolution},
    config::Limits,
    context::{Context, Merchants},
    device_check::DeviceTokens,
    domain::{authentication::Policy, authorization::Caller, order::State, same_device::SameDevice},
    error::Error,
    keys::{Seal, SealingKeys},
    network::{NetworkId, Sale},
    orders::{NewOrder, OrderName, Orders},
    records::KeptOrder,
    repository::Repository,
};
use certs::authority::{AUTHORITY_LIFETIME, Authority, Issued, LeafRequest};
use mesh::{
    clock::{Clock as _, ManualClock, SystemEntropy},
    directory::DirectoryHandle,
    identity::Role,
    sealing::{
        SealingPublicKey,
        at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    },
    signing::Signer,
    store::{Seq, Store, memory::MemoryStore},
};
use prost::Message as _;
use proto::{
    authorization::{
        AuthorizationResult, Carried, Decision, DeclineReason, Factor, Question, Request, Route, SEALED_CARD_INFO,
        sealed_card_aad,
    },
    card::{CardData, Expiry},
    event::OrderEvent,
    ids::{AuthorizationId, IssuerId, MerchantId, OrderId},
    money::Money,
    order::OrderLine,
    pb,
    signed::{Signed, SignedBody},
};
use tokio::sync::Notify;

use super::{
    members::{directory, profile, sign, signer},
    network::ScriptedNetwork,
};

pub(crate) const DOMAIN: &str = "pay.example";
pub(crate) const ACQUIRER: &str = "acquirer-one";
/// A card of bank-a, by the directory below.
pub(crate) const PAN: &str = "4000000000000002";

/// 2026-09-17, some time in the morning.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_789_600_000)
}

pub(crate) fn twd(units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), units).unwrap()
}

pub(crate) fn shop() -> MerchantId {
    "shop-books".parse().unwrap()
}

pub(crate) fn other_shop() -> MerchantId {
    "shop-tea".parse().unwrap()
}

/// A bank that issues cards.
pub(crate) struct IssuerBank {
    pub(crate) id: IssuerId,
    signer: Signer,
}

/// The acquirer under test.
pub(crate) struct Bank {
    pub(crate) context: Arc<Context>,
    pub(crate) orders: Orders,
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) network: Arc<ScriptedNetwork>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) a: IssuerBank,
    pub(crate) b: IssuerBank,
    parts: Arc<Parts>,
    store: Arc<dyn Store>,
}

/// What survives a restart.
pub(crate) struct Parts {
    pub(crate) authority: Authority,
    pub(crate) operator: Signer,
    pub(crate) acquirer: Issued,
    pub(crate) issuers: [Issued; 2],
    authentication: Policy,
    same_device: SameDevice,
    key: Vec<u8>,
}

impl Bank {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self::demanding(Policy::default(), store)
    }

    /// A bank that has demands of its own on the issuers' identity verification.
    pub(crate) fn demanding(authentication: Policy, store: Arc<dyn Store>) -> Self {
        Self::with(authentication, SameDevice::default(), store)
    }

    /// A bank that checks the device of payments above these amounts.
    pub(crate) fn checking_devices(above: Vec<Money>) -> Self {
        Self::with(Policy::default(), SameDevice::new(above), Arc::new(MemoryStore::new()))
    }

    fn with(authentication: Policy, same_device: SameDevice, store: Arc<dyn Store>) -> Self {
        let authority = Authority::create(DOMAIN.parse().unwrap(), "Test", AUTHORITY_LIFETIME, start()).unwrap();
        let signing =
            |role, id: &str| authority.issue(&LeafRequest::signing(role, id.parse().unwrap()), start()).unwrap();
        let acquirer = signing(Role::Acquirer, ACQUIRER);
        let issuers = [signing(Role::Issuer, "bank-a"), signing(Role::Issuer, "bank-b")];
        let operator = signer(&signing(Role::Operator, "operator-one"));
        let (_, key) = KeyEncryptionKey::generate(KeyVersion::new(1)).unwrap();
        let key = key.to_vec();
        let parts = Arc::new(Parts { authority, operator, acquirer, issuers, authentication, same_device, key });
        Self::start(parts, store, Arc::new(ManualClock::new(start())), Arc::new(ScriptedNetwork::new()))
    }

    /// The same bank after its process ended and began again: nothing is left but the store, the keys, the
    /// card network and the time.
    pub(crate) fn restarted(&self) -> Self {
        self.restarted_over(Arc::clone(&self.store))
    }

    /// The same over a store that was opened again.
    pub(crate) fn restarted_over(&self, store: Arc<dyn Store>) -> Self {
        Self::start(Arc::clone(&self.parts), store, Arc::clone(&self.clock), Arc::clone(&self.network))
    }

    fn start(parts: Arc<Parts>, store: Arc<dyn Store>, clock: Arc<ManualClock>, network: Arc<ScriptedNetwork>) -> Self {
        let kek = KeyEncryptionKey::new(KeyVersion::new(1), &parts.key).unwrap();
        let context = Arc::new(Context {
            acquirer: ACQUIRER.parse().unwrap(),
            merchants: Merchants::new([profile("shop-books", Some(twd(200_000))), profile("shop-tea", None)]),
            limits: Limits::default(),
            authentication: parts.authentication.clone(),
            same_device: parts.same_device.clone(),
            device_tokens: DeviceTokens::new(&[3; 32]),
            public_url: "https://pay.example/".parse().unwrap(),
            repository: Repository::new(Arc::clone(&store)),
            clock: Arc::clone(&clock) as Arc<dyn mesh::clock::Clock>,
            entropy: Arc::new(SystemEntropy::new()),
            seal: Seal::new(signer(&parts.acquirer)),
            sealing_keys: SealingKeys::new(Vault::new([kek]).unwrap()),
            platform: Some("platform-one".parse().unwrap()),
            directory: Arc::new(DirectoryHandle::new(directory(&parts, pb::MemberStatus::Active))),
            reversals: Notify::new(),
        });
        let issuer =
            |place: usize, id: &str| IssuerBank { id: id.parse().unwrap(), signer: signer(&parts.issuers[place]) };
        Self {
            orders: Orders::new(Arc::clone(&context)),
            authorizer: Authorizer::new(Arc::clone(&context), Arc::clone(&network) as _),
            a: issuer(0, "bank-a"),
            b: issuer(1, "bank-b"),
            context,
            network,
            clock,
            parts,
            store,
        }
    }

    /// Puts a directory in force in which bank-a has this status.
    pub(crate) fn set_status_of_a(&self, status: pb::MemberStatus) {
        self.context.directory.replace(directory(&self.parts, status));
    }

    /// Advances the clock once somebody sleeps on it.
    pub(crate) async fn advance_a_sleeper(&self, by: Duration) {
        while self.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(by);
    }

    pub(crate) async fn order(&self, reference: &str, units: i64) -> KeptOrder {
        self.orders.create(&shop(), &new_order(reference, units)).await.unwrap().order
    }

    pub(crate) async fn find(&self, order: &KeptOrder) -> KeptOrder {
        self.orders.find(order.merchant(), &OrderName::Id(order.id().clone())).await.unwrap()
    }

    pub(crate) async fn state(&self, order: &KeptOrder) -> State {
        self.find(order).await.state
    }

    /// Asks for an authorization as its issuer does.
    pub(crate) async fn authorize(&self, request: &Sent) -> Result<Carried<AuthorizationResult>, Error> {
        let caller = Caller::Issuer(request.request.says.issuer.clone());
        let call = self.authorizer.authorize(&caller, &request.route, request.request.clone());
        // Generous, and there to make a call that waits in vain a failure.
        let result = tokio::time::timeout(Duration::from_secs(30), call).await.expect("an answer in time")?;
        let result = Carried::<AuthorizationResult>::parse(result.to_pb()).unwrap();
        self.check(request, &result);
        Ok(result)
    }

    /// The same on a task of its own, as a server does it.
    pub(crate) fn spawn(&self, request: &Sent) -> tokio::task::JoinHandle<Result<Signed, Error>> {
        let (authorizer, request) = (Arc::clone(&self.authorizer), request.clone());
        tokio::spawn(async move {
            let caller = Caller::Issuer(request.request.says.issuer.clone());
            authorizer.authorize(&caller, &request.route, request.request).await
        })
    }

    pub(crate) async fn resolve(&self, issuer: &IssuerBank, question: Question) -> Result<Resolution, Error> {
        let route = Route {
            issuer: question.issuer.clone(),
            acquirer: question.acquirer.clone(),
            authorization: question.authorization.clone(),
            order_digest: question.order_digest,
            amount: question.amount,
            ticket: bytes::Bytes::new(),
        };
        let signed = issuer.sign_question(&question);
        let question = Carried::<Question>::parse(signed.to_pb()).unwrap();
        self.authorizer.resolve(&Caller::Issuer(issuer.id.clone()), &route, &question).await
    }

    pub(crate) fn question(&self, sent: &Sent) -> Question {
        let Request { id, issuer, acquirer, order, amount, signed_at, .. } = &sent.request.says;
        Question {
            authorization: id.clone(),
            issuer: issuer.clone(),
            acquirer: acquirer.clone(),
            request_digest: sent.request.signed.digest(),
            order_digest: order.digest,
            amount: *amount,
            request_signed_at: *signed_at,
            signed_at: self.clock.now(),
        }
    }

    /// Every event of a merchant, checked for its signature and for positions without a gap.
    pub(crate) async fn events(&self, merchant: &MerchantId) -> Vec<OrderEvent> {
        let mut events: Vec<OrderEvent> = Vec::new();
        let mut after = Seq::START;
        loop {
            let page = self.orders.events_after(merchant, after).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            for (_, signed) in page.events {
                let Carried { signed, says } = Carried::<OrderEvent>::parse(signed.to_pb()).unwrap();
                self.verify::<pb::OrderEvent>(&signed, says.occurred_at);
                let last = events.iter().filter(|event| event.order == says.order).map(|event| event.position).max();
                assert_eq!(says.position, last.unwrap_or(0) + 1, "positions have no gap");
                events.push(says);
            }
            after = page.next;
        }
    }

    /// What an issuer checks of a result.
    pub(crate) fn check(&self, sent: &Sent, result: &Carried<AuthorizationResult>) {
        let (asked, says) = (&sent.request.says, &result.says);
        assert_eq!((&says.authorization, &says.issuer, &says.acquirer), (&asked.id, &asked.issuer, &asked.acquirer));
        assert_eq!(says.request_digest, sent.request.signed.digest());
        assert_eq!((says.order_digest, says.amount), (asked.order.digest, asked.amount));
        self.verify::<pb::AuthorizationResult>(&result.signed, says.decided_at);
    }

    fn verify<M: SignedBody>(&self, signed: &Signed, at: SystemTime) {
        let directory = self.context.directory.current();
        directory.acquirer(&ACQUIRER.parse().unwrap()).unwrap().verify::<M>(signed, at).unwrap();
    }
}

/// A request as an issuer sends it, with its route.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) route: Route,
    pub(crate) request: Carried<Request>,
}

impl Sent {
    pub(crate) fn network_id(&self) -> NetworkId {
        NetworkId { issuer: self.request.says.issuer.clone(), authorization: self.request.says.id.clone() }
    }

    pub(crate) fn sale(&self) -> Sale {
        let says = &self.request.says;
        Sale { amount: says.amount, merchant: says.order.order.merchant.id.clone() }
    }
}

impl IssuerBank {
    /// A question as it travels.
    pub(crate) fn sign_question(&self, question: &Question) -> Signed {
        sign(&self.signer, &question.to_pb())
    }

    /// A request for an order with a good card of bank-a, under an id of its own.
    pub(crate) fn request(&self, order: &KeptOrder, number: u8, at: SystemTime) -> Sent {
        self.request_with(order, number, at, &card(PAN), |_| {})
    }

    /// The same with another card, and changed before it is signed.
    pub(crate) fn request_with(
        &self,
        order: &KeptOrder,
        number: u8,
        at: SystemTime,
        card: &pb::CardData,
        change: impl FnOnce(&mut Request),
    ) -> Sent {
        let id = AuthorizationId::from_random([number; 16]);
        let public = SealingPublicKey::from_bytes(&order.signed.order.sealing_key).unwrap();
        let aad = sealed_card_aad(&order.signed.digest, &id);
        let sealed = public.seal(SEALED_CARD_INFO, &aad, &card.encode_to_vec()).unwrap();
        let mut request = Request {
            id,
            issuer: self.id.clone(),
            acquirer: ACQUIRER.parse().unwrap(),
            order: order.signed.clone(),
            amount: order.signed.order.amount,
            sealed_card: sealed.into(),
            signed_at: at,
            factors: vec![Factor::Knowledge],
            consent_digest: None,
            device_confirmation: None,
        };
        change(&mut request);
        let route = Route {
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            authorization: request.id.clone(),
            order_digest: request.order.digest,
            amount: request.amount,
            ticket: bytes::Bytes::new(),
        };
        let signed = sign(&self.signer, &request.to_pb());
        Sent { route, request: Carried::<Request>::parse(signed.to_pb()).unwrap() }
    }
}

pub(crate) fn card(pan: &str) -> pb::CardData {
    pb::CardData { pan: pan.into(), expiry_month: 12, expiry_year: 2031, cvv: "123".into() }
}

/// The same card as the domain has it.
pub(crate) fn opened_card() -> CardData {
    CardData { pan: PAN.parse().unwrap(), expiry: Expiry::new(2031, 12).unwrap(), cvv: "123".parse().ok() }
}

pub(crate) fn new_order(reference: &str, units: i64) -> NewOrder {
    NewOrder {
        reference: reference.parse().unwrap(),
        amount: twd(units),
        lines: vec![OrderLine { description: "A book".into(), quantity: 1, unit_price: twd(units) }],
        return_url: "https://shop.example/done".parse().unwrap(),
        life: None,
        delivery_hint: String::new(),
    }
}

pub(crate) fn some_order() -> OrderId {
    OrderId::from_random([99; 16])
}

pub(crate) fn approved(result: &Carried<AuthorizationResult>) -> bool {
    result.says.decision.is_approved()
}

pub(crate) fn declined(result: &Carried<AuthorizationResult>) -> Option<DeclineReason> {
    match result.says.decision {
        Decision::Approved(_) => None,
        Decision::Declined(reason) => Some(reason),
    }
}
