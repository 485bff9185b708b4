//! Which browsers may open the picker of a checkout.
//!
//! The next one behind each publication may, because the acquirer has just led its shopper there. Whoever holds the signed
//! order itself, from a QR code, may as well: it is what a checkout is made of. Anybody else who gets hold of the
//! address may not, so that a checkout can't be handed on.

use proto::{digest::Digest, ids::CheckoutId, link::WebAddress, order::SignedOrder};

use super::{Checkout, TRIES_MAX, keep, load, verify};
use crate::{
    context::Context,
    error::{Error, OrderSignature},
    records::CheckoutRecord,
    repository::{Changes, Outcome},
};

/// How many browsers may open one checkout: the shopper's computer, a phone or two, and each once more after its
/// cookies were cleared.
const BROWSERS_MAX: usize = 8;

/// Lets the next browser in that opens a checkout, and keeps where its shopper comes from.
///
/// # Errors
/// Those of [`super::find`].
pub(super) async fn admit_next(
    context: &Context,
    checkout: &CheckoutId,
    payment_url: Option<WebAddress>,
) -> Result<Checkout, Error> {
    change(context, checkout.as_str(), |record| {
        record.admits_next = true;
        if let Some(payment_url) = &payment_url {
            record.payment_url = payment_url.to_string();
        }
        true
    })
    .await
    .map(|(found, _)| found)
}

/// Who asks for a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Somebody opens a page in this browser, or goes on from it: the checkout becomes this browser's.
    Opens,
    /// Something looks at it that may be nobody: a preview of the link, or a page that is loaded ahead. It may see
    /// what the next browser may, and doesn't take its place.
    Looks,
}

/// Opens a checkout in a browser, by the digest of its cookie; none where it is other browsers'.
///
/// # Errors
/// Those of [`super::find`].
pub async fn open(
    context: &Context,
    checkout: &str,
    browser: &Digest,
    visit: Visit,
) -> Result<Option<Checkout>, Error> {
    let opened = change(context, checkout, |record| {
        let admits = record.admits_next || record.browsers.is_empty();
        match visit {
            Visit::Opens => {
                record.admits_next = false;
                is_known(record, browser) || (admits && add(record, browser))
            }
            Visit::Looks => is_known(record, browser) || (admits && has_room(record)),
        }
    });
    opened.await.map(|(found, may)| may.then_some(found))
}

/// Opens the checkout of an order that the browser holds itself, which is made where there is none; no checkout where
/// it has as many browsers as it takes.
///
/// # Errors
/// [`Error::OrderSignature`], [`Error::OrderExpired`], [`Error::AcquirerSuspended`]; the store's failures.
pub async fn open_with_order(
    context: &Context,
    order: SignedOrder,
    browser: &Digest,
) -> Result<Option<Checkout>, Error> {
    let acquirer = context.directory.current().acquirer(&order.order.acquirer).cloned();
    let acquirer = acquirer.ok_or(Error::OrderSignature(OrderSignature::AcquirerUnknown))?;
    verify(context, &acquirer, &order)?;
    if !acquirer.is_active() {
        return Err(Error::AcquirerSuspended);
    }
    let id = keep(context, order).await?;
    let opened = change(context, id.as_str(), |record| is_known(record, browser) || add(record, browser));
    opened.await.map(|(found, may)| may.then_some(found))
}

/// Changes the record of a checkout, where there is anything to change, and returns what the change said.
async fn change(
    context: &Context,
    checkout: &str,
    mut apply: impl FnMut(&mut CheckoutRecord) -> bool,
) -> Result<(Checkout, bool), Error> {
    for _ in 0..TRIES_MAX {
        let (mut stored, mut found) = load(context, checkout).await?;
        let before = stored.value.clone();
        let said = apply(&mut stored.value);
        found.payment_url = stored.value.payment_url.parse().ok();
        if stored.value == before {
            return Ok((found, said));
        }
        let changes = Changes::new().put(stored.version, &stored.value);
        match context.repository.commit(changes).await? {
            Outcome::Committed => return Ok((found, said)),
            Outcome::Reload | Outcome::Duplicate(_) => {}
        }
    }
    Err(Error::Contended)
}

/// Adds a browser, where there is room for one.
fn add(record: &mut CheckoutRecord, browser: &Digest) -> bool {
    let may = has_room(record);
    if may {
        record.browsers.push(browser.to_bytes());
    }
    may
}

fn has_room(record: &CheckoutRecord) -> bool {
    record.browsers.len() < BROWSERS_MAX
}

/// Where the shop wants its shopper afterwards, also behind a checkout that has ended; none where nothing is kept.
///
/// # Errors
/// The store's failures.
pub async fn way_back(context: &Context, checkout: &str) -> Result<Option<WebAddress>, Error> {
    let stored = context.repository.load::<CheckoutRecord>(checkout.as_bytes()).await?;
    let order = stored.and_then(|stored| SignedOrder::parse(stored.value.order?).ok());
    Ok(order.map(|order| order.order.return_url))
}

/// Neither digest is a secret by itself: whoever knows one can't make the cookie of it.
fn is_known(record: &CheckoutRecord, browser: &Digest) -> bool {
    record.browsers.iter().any(|known| known.as_ref() == browser.as_bytes())
}
