//! From a published order to the ticket that a bank's app holds.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use mesh::{directory::Member, secret::constant_time_eq, store::Version};
use proto::{
    digest::Digest,
    ids::{CheckoutId, IssuerId, MemberId},
    link::WebAddress,
    order::{Order, SignedOrder},
    pb,
    time::unix_millis,
};

use crate::{
    context::Context,
    domain::checkout::{Availability, CODES_MAX, code_end, has_ended, is_made, order_end},
    error::{Error, OrderSignature},
    records::{CheckoutRecord, CodeRecord, Damaged, Entity, time_of},
    repository::{Changes, Outcome, Stored},
};

mod browser;

pub use browser::{Visit, open, open_with_order, way_back};

/// How often a change of a checkout is tried again after somebody else changed it first.
const TRIES_MAX: usize = 8;
/// Random bytes in a code.
const CODE_BYTES: usize = 20;
/// No code has more characters: 20 bytes in base 32.
const CODE_CHARACTERS: usize = 32;
/// What stands before the code in the app link's fragment.
const CODE_KEY: &str = "c=";

/// A published order.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Names it; unguessable.
    pub id: CheckoutId,
    /// What is to be paid.
    pub order: SignedOrder,
    /// Where its shopper came from, if that is known.
    pub payment_url: Option<WebAddress>,
}

/// A bank that stands on the picker.
#[derive(Clone, Debug)]
pub struct BankOption {
    /// Its entry.
    pub bank: Arc<Member>,
    /// Whether it can be picked now.
    pub availability: Availability,
}

/// The way into a bank's app.
#[derive(Clone)]
pub struct AppLink {
    /// The bank's app link with the code in its fragment, which browsers send to no server.
    pub link: String,
    /// After this the code is void.
    pub expires_at: SystemTime,
}

/// A ticket, and the order that it is for.
#[derive(Clone)]
pub struct Ticketed {
    /// The acquirer's signed order.
    pub order: pb::Signed,
    /// The ticket.
    pub ticket: Bytes,
    /// After this the ticket is void.
    pub expires_at: SystemTime,
}

/// Publishes an order for its acquirer; the same order has one checkout. The next browser that opens its picker may,
/// because the acquirer leads its shopper there.
///
/// # Errors
/// [`Error::MemberUnknown`], [`Error::MemberSuspended`], [`Error::AcquirerMismatch`],
/// [`Error::OrderSignature`], [`Error::OrderExpired`]; the store's failures.
pub async fn publish(
    context: &Context,
    caller: &MemberId,
    order: SignedOrder,
    payment_url: Option<WebAddress>,
) -> Result<Checkout, Error> {
    if order.order.acquirer.as_str() != caller.as_str() {
        return Err(Error::AcquirerMismatch);
    }
    let acquirer = context.directory.current().acquirer(&order.order.acquirer).cloned().ok_or(Error::MemberUnknown)?;
    if !acquirer.is_active() {
        return Err(Error::MemberSuspended);
    }
    verify(context, &acquirer, &order)?;
    let id = keep(context, order).await?;
    browser::admit_next(context, &id, payment_url).await
}

/// The checkout of an order, which is made where there is none.
async fn keep(context: &Context, order: SignedOrder) -> Result<CheckoutId, Error> {
    for _ in 0..TRIES_MAX {
        let id = CheckoutId::from_random(context.entropy.id()?);
        let record = CheckoutRecord {
            checkout: id.to_string(),
            order: Some(order.signed.to_pb()),
            order_expires_at_ms: unix_millis(order.order.expires_at),
            ..CheckoutRecord::default()
        };
        let changes = Changes::new()
            .put(Version::ABSENT, &record)
            .idempotency(publication_key(&order.digest), Bytes::copy_from_slice(id.as_str().as_bytes()));
        match context.repository.commit(changes).await? {
            Outcome::Committed => return Ok(id),
            Outcome::Duplicate(first) => {
                let first = std::str::from_utf8(&first).ok().and_then(|text| text.parse().ok());
                return first.ok_or(Error::Inconsistent("an order's checkout has no readable id"));
            }
            Outcome::Reload => {}
        }
    }
    Err(Error::Contended)
}

