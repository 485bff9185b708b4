//! Charges as the server writes them, without the cryptography that a store never sees.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use issuer::{
    charges::Charge,
    domain::charge::{Inquiry, Sent, State},
    records::{Claim, Consent, Request},
    repository::{Changes, Outcome, Repository, Stored},
};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Decision, Factor},
    digest::Digest,
    ids::{AuthorizationId, CardOptionId, ChargeId, OrderId},
    money::Money,
    order::{Merchant, Order, SignedOrder},
    pb,
    signed::Signed,
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::Failed;

/// Charges written side by side, so that the store syncs them in large groups.
const SIDE_BY_SIDE: usize = 256;
/// One charge in so many has a signed consent.
const CONSENTED: u64 = 2;

/// Takes charges, sends and ends them, in the commits of a server.
pub(crate) async fn pay(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    side_by_side(repository, numbers, move |repository, number| async move {
        let charge = charge(number, day)?;
        let held = Charge { state: State::Held, result: None, ..charge.clone() };
        let changes = Changes::new().create(&held.to_record()).create(&claim(&charge, false));
        let changes = if charge.consent.is_some() { changes.create(&consent(&charge)) } else { changes };
        committed(repository.commit(changes).await?)?;
        let sent = charge.state.sent().ok_or("nothing was sent")?;
        let under_way = Charge { state: State::Sent(sent), ..held };
        let request = Request { authorization_id: charge.authorization.to_string(), bytes: vec![3; 1_400].into() };
        let stored = load(&repository, &charge).await?;
        let changes = Changes::new().replace(stored.version, &under_way.to_record()).create(&request);
        committed(repository.commit(changes).await?)?;
        let stored = load(&repository, &charge).await?;
        let claimed = repository.load(&Claim::at(&charge.order.digest)).await?.ok_or("no claim")?;
        let request = repository.load(&Request::at(&charge.authorization)).await?.ok_or("no request")?;
        let changes = Changes::new()
            .replace(stored.version, &charge.to_record())
            .replace(claimed.version, &claim(&charge, true))
            .remove(&request);
        committed(repository.commit(changes).await?)
    })
    .await
}

/// Writes ended charges in one commit each.
pub(crate) async fn ended(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    side_by_side(repository, numbers, move |repository, number| async move {
        let charge = charge(number, day)?;
        let changes = Changes::new().create(&charge.to_record()).create(&claim(&charge, true));
        let changes = if charge.consent.is_some() { changes.create(&consent(&charge)) } else { changes };
        committed(repository.commit(changes).await?)
    })
    .await
}

/// Writes what a crash leaves: charges that were sent, and as many that the acquirer is asked about.
pub(crate) async fn sent(repository: &Repository, numbers: Range<u64>, day: SystemTime) -> Result<(), Failed> {
    side_by_side(repository, numbers, move |repository, number| async move {
        let ended = charge(number, day)?;
        let what: Sent = ended.state.sent().ok_or("nothing was sent")?;
        let sent = Charge { state: State::Sent(what), result: None, ..ended };
        let other = charge(number + (1 << 40), day)?;
        let next = Inquiry::At(other.updated_at);
        let unknown = Charge { state: State::Unknown { sent: what, questions: 3, next }, result: None, ..other };
        let changes = Changes::new()
            .create(&sent.to_record())
            .create(&claim(&sent, false))
            .create(&unknown.to_record())
            .create(&claim(&unknown, false));
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

async fn load(repository: &Repository, charge: &Charge) -> Result<Stored<issuer::records::Charge>, Failed> {
    let key = issuer::records::Charge::at(&charge.customer, &charge.id);
    Ok(repository.load(&key).await?.ok_or("no charge")?)
}

fn committed(outcome: Outcome) -> Result<(), Failed> {
    match outcome {
        Outcome::Committed => Ok(()),
        Outcome::Reload => Err("a record was there already".into()),
    }
}

/// A charge that was approved.
fn charge(number: u64, day: SystemTime) -> Result<Charge, Failed> {
    // Spread over the day, in the order of their numbers.
    let at = day + Duration::from_millis(number.wrapping_mul(3_600_007) % 86_000_000);
    let order = order(number, at)?;
    let authorization = AuthorizationId::from_random(bytes(number, 2));
    let request_digest = Digest::of(&number.to_be_bytes());
    let decision = Decision::Approved("A1B2C3".parse()?);
    let result = AuthorizationResult {
        authorization: authorization.clone(),
        issuer: "scale".parse()?,
        acquirer: order.order.acquirer.clone(),
        request_digest,
        order_digest: order.digest,
        amount: order.order.amount,
        decision,
        decided_at: at,
    };
    Ok(Charge {
        customer: format!("customer-{}", number % 50_000).parse()?,
        id: ChargeId::from_random(bytes(number, 3)),
        card: CardOptionId::from_random(bytes(number % 50_000, 4)),
        account: format!("account-{}", number % 50_000).parse()?,
        authorization,
        factors: vec![Factor::Knowledge, Factor::Possession],
        consent: number.is_multiple_of(CONSENTED).then_some(request_digest),
        low_value_epoch: None,
        created_at: at,
        updated_at: at,
        state: State::Approved { sent: Sent { request_digest, signed_at: at }, code: "A1B2C3".parse()? },
        result: Some(signed(result.to_pb().encode_to_vec())?),
        order,
    })
}

fn claim(charge: &Charge, paid: bool) -> Claim {
    Claim {
        order_digest: charge.order.digest.to_bytes(),
        customer_id: charge.customer.to_string(),
        charge_id: charge.id.to_string(),
        paid,
    }
}

fn consent(charge: &Charge) -> Consent {
    Consent {
        customer_id: charge.customer.to_string(),
        charge_id: charge.id.to_string(),
        signed: Some(pb::Signed { body: vec![4; 240].into(), ..Default::default() }),
        device_public_key: vec![5; 32].into(),
        factors: Vec::new(),
        received_at_ms: 0,
    }
}

fn order(number: u64, at: SystemTime) -> Result<SignedOrder, Failed> {
    let order = Order {
        id: OrderId::from_random(bytes(number, 1)),
        acquirer: "acquirer-one".parse()?,
        merchant: Merchant {
            id: "shop-books".parse()?,
            display_name: "Lantern Books".into(),
            domain: "books.example".into(),
            category: "5942".parse()?,
        },
        amount: Money::new("TWD".parse()?, 129_900)?,
        lines_digest: Digest::of(b"lines"),
        created_at: at,
        expires_at: at + Duration::from_secs(15 * 60),
        return_url: "https://books.example/checkout".parse()?,
        sealing_key: [5; 32],
        delivery_hint: "L*** Taipei".into(),
        device_check_url: None,
    };
    Ok(SignedOrder::parse(signed(order.to_pb().encode_to_vec())?.to_pb())?)
}

/// A body under a signature that nobody verifies here.
fn signed(body: Vec<u8>) -> Result<Signed, Failed> {
    let key_id = "5ca1e".repeat(7)[..32].to_owned();
    Ok(Signed::parse(pb::Signed { body: body.into(), key_id, signature: vec![7; 64].into() }, 4096)?)
}

/// Sixteen bytes that look random and follow from the number.
fn bytes(number: u64, what: u8) -> [u8; 16] {
    let digest = Digest::of_parts([&number.to_be_bytes()[..], &[what]]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes
}
