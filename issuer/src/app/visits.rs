//! Visits: opened by an order or by nothing, bound to their browser, changed step by step, and cleared away.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
    response::Response,
};
use bytes::Bytes;
use mesh::store::{KeyRange, PageRequest};
use proto::{digest::Digest, order::SignedOrder};
use tokio_util::sync::CancellationToken;

use super::{
    App,
    problem::{Problem, Stop},
    visitor::{Visitor, visit_id},
};
use crate::{
    context::Context,
    error::Error,
    records::{Damaged, INDEX_VISIT_BY_END, Visit, millis_of, time_key, time_of},
    repository::{self, Changes, Outcome, Stored},
};

/// How long a visit goes on after its order's time, so that whoever paid can come back and look.
const AFTER_ORDER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a visit without an order lasts.
const WITHOUT_ORDER: Duration = Duration::from_secs(24 * 60 * 60);
/// The charges of a visit: more than the acquirer's five declines, and few enough for one record.
pub(super) const CHARGES_MAX: usize = 12;
/// How often a change is made anew because another tab changed the same visit.
const CHANGES_MAX: usize = 32;
/// How often ended visits are cleared away.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);
/// Visits cleared away with one commit; as many as a transition may write.
const CLEARED_AT_ONCE: usize = 8;
/// Visits looked at with one scan while clearing away.
const CLEAR_PAGE: usize = 128;

/// A visit that is this browser's and has not ended.
#[derive(Debug)]
pub(super) struct Found {
    /// The record.
    pub(super) visit: Visit,
    /// The order, where there is one. Its signature was verified when the visit was opened.
    pub(super) order: Option<SignedOrder>,
}

impl Found {
    /// The visit's own page.
    pub(super) fn path(&self) -> String {
        format!("/v/{}", self.visit.visit_id)
    }

    /// A page below the visit's own.
    pub(super) fn at(&self, page: &str) -> String {
        format!("/v/{}/{page}", self.visit.visit_id)
    }
}

/// A page of a visit is given the visit of its address, or is not asked for at all.
impl FromRequestParts<Arc<App>> for Found {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Ok(visitor) = Visitor::from_request_parts(parts, app).await;
        let named = RawPathParams::from_request_parts(parts, app).await.ok();
        let id = named.as_ref().and_then(|named| named.iter().find(|(name, _)| *name == "visit"));
        let id = id.map_or("", |(_, id)| id);
        app.find(&visitor, id).await.map_err(|stop| app.stopped(&visitor, stop, None))
    }
}

impl App {
    /// Opens the visit of a browser with an order, which was verified, or with none. The same again is the same
    /// visit; a newer ticket replaces the older one.
    pub(super) async fn open(
        &self,
        visitor: &Visitor,
        browser: &[u8; 32],
        order: Option<SignedOrder>,
        ticket: Bytes,
    ) -> Result<Found, Stop> {
        let now = self.ctx.clock.now();
        let id = visit_id(browser, order.as_ref().map(|order| &order.digest));
        let ends_at = order.as_ref().map_or(now + WITHOUT_ORDER, |order| order.order.expires_at + AFTER_ORDER);
        let visit = Visit {
            visit_id: id.clone(),
            browser_digest: Digest::of(browser).to_bytes(),
            order: order.as_ref().map(|order| order.signed.to_pb()),
            ticket: ticket.clone(),
            ends_at_ms: millis_of(ends_at),
            ..Visit::default()
        };
        let mut admitted = false;
        for _ in 0..CHANGES_MAX {
            let stored = self.load(&id).await?;
            let changes = match stored {
                Some(stored) if stored.value.ends_at_ms > millis_of(now) => {
                    let ticket = if ticket.is_empty() { stored.value.ticket.clone() } else { ticket.clone() };
                    let again = Visit { ticket, ends_at_ms: visit.ends_at_ms, ..stored.value.clone() };
                    if again == stored.value {
                        return Ok(Found { visit: again, order });
                    }
                    Changes::new().replace(stored.version, &again)
                }
                other => {
                    if !admitted && !self.opened.admits(visitor.from.0.ip(), now) {
                        return Err(Problem::too_many().into());
                    }
                    admitted = true;
                    match other {
                        Some(ended) => Changes::new().replace(ended.version, &visit),
                        None => Changes::new().create(&visit),
                    }
                }
            };
            match self.ctx.repository.commit(changes).await.map_err(Error::from)? {
                Outcome::Committed | Outcome::Reload => {}
            }
        }
        Err(Error::Contended.into())
    }