/// A checkout that has not ended.
///
/// # Errors
/// [`Error::CheckoutNotFound`] and [`Error::CheckoutExpired`]; the store's failures.
pub async fn find(context: &Context, checkout: &str) -> Result<Checkout, Error> {
    load(context, checkout).await.map(|(_, checkout)| checkout)
}

/// The banks to pick from, in ascending order of their ids.
#[must_use]
pub fn bank_options(context: &Context) -> Vec<BankOption> {
    let option = |bank: &Arc<Member>| {
        let availability = Availability::of(bank, context.health.of(&bank.entry().member))?;
        Some(BankOption { bank: Arc::clone(bank), availability })
    };
    context.directory.current().members().filter_map(option).collect()
}

/// Picks a bank for a checkout: the link into its app, with a fresh code.
///
/// # Errors
/// Those of [`find`], [`Error::BankNotFound`] and [`Error::BankUnavailable`].
pub async fn pick(context: &Context, checkout: &str, bank: &str) -> Result<AppLink, Error> {
    for _ in 0..TRIES_MAX {
        let (mut stored, found) = load(context, checkout).await?;
        let (bank, member) = available_bank(context, bank)?;
        let app_link = member.entry().app_link.as_ref().ok_or(Error::Inconsistent("an issuer has no app link"))?;
        let mut random = [0; CODE_BYTES];
        context.entropy.fill(&mut random)?;
        let code = data_encoding::BASE32_NOPAD.encode(&random);
        let digest = Digest::of(code.as_bytes()).to_bytes();
        let expires_at = code_end(found.order.order.expires_at, context.limits.code_life.get(), context.clock.now());
        let record = CodeRecord {
            digest: digest.clone(),
            checkout: found.id.to_string(),
            bank: bank.to_string(),
            expires_at_ms: unix_millis(expires_at),
            device: Bytes::new(),
        };
        let mut changes = Changes::new().put(Version::ABSENT, &record);
        stored.value.codes.push(digest);
        while stored.value.codes.len() > CODES_MAX {
            let oldest = stored.value.codes.remove(0);
            if let Some(oldest) = context.repository.load::<CodeRecord>(&oldest).await? {
                changes = changes.remove(&oldest);
            }
        }
        let changes = changes.put(stored.version, &stored.value);
        if context.repository.commit(changes).await? == Outcome::Committed {
            return Ok(AppLink {
                link: format!("{app_link}#{CODE_KEY}{code}"),
                expires_at: time_of(record.expires_at_ms),
            });
        }
    }
    Err(Error::Contended)
}

/// The ticket for a bank's app that has the order itself, from the QR code.
///
/// # Errors
/// [`Error::OrderSignature`], [`Error::OrderExpired`], [`Error::AcquirerSuspended`],
/// [`Error::BankNotFound`] and [`Error::BankUnavailable`].
pub fn pick_with_order(context: &Context, order: &SignedOrder, bank: &str) -> Result<Ticketed, Error> {
    let directory = context.directory.current();
    let acquirer =
        directory.acquirer(&order.order.acquirer).ok_or(Error::OrderSignature(OrderSignature::AcquirerUnknown))?;
    verify(context, acquirer, order)?;
    if !acquirer.is_active() {
        return Err(Error::AcquirerSuspended);
    }
    let (bank, _) = available_bank(context, bank)?;
    Ok(ticketed(context, &bank, order))
}

