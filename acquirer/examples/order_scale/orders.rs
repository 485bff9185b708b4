//! Orders as the server writes them, without the cryptography that a store never sees.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use acquirer::{
    domain::{
        attempt::{AttemptId, State as Decided},
        merchant::{Day, Totals},
        order::{Course, State, Underway},
    },
    orders::merchant_topic,
    outbox,
    records::{Attempt, KeptOrder, Lines, MerchantDay},
    repository::{Changes, Loaded, Outcome as Committed, Repository},
};
use bytes::Bytes;
use mesh::store::{Kind, RecordId, Version};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Decision, Factor},
    digest::Digest,
    event::{OrderEvent, OrderState, Outcome},
    ids::{AuthorizationId, OrderId},
    money::Money,
    order::{Merchant, Order, OrderLine, SignedOrder, lines_digest},
    pb,
    signed::Signed,
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::Failed;

/// Payments written side by side, so that the store syncs them in large groups.
const SIDE_BY_SIDE: usize = 256;
const SHOP: &str = "shop-books";

/// Everything that is kept of one payment.
struct Payment {
    order: KeptOrder,
    lines: Lines,
    attempt: Attempt,
    event: OrderEvent,
    signed_event: Signed,
}

impl Payment {
    fn new(number: u64, day: SystemTime) -> Result<Self, Failed> {
        // Spread over the day, in the order of their numbers.
        let at = day + Duration::from_millis(number.wrapping_mul(3_600_007) % 86_000_000);
        let order = order(number, at)?;
        let id = AttemptId { issuer: "bank-a".parse()?, authorization: AuthorizationId::from_random(bytes(number, 2)) };
        let decision = Decision::Approved("A1B2C3".parse()?);
        let request_digest = Digest::of(&number.to_be_bytes());
        let result = AuthorizationResult {
            authorization: id.authorization.clone(),
            issuer: id.issuer.clone(),
            acquirer: "scale".parse()?,
            request_digest,
            order_digest: order.signed.digest,
            amount: order.signed.order.amount,
            decision,
            decided_at: at,
        };
        let outcome = Outcome { authorization: id.authorization.clone(), issuer: id.issuer.clone(), decision };
        let attempt = Attempt {
            id,
            request_digest,
            order_digest: order.signed.digest,
            amount: order.signed.order.amount,
            signed_at: at,
            order: Some(order.id().clone()),
            factors: vec![Factor::Knowledge, Factor::Possession],
            consent_digest: Some(request_digest),
            state: Decided::Decided(signed(result.to_pb().encode_to_vec())?),
        };
        let event = OrderEvent {
            position: 1,
            order: order.id().clone(),
            merchant: order.merchant().clone(),
            reference: order.reference.clone(),
            order_digest: order.signed.digest,
            occurred_at: at,
            state: OrderState::Approved,
            authorization: Some(outcome),
            amount: order.signed.order.amount,
        };
        let signed_event = signed(event.to_pb().encode_to_vec())?;
        let lines = Lines { order: order.id().clone(), lines: lines(order.signed.order.amount) };
        Ok(Self { order, lines, attempt, event, signed_event })
    }

    /// The order as it is once it is paid.
    fn paid(&self) -> KeptOrder {
        let course = self.order.state.course().clone();
        let course = Course { position: 1, last: self.event.authorization.clone(), ..course };
        KeptOrder { sealing_key: None, state: State::Approved(course), ..self.order.clone() }
    }

    fn answer(&self) -> (Vec<u8>, Vec<u8>) {
        let key = format!("create/{SHOP}/{}", self.order.reference).into_bytes();
        (key, [self.order.id().as_str().as_bytes(), self.order.signed.digest.as_bytes()].concat())
    }

    /// What the simulated card network keeps: about so many bytes.
    fn network(&self) -> (RecordId, Vec<u8>) {
        let id = format!("{}/{}", self.attempt.id.issuer, self.attempt.id.authorization);
        (RecordId::new(Kind::new("network"), id), vec![7; 60])
    }
}

/// Makes orders, pays them and has their notifications acknowledged, in the commits of a server.
pub(crate) async fn pay(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    let record = MerchantDay { merchant: SHOP.parse()?, day: Day::of(day), totals: Totals::default() };
    committed(repository.commit(Changes::new().create(&record)).await?)?;
    side_by_side(repository, numbers, move |repository, number| async move {
        let payment = Payment::new(number, day)?;
        let (key, answer) = payment.answer();
        let made = Changes::new().create(&payment.order).create(&payment.lines).idempotency(key, answer);
        committed(repository.commit(made).await?)?;
        let order: Loaded<KeptOrder> = load(&repository, payment.order.id()).await?;
        let (network, body) = payment.network();
        let begun = Loaded { version: order.version, entity: begun(&payment.order, &payment.attempt.id) };
        let deciding = Attempt {
            state: Decided::Deciding { since: payment.event.occurred_at, deadline: payment.event.occurred_at },
            ..payment.attempt.clone()
        };
        let intent = Changes::new().update(&begun).create(&deciding);
        committed(repository.commit(intent.with(|t| t.put(network, Version::ABSENT, body, vec![]))).await?)?;
        let order: Loaded<KeptOrder> = load(&repository, payment.order.id()).await?;
        let key = Attempt::key_of(&payment.attempt.id);
        let attempt: Loaded<Attempt> = repository.load(&key).await?.ok_or("no attempt")?;
        let outcome = Changes::new()
            .update(&Loaded { version: order.version, entity: payment.paid() })
            .update(&Loaded { version: attempt.version, entity: payment.attempt.clone() })
            .event(merchant_topic(payment.order.merchant())?, payment.signed_event.to_pb().encode_to_vec())
            .with(|transition| outbox::enqueue(transition, &payment.event, &payment.signed_event));
        committed(repository.commit(outcome).await?)?;
        let delivery = outbox::Delivery::of(&payment.event, &payment.signed_event).id();
        let queued = repository.store().get(&delivery).await?.ok_or("no delivery")?;
        committed(repository.commit(Changes::new().with(|t| t.remove(delivery, queued.version))).await?)
    })
    .await
}

