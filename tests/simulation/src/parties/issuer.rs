//! The issuers: charges, recovery and questions are the real ones, over the simulated store and wires. Customers are
//! signed in without proving who they are, which is not what is looked at here.

use std::{cell::RefCell, sync::Arc, time::Duration};

use async_trait::async_trait;
use issuer::{
    audit::Standing,
    auth::{Auth, PasswordConfig},
    charges::{self, Bells, Numbers},
    client::{Answer, AuthorizationClient, Call, Unanswered},
    config::{AuthLimits, ChargeLimits},
    context::Context,
    domain::policy::Policy,
    error::Error,
    keys::Keys,
    records::{self, Entity},
    repository::Repository,
    tasks,
    vault::{LookupKeys, StoredVerification, seal_card},
};
use mesh::{
    clock::SystemEntropy,
    status::reason_of,
    store::{Transition, Version},
    telemetry::Metrics,
};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Carried, Decision, DeclineReason, Request, SIGNED_NOTE_BYTES_MAX},
    card::{CardData, Expiry},
    ids::{AuthorizationId, CardOptionId},
    pb,
    signed::{Signed, SignedBody},
    time::parse_duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Status};

use crate::{
    disk,
    mistake::Mistake,
    party::Party,
    pki::{self, Pki, bin_of},
    serve::until_open,
    wire::{Broken, Message, Reply, call},
    world::World,
};

/// How many customers a bank has; each has two cards.
pub const CUSTOMERS: u64 = 2;

thread_local! {
    /// Making what sign-in needs takes one password's time, and no charge looks at it.
    static SIGN_IN: RefCell<Vec<Auth>> = const { RefCell::new(Vec::new()) };
}

/// A customer's own id.
#[must_use]
pub fn customer_id(customer: u64) -> String {
    format!("customer-{customer}")
}

/// A card's id.
#[must_use]
pub fn card_id(party: Party, customer: u64, card: u64) -> CardOptionId {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(party.place()).unwrap_or_default();
    bytes[1] = u8::try_from(2 * customer + card).unwrap_or_default();
    CardOptionId::from_random(bytes)
}

/// A card's data.
#[must_use]
pub fn card_data(party: Party, customer: u64, card: u64) -> CardData {
    let head = format!("{}{:07}", bin_of(party), 4_711_000 + 2 * customer + card);
    // Luhn's check digit.
    let sum: u32 = head
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            let doubled = if place % 2 == 0 { digit * 2 } else { digit };
            doubled / 10 + doubled % 10
        })
        .sum();
    let pan = format!("{head}{}", (10 - sum % 10) % 10);
    CardData {
        pan: pan.parse().expect("invariant: a right check digit"),
        expiry: Expiry::new(2031, 12).expect("invariant: a month"),
        cvv: Some(format!("{}", 731 + 2 * customer + card).parse().expect("invariant: three digits")),
    }
}

/// Every card of the run.
pub fn cards() -> impl Iterator<Item = CardData> {
    let of = |party| (0..CUSTOMERS).flat_map(move |customer| (0..2).map(move |card| card_data(party, customer, card)));
    Party::ISSUERS.into_iter().flat_map(of)
}

/// Writes a bank's customers and cards on its disk. The first customer's cards share a tight credit line; the
/// second one's draw on a credit line and on a balance.
pub fn fill(world: &World, party: Party) {
    let account = |id: &str, customer: u64, kind: pb::CardKind, funds: i64| records::Account {
        account_id: id.to_owned(),
        customer_id: customer_id(customer),
        kind: kind.into(),
        currency: "TWD".to_owned(),
        funds,
        ..Default::default()
    };
    let accounts = [
        account("shared", 0, pb::CardKind::Credit, 1_200),
        account("credit", 1, pb::CardKind::Credit, 900),
        account("debit", 1, pb::CardKind::Debit, 900),
    ];
    let mut transition = accounts.iter().fold(Transition::new(), create);
    let vault = pki::vault();
    for (customer, card, account) in [(0, 0, "shared"), (0, 1, "shared"), (1, 0, "credit"), (1, 1, "debit")] {
        let data = card_data(party, customer, card);
        let id = card_id(party, customer, card);
        let holder = customer_id(customer).parse().expect("invariant: an own id");
        let sealed = seal_card(&vault, &holder, &id, &data).expect("invariant: a vault with a key");
        let record = records::Card {
            card_option_id: id.to_string(),
            customer_id: customer_id(customer),
            account_id: account.to_owned(),
            label: "Card".to_owned(),
            sealed_data: sealed.into(),
            brand: data.pan.brand().to_owned(),
            last_four: data.pan.last_four().to_owned(),
            expiry_month: 12,
            expiry_year: 2031,
            blocked: false,
            number_hash: id.to_string().into_bytes().into(),
        };
        transition = create(transition, &record);
    }
    world.watch(|watch| watch.durable(party, &transition));
    world.disk(party).fill(transition);
}