/// Takes the order and the ticket for a code. The first device that comes binds the code; with the
/// same nonce it gets the same answer again, and nobody else gets any.
///
/// # Errors
/// [`Error::CodeNotFound`]; the store's failures.
pub async fn redeem(context: &Context, code: &str, device_nonce: &[u8; 16]) -> Result<Ticketed, Error> {
    if code.len() != CODE_CHARACTERS {
        return Err(Error::CodeNotFound);
    }
    let key = Digest::of(code.as_bytes()).to_bytes();
    let device = Digest::of(device_nonce).to_bytes();
    for _ in 0..TRIES_MAX {
        let mut stored = context.repository.load::<CodeRecord>(&key).await?.ok_or(Error::CodeNotFound)?;
        if context.clock.now() > time_of(stored.value.expires_at_ms) {
            return Err(Error::CodeNotFound);
        }
        let (_, checkout) = match load(context, &stored.value.checkout).await {
            Err(Error::CheckoutNotFound | Error::CheckoutExpired) => return Err(Error::CodeNotFound),
            other => other?,
        };
        let damaged = Damaged { kind: CodeRecord::NAME, field: "bank" };
        let bank: IssuerId = stored.value.bank.parse().map_err(|_| damaged)?;
        if stored.value.device.is_empty() {
            stored.value.device = device.clone();
            let changes = Changes::new().put(stored.version, &stored.value);
            if context.repository.commit(changes).await? != Outcome::Committed {
                continue;
            }
        } else if !constant_time_eq(&stored.value.device, &device) {
            return Err(Error::CodeNotFound);
        }
        return Ok(ticketed(context, &bank, &checkout.order));
    }
    Err(Error::Contended)
}

/// Under which key the store remembers that an order was published.
#[must_use]
pub fn publication_key(order: &Digest) -> Vec<u8> {
    [b"publish/".as_slice(), order.as_bytes()].concat()
}

/// The order is its acquirer's and has not ended.
fn verify(context: &Context, acquirer: &Member, order: &SignedOrder) -> Result<(), Error> {
    let Order { created_at, expires_at, .. } = order.order;
    let now = context.clock.now();
    acquirer
        .verify::<pb::Order>(&order.signed, created_at)
        .map_err(|fault| Error::OrderSignature(OrderSignature::Wrong(fault)))?;
    if !is_made(&order.order, now) {
        return Err(Error::OrderSignature(OrderSignature::FromFuture));
    }
    if has_ended(expires_at, now) { Err(Error::OrderExpired) } else { Ok(()) }
}

async fn load(context: &Context, checkout: &str) -> Result<(Stored<CheckoutRecord>, Checkout), Error> {
    let id: CheckoutId = checkout.parse().map_err(|_| Error::CheckoutNotFound)?;
    let stored = context.repository.load::<CheckoutRecord>(id.as_str().as_bytes()).await?;
    let stored = stored.ok_or(Error::CheckoutNotFound)?;
    let damaged = Damaged { kind: CheckoutRecord::NAME, field: "order" };
    let order = SignedOrder::parse(stored.value.order.clone().ok_or(damaged)?).map_err(|_| damaged)?;
    if has_ended(order.order.expires_at, context.clock.now()) {
        return Err(Error::CheckoutExpired);
    }
    let payment_url = stored.value.payment_url.parse().ok();
    Ok((stored, Checkout { id, order, payment_url }))
}

fn available_bank(context: &Context, bank: &str) -> Result<(IssuerId, Arc<Member>), Error> {
    let id: IssuerId = bank.parse().map_err(|_| Error::BankNotFound)?;
    let member = context.directory.current().issuer(&id).cloned().ok_or(Error::BankNotFound)?;
    match Availability::of(&member, context.health.of(&member.entry().member)) {
        Some(Availability::Available) => Ok((id, member)),
        Some(Availability::Suspended | Availability::Unreachable) => Err(Error::BankUnavailable),
        None => Err(Error::BankNotFound),
    }
}

fn ticketed(context: &Context, bank: &IssuerId, order: &SignedOrder) -> Ticketed {
    let ticket = context.tickets.issue(bank, &order.digest, order.order.expires_at);
    Ticketed { order: order.signed.to_pb(), ticket, expires_at: order_end(order.order.expires_at) }
}

#[cfg(test)]
mod tests;
