//! Reading the acquirer's books.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use acquirer::domain::merchant::Day;
use acquirer::orders::merchant_topic;
use acquirer::outbox;
use acquirer::records::{
    ATTEMPTS_DECIDED, ATTEMPTS_DECIDING, Attempt as Kept, KeptOrder, MerchantDay, OPEN_ORDERS_BY_EXPIRY,
    ORDERS_BY_MERCHANT, REVERSALS_DUE,
};
use acquirer::repository::Repository;
use anyhow::{Context as _, Result};
use mesh::store::limits::{EVENTS_PAGE_MAX, PAGE_ITEMS_MAX};
use mesh::store::{Index, KeyRange, PageRequest, Seq};
use prost::Message as _;
use proto::authorization::{AuthorizationResult, Carried};
use proto::event::{OrderEvent, Outcome};
use proto::ids::MerchantId;
use proto::pb;

use super::{AcquirerBooks, Attempt, AttemptKey, Entry, IssuerBooks, Note, Order, Verdict};

/// Reads everything that there is about orders, and each authorization that there is or that anybody names.
///
/// # Errors
/// Something can't be read.
pub(in crate::torture) async fn read(
    repository: &Repository,
    merchants: &[MerchantId],
    issuers: &[IssuerBooks],
    ledger: &BTreeMap<AttemptKey, Entry>,
    run: (SystemTime, SystemTime),
) -> Result<AcquirerBooks> {
    let mut books = AcquirerBooks { orders: orders(repository).await?, ..AcquirerBooks::default() };
    for merchant in merchants {
        books.events.insert(merchant.to_string(), events(repository, merchant).await?);
        books.taken.insert(merchant.to_string(), taken(repository, merchant, run).await?);
    }
    let charges = issuers
        .iter()
        .flat_map(|issuer| issuer.charges.values().map(|charge| (issuer.id.clone(), charge.authorization.clone())));
    let told = books.events.values().flatten().filter_map(|note| Some(note.result.as_ref()?.0.clone()));
    let last = books.orders.values().filter_map(|order| Some(order.last.as_ref()?.0.clone()));
    let named: BTreeSet<AttemptKey> = charges.chain(told).chain(last).chain(ledger.keys().cloned()).collect();
    for key in named {
        let text = format!("{}/{}", key.0, key.1);
        if let Some(kept) = repository.load::<Kept>(text.as_bytes()).await? {
            books.attempts.insert(key, attempt(&kept.entity)?);
        }
    }
    // What nobody else has heard of is here, too.
    for index in [ATTEMPTS_DECIDED, ATTEMPTS_DECIDING] {
        let mut after = None;
        loop {
            let page = PageRequest { after, limit: PAGE_ITEMS_MAX };
            let (kept, next) = repository.page::<Kept>(index, KeyRange::all(), page).await?;
            for kept in kept.into_iter().map(|loaded| loaded.entity) {
                let key = (kept.id.issuer.to_string(), kept.id.authorization.to_string());
                books.attempts.insert(key, attempt(&kept)?);
            }
            let Some(cursor) = next else { break };
            after = Some(cursor);
        }
    }
    books.unfinished = unfinished(repository).await?;
    Ok(books)
}

/// An event as it was signed, whoever has it.
///
/// # Errors
/// It is none.
pub(in crate::torture) fn note(signed: pb::Signed) -> Result<Note> {
    let bytes = signed.encode_to_vec();
    let event = Carried::<OrderEvent>::parse(signed).context("an event that is none")?.says;
    Ok(Note {
        order: event.order.to_string(),
        position: event.position,
        state: event.state,
        result: event.authorization.as_ref().map(outcome),
        bytes,
    })
}

async fn orders(repository: &Repository) -> Result<BTreeMap<String, Order>> {
    let (mut orders, mut after) = (BTreeMap::new(), None);
    loop {
        let page = PageRequest { after, limit: PAGE_ITEMS_MAX };
        let (kept, next) = repository.page::<KeptOrder>(ORDERS_BY_MERCHANT, KeyRange::all(), page).await?;
        for kept in kept.into_iter().map(|loaded| loaded.entity) {
            let course = kept.state.course();
            let order = Order {
                merchant: kept.merchant().to_string(),
                amount: kept.signed.order.amount.minor_units(),
                digest: *kept.signed.digest.as_bytes(),
                state: kept.state.name(),
                last: course.last.as_ref().map(outcome),
                position: course.position,
                has_key: kept.sealing_key.is_some(),
            };
            orders.insert(kept.id().to_string(), order);
        }
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(orders),
        }
    }
}

async fn events(repository: &Repository, merchant: &MerchantId) -> Result<Vec<Note>> {
    let topic = merchant_topic(merchant)?;
    let (mut notes, mut after) = (Vec::new(), Seq::START);
    loop {
        let page = repository.events(&topic, after, EVENTS_PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(notes) };
        after = last.seq;
        for event in page {
            notes.push(note(pb::Signed::decode(event.body)?)?);
        }
    }
}

/// What a merchant has taken on the days of the run.
async fn taken(repository: &Repository, merchant: &MerchantId, run: (SystemTime, SystemTime)) -> Result<i64> {
    let mut sum = 0;
    for day in Day::of(run.0).0..=Day::of(run.1 + Duration::from_secs(1)).0 {
        let record = repository.load::<MerchantDay>(&MerchantDay::key_of(merchant, Day(day))).await?;
        sum += record.map_or(0, |day| day.entity.totals.sums().map(|sum| sum.minor_units()).sum());
    }
    Ok(sum)
}

async fn unfinished(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (index, what) in [
        (ATTEMPTS_DECIDING, "an authorization is not decided"),
        (OPEN_ORDERS_BY_EXPIRY, "an order is still to expire"),
        (REVERSALS_DUE, "a reversal is still to be acknowledged"),
        (outbox::DUE, "an event is still to be delivered"),
        (outbox::PARKED, "an event was given up"),
    ] {
        found.extend(keys(repository, index).await?.into_iter().map(|key| format!("{what}: {key}")));
    }
    Ok(found)
}

async fn keys(repository: &Repository, index: Index) -> Result<Vec<String>> {
    let page = repository.store().scan(index, KeyRange::all(), PageRequest::first(PAGE_ITEMS_MAX)).await?;
    Ok(page.items.iter().map(|item| String::from_utf8_lossy(&item.id.key).into_owned()).collect())
}

fn attempt(kept: &Kept) -> Result<Attempt> {
    let mut attempt = Attempt {
        order: kept.order.as_ref().map(ToString::to_string),
        digest: *kept.order_digest.as_bytes(),
        amount: kept.amount.minor_units(),
        is_its_own: true,
        result: None,
    };
    if let Some(signed) = kept.state.result() {
        let says = Carried::<AuthorizationResult>::parse(signed.to_pb()).context("a result that is none")?.says;
        let named = (&says.authorization, &says.issuer, &says.request_digest, &says.order_digest, says.amount);
        let own = (&kept.id.authorization, &kept.id.issuer, &kept.request_digest, &kept.order_digest, kept.amount);
        attempt.is_its_own = named == own;
        attempt.result = Some((signed.to_pb().encode_to_vec(), Verdict::of(says.decision)));
    }
    Ok(attempt)
}

fn outcome(outcome: &Outcome) -> (AttemptKey, Verdict) {
    ((outcome.issuer.to_string(), outcome.authorization.to_string()), Verdict::of(outcome.decision))
}