/// Writes finished orders in one commit each.
pub(crate) async fn finished(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    side_by_side(repository, numbers, move |repository, number| async move {
        let payment = Payment::new(number, day)?;
        let (key, answer) = payment.answer();
        let (network, body) = payment.network();
        let changes = Changes::new()
            .create(&payment.paid())
            .create(&payment.lines)
            .create(&payment.attempt)
            .with(|transition| transition.put(network, Version::ABSENT, body, vec![]))
            .event(merchant_topic(payment.order.merchant())?, payment.signed_event.to_pb().encode_to_vec())
            .idempotency(key, answer);
        committed(repository.commit(changes).await?)
    })
    .await
}

/// Writes what a crash leaves: orders whose authorization is being decided, and as many that nobody has paid.
pub(crate) async fn under_way(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    side_by_side(repository, numbers, move |repository, number| async move {
        let payment = Payment::new(number, day)?;
        let open = Payment::new(number + (1 << 40), day)?;
        let attempt = Attempt {
            state: Decided::Deciding { since: payment.event.occurred_at, deadline: payment.event.occurred_at },
            ..payment.attempt.clone()
        };
        let changes = Changes::new()
            .create(&begun(&payment.order, &attempt.id))
            .create(&payment.lines)
            .create(&attempt)
            .create(&open.order)
            .create(&open.lines);
        committed(repository.commit(changes).await?)
    })
    .await
}

async fn side_by_side<F>(
    repository: &Repository,
    numbers: Range<u64>,
    write: impl Fn(Repository, u64) -> F,
) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut writing = JoinSet::new();
    for number in numbers {
        let place = Arc::clone(&places).acquire_owned().await?;
        let write = write(repository.clone(), number);
        writing.spawn(async move {
            let written = write.await;
            drop(place);
            written
        });
        while let Some(written) = writing.try_join_next() {
            written??;
        }
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    Ok(())
}

async fn load(repository: &Repository, order: &OrderId) -> Result<Loaded<KeptOrder>, Failed> {
    Ok(repository.load(order.as_str().as_bytes()).await?.ok_or("no order")?)
}

fn committed(outcome: Committed) -> Result<(), Failed> {
    match outcome {
        Committed::Committed(_) => Ok(()),
        Committed::Stale | Committed::Duplicate(_) => Err("a record was there already".into()),
    }
}

fn begun(order: &KeptOrder, attempt: &AttemptId) -> KeptOrder {
    let underway = Underway { attempt: attempt.clone(), cancel_requested: false, taken_from: None };
    KeptOrder { state: State::Authorizing(order.state.course().clone(), underway), ..order.clone() }
}

fn order(number: u64, at: SystemTime) -> Result<KeptOrder, Failed> {
    let amount = Money::new("TWD".parse()?, 129_900)?;
    let order = Order {
        id: OrderId::from_random(bytes(number, 1)),
        acquirer: "scale".parse()?,
        merchant: Merchant {
            id: SHOP.parse()?,
            display_name: "Lantern Books".into(),
            domain: "books.example".into(),
            category: "5942".parse()?,
        },
        amount,
        lines_digest: lines_digest(&lines(amount)),
        created_at: at,
        expires_at: at + Duration::from_secs(15 * 60),
        return_url: "https://books.example/checkout".parse()?,
        sealing_key: [5; 32],
        delivery_hint: "L*** Taipei".into(),
        device_check_url: None,
    };
    let signed = SignedOrder::parse(signed(order.to_pb().encode_to_vec())?.to_pb())?;
    let state = State::new(signed.order.expires_at);
    Ok(KeptOrder {
        signed,
        reference: format!("R-{number}").parse()?,
        sealing_key: Some(Bytes::from(vec![9; 80])),
        state,
    })
}

fn lines(amount: Money) -> Vec<OrderLine> {
    vec![OrderLine { description: "A history of lanterns".into(), quantity: 1, unit_price: amount }]
}

/// A body under a signature that nobody verifies here.
fn signed(body: Vec<u8>) -> Result<Signed, Failed> {
    let pb =
        pb::Signed { body: body.into(), key_id: "5ca1e".repeat(7)[..32].to_owned(), signature: vec![7; 64].into() };
    Ok(Signed::parse(pb, 4096)?)
}

/// Sixteen bytes that look random and follow from the number.
fn bytes(number: u64, what: u8) -> [u8; 16] {
    let digest = Digest::of_parts([&number.to_be_bytes()[..], &[what]]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes
}