fn create<T: Entity>(transition: Transition, record: &T) -> Transition {
    transition.put(record.key().record_id(), Version::ABSENT, record.encode_to_vec(), record.indexes())
}

/// Starts an issuer's process over what is on its disk, as its role does it: what the last process left is put
/// right before the first call is taken. Where the store doesn't allow that, the process ends and is started again.
pub fn start(world: &Arc<World>, party: Party) {
    let starting = {
        let world = Arc::clone(world);
        async move {
            let store = Arc::new(disk::Engine::open(&world, party));
            let entropy = world.entropy(party);
            let vault = pki::vault();
            let Ok(lookup) = LookupKeys::open(store.as_ref(), &vault, entropy.as_ref()).await else {
                world.gives_up(party);
                return;
            };
            let metrics = Metrics::new();
            let ctx = Arc::new(Context {
                issuer: party.id().parse().expect("invariant: a constant"),
                repository: Repository::new(store),
                clock: world.clock(party),
                auth: sign_in(),
                entropy,
                keys: Keys { signer: Pki::get().issuer(party).clone(), vault },
                lookup,
                verification: Box::new(StoredVerification),
                directory: world.directory(),
                client: Arc::new(Client { world: Arc::clone(&world), party }),
                policy: Policy::one_factor(),
                auth_limits: AuthLimits::default(),
                charge_limits: ChargeLimits::default(),
                numbers: Numbers::new(&metrics),
                metrics,
                bells: Bells::new(),
                audit: Standing::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            });
            let recovers = world.mistake != Some(Mistake::NoIssuerRecovery);
            if recovers && tasks::recovery::recover(&ctx).await.is_err() {
                world.gives_up(party);
                return;
            }
            tokio::spawn(tasks::resolve::run(Arc::clone(&ctx)));
            if recovers {
                tokio::spawn(tasks::recovery::run(Arc::clone(&ctx)));
            }
            world.roles(|roles| roles.issuers[party_place(party)] = Some(ctx));
        }
    };
    world.host(party).spawn(starting);
}

/// An issuer's place among the issuers.
#[must_use]
pub fn party_place(party: Party) -> usize {
    usize::from(party == Party::South)
}

/// Takes back what is costly to make. To be called when a process has ended.
pub fn recycle(ctx: Arc<Context>) {
    if let Some(ctx) = Arc::into_inner(ctx) {
        SIGN_IN.with_borrow_mut(|spare| spare.push(ctx.auth));
    }
}

fn sign_in() -> Auth {
    SIGN_IN.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
        let made = Auth::new(&PasswordConfig::default(), Arc::new(SystemEntropy::new()), &pki::vault());
        made.expect("invariant: the default settings are right")
    })
}

/// One call at the issuer's port for devices.
pub async fn serve(world: &Arc<World>, party: Party, message: Message) -> Reply {
    let ctx = until_open(world, party, || world.roles(|roles| roles.issuers[party_place(party)].clone())).await;
    let charge = match message {
        Message::Submit(submission) => charges::submit(&ctx, *submission).await,
        Message::Look(customer, charge) => match customer.parse() {
            Ok(customer) => charges::load(&ctx, &customer, &charge).await,
            Err(_) => Err(Error::ChargeNotFound),
        },
        Message::Authorize(_)
        | Message::Resolve(_)
        | Message::Create(_)
        | Message::Cancel(_)
        | Message::Watch(_)
        | Message::Notify(_)
        | Message::CardAuthorize(_)
        | Message::CardInquire(..)
        | Message::CardReverse(..) => return std::future::pending().await,
    };
    match charge {
        Ok(charge) => Reply::Charge(Box::new(charge)),
        Err(error) => {
            let reason = reason_of(&Status::from(error)).unwrap_or_default();
            // The reasons that a phone acts on; for every other one it comes again.
            let known = [
                "CHARGE_ID_REUSED",
                "CHARGE_IN_PROGRESS",
                "CHARGE_NOT_FOUND",
                "INSUFFICIENT_FUNDS",
                "ORDER_ALREADY_CHARGED",
                "ORDER_EXPIRED",
                "ORDER_SIGNATURE_INVALID",
            ];
            Reply::NoCharge(known.into_iter().find(|known| *known == reason).unwrap_or("other"))
        }
    }
}

/// The issuer's way to the acquirer, in place of the gRPC clients.
#[derive(Debug)]
struct Client {
    world: Arc<World>,
    party: Party,
}