    /// The visit of this id, if it is this browser's.
    pub(super) async fn find(&self, visitor: &Visitor, id: &str) -> Result<Found, Stop> {
        let browser = visitor.browser().map(|browser| Digest::of(browser.expose()).to_bytes());
        // An id of another form would be none that the store takes as a key.
        let stored = if is_visit_id(id) { self.load(id).await? } else { None };
        let now = millis_of(self.ctx.clock.now());
        match (stored, browser) {
            (Some(stored), Some(browser))
                if stored.value.browser_digest == browser && stored.value.ends_at_ms > now =>
            {
                found(stored.value)
            }
            _ => Err(Problem::no_visit().into()),
        }
    }

    /// Changes a visit. The change may be made several times, each time to the visit as it stands then.
    pub(super) async fn change(&self, visit: &str, change: impl Fn(&mut Visit)) -> Result<Found, Stop> {
        for _ in 0..CHANGES_MAX {
            let Some(stored) = self.load(visit).await? else { return Err(Problem::no_visit().into()) };
            let mut changed = stored.value.clone();
            change(&mut changed);
            if changed == stored.value {
                return found(changed);
            }
            let changes = Changes::new().replace(stored.version, &changed);
            match self.ctx.repository.commit(changes).await.map_err(Error::from)? {
                Outcome::Committed => return found(changed),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended.into())
    }

    async fn load(&self, id: &str) -> Result<Option<Stored<Visit>>, Stop> {
        Ok(self.ctx.repository.load(&Visit::at(id)).await.map_err(Error::from)?)
    }
}

/// Clears ended visits away, every minute until `stop`. A failure is logged and tried again.
pub(crate) async fn clean_up(ctx: &Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = ctx.clock.sleep(CLEAN_UP_EVERY) => {}
        }
        if let Err(error) = clear_ended(ctx).await {
            tracing::warn!(%error, "ended visits could not be cleared away; trying again in a minute");
        }
    }
}

/// Removes the visits that are past their end, and returns how many.
///
/// # Errors
/// The store's failure.
pub async fn clear_ended(ctx: &Context) -> Result<usize, repository::Error> {
    let mut cleared = 0;
    let mut page = PageRequest::first(CLEAR_PAGE);
    loop {
        let ended = KeyRange::between(time_key(time_of(0)), time_key(ctx.clock.now()));
        let found = ctx.repository.page::<Visit>(INDEX_VISIT_BY_END, ended, page).await?;
        for some in found.items.chunks(CLEARED_AT_ONCE) {
            let changes = some.iter().fold(Changes::new(), Changes::remove);
            match ctx.repository.commit(changes).await? {
                Outcome::Committed => cleared += some.len(),
                // One of them was opened anew just now; the rest goes with the next round.
                Outcome::Reload => {}
            }
        }
        let Some(next) = found.next else { return Ok(cleared) };
        page = PageRequest::after(next, CLEAR_PAGE);
    }
}

fn found(visit: Visit) -> Result<Found, Stop> {
    let damaged = || Error::from(Damaged { kind: "visit", field: "order" });
    let order = visit.order.clone().map(SignedOrder::parse).transpose().map_err(|_| damaged())?;
    Ok(Found { visit, order })
}

fn is_visit_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
}