impl Client {
    async fn call(&self, request: &Call, message: Message) -> Result<bytes::Bytes, Unanswered> {
        let to = if self.needs_ticket() { Party::Platform } else { Party::Acquirer };
        let about = self.world.watch(|watch| watch.number_of_order(&request.route.order_digest));
        match call(&self.world, self.party, to, about, message).await {
            Ok(Reply::Bytes(bytes)) => Ok(bytes),
            Ok(Reply::Status(status)) => Err(unanswered(&status)),
            Ok(other) => Err(Unanswered::Connection(format!("answered {other:?}"))),
            Err(Broken) => Err(Unanswered::Connection("reset".to_owned())),
        }
    }
}

#[async_trait]
impl AuthorizationClient for Client {
    async fn authorize(&self, request: &Call, _: Duration) -> Result<Signed, Unanswered> {
        let bytes = request.to_authorize().encode_to_vec();
        let bytes = if self.world.mistake == Some(Mistake::CardInTheClear) { leaky(self.party, bytes) } else { bytes };
        let bytes = bytes::Bytes::from(bytes);
        self.world.watch(|watch| {
            let number = watch.number_of_order(&request.route.order_digest);
            watch.requested(self.party, number, &bytes);
        });
        let answered = self.call(request, Message::Authorize(bytes)).await;
        if let Err(Unanswered::Connection(_)) = &answered
            && self.world.mistake == Some(Mistake::LostMeansDeclined)
        {
            return Ok(forged_decline(&self.world, request));
        }
        let answer = pb::AuthorizeResponse::decode(answered?).map_err(|_| malformed("authorize"))?;
        check_id(&answer.authorization_id, &request.route.authorization)?;
        result(answer.result)
    }

    async fn resolve(&self, question: &Call, _: Duration) -> Result<Answer, Unanswered> {
        let request = pb::ResolveAuthorizationRequest {
            route: Some(question.route.to_pb()),
            request: Some(question.signed.to_pb()),
        };
        let answer = self.call(question, Message::Resolve(request.encode_to_vec().into())).await?;
        let answer = pb::ResolveAuthorizationResponse::decode(answer).map_err(|_| malformed("resolve"))?;
        check_id(&answer.authorization_id, &question.route.authorization)?;
        match answer.outcome {
            Some(pb::resolve_authorization_response::Outcome::Result(signed)) => {
                result(Some(signed)).map(Answer::Result)
            }
            Some(pb::resolve_authorization_response::Outcome::Pending(pending)) => {
                let retry_after = pending.retry_after.and_then(|wait| parse_duration(wait).ok()).unwrap_or_default();
                Ok(Answer::Pending { retry_after })
            }
            None => Err(malformed("outcome")),
        }
    }

    fn needs_ticket(&self) -> bool {
        self.party == Party::North
    }
}

fn check_id(answered: &str, asked: &AuthorizationId) -> Result<(), Unanswered> {
    if answered == asked.as_str() { Ok(()) } else { Err(Unanswered::OtherAuthorization) }
}

fn result(signed: Option<pb::Signed>) -> Result<Signed, Unanswered> {
    let signed = signed.ok_or_else(|| malformed("result"))?;
    Signed::parse(signed, SIGNED_NOTE_BYTES_MAX).map_err(Unanswered::Malformed)
}

fn malformed(field: &str) -> Unanswered {
    Unanswered::Malformed(proto::fields::Invalid::field(field, "can't be read"))
}

fn unanswered(status: &Status) -> Unanswered {
    if status.code() == Code::DeadlineExceeded {
        return Unanswered::TooLate;
    }
    Unanswered::Refused { code: status.code(), reason: reason_of(status).unwrap_or_default() }
}

/// The mistake: a decline where there is no answer, as if the acquirer had signed it.
fn forged_decline(world: &World, request: &Call) -> Signed {
    let signer = &Pki::get().acquirer;
    let asked = Carried::<Request>::parse(request.signed.to_pb()).map(|carried| carried.says.signed_at);
    let result = AuthorizationResult {
        authorization: request.route.authorization.clone(),
        issuer: request.route.issuer.clone(),
        acquirer: request.route.acquirer.clone(),
        request_digest: request.signed.digest(),
        order_digest: request.route.order_digest,
        amount: request.route.amount,
        decision: Decision::Declined(DeclineReason::NetworkUnavailable),
        decided_at: asked.unwrap_or_else(|_| world.clock(Party::Acquirer).now()),
    };
    let body = result.to_pb().encode_to_vec();
    let signature = signer.sign(pb::AuthorizationResult::NAME, &body);
    let key_id = signer.key_id().to_string().parse().expect("invariant: 32 hexadecimal digits");
    Signed { body: body.into(), key_id, signature }
}

/// The mistake: the card's number beside the sealed card, in a field that no reader knows.
fn leaky(party: Party, mut bytes: Vec<u8>) -> Vec<u8> {
    let pan = card_data(party, 0, 0).pan.expose().to_owned();
    bytes.extend([0x7a, u8::try_from(pan.len()).unwrap_or_default()]);
    bytes.extend(pan.as_bytes());
    bytes
}
