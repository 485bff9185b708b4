//! Orders over the store: made, found, listed, cancelled and expired.
//!
//! Every change is one loop: load, decide by the clock, commit; and again from the start where somebody
//! was faster. An order whose deadline has passed is expired by whoever looks at it first, so that
//! nobody is told "open" of an order that can't be paid any more.

use std::sync::Arc;

use mesh::store::{Cursor, KeyRange, PageRequest};
use proto::ids::{MerchantId, MerchantReference, OrderId};
use tokio::task::JoinSet;

use crate::{
    bounds::{Awaited, Party},
    context::Context,
    domain::{
        attempt,
        order::{Event, State},
    },
    error::Error,
    outbox::{self, Unacknowledged},
    records::{Attempt, KeptOrder, OPEN_ORDERS_BY_EXPIRY, ORDERS_BY_MERCHANT, time_key},
    repository::{Loaded, Outcome},
};

mod create;
mod events;
mod step;
mod token;

pub(crate) use create::idempotency_key;
pub use create::{Made, NewOrder};
pub use events::{EventPage, merchant_topic};
pub(crate) use step::{DayMove, Step};

/// How often a change is decided again when somebody else was faster. Each conflict means that another
/// change went through, so a caller that loses this often meets a storm and had better come again later.
pub(crate) const COMMIT_TRIES_MAX: u32 = 32;

/// How many expired orders are committed at once: a group that the store writes in one sync.
const EXPIRY_PAGE: usize = 64;

/// The orders.
#[derive(Clone, Debug)]
pub struct Orders {
    context: Arc<Context>,
}

/// How a shop names one of its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderName {
    /// By our id.
    Id(OrderId),
    /// By its own reference.
    Reference(MerchantReference),
}

/// What became of the wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// There is no approval and never will be.
    Cancelled,
    /// The order is paid.
    TooLate,
    /// An authorization is under way; a decline will end in cancelled.
    Pending,
    /// The order had expired.
    AlreadyExpired,
    /// The order had failed.
    AlreadyFailed,
}

impl Orders {
    /// The orders of this context.
    #[must_use]
    pub const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// The means that the orders work with.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// An order as it stands now; one that is past its deadline is expired first.
    ///
    /// # Errors
    /// [`Error::Repository`], [`Error::Contended`].
    pub async fn current(&self, id: &OrderId) -> Result<Option<Loaded<KeptOrder>>, Error> {
        for _ in 0..COMMIT_TRIES_MAX {
            let Some(order) = self.context.repository.load::<KeptOrder>(id.as_str().as_bytes()).await? else {
                return Ok(None);
            };
            if !order.entity.state.has_lapsed(self.context.clock.now()) {
                return Ok(Some(order));
            }
            self.expire(order).await?;
        }
        Err(Error::Contended)
    }

    /// One of a merchant's orders.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`], also for another merchant's order.
    pub async fn find(&self, merchant: &MerchantId, name: &OrderName) -> Result<KeptOrder, Error> {
        let id = match name {
            OrderName::Id(id) => id.clone(),
            OrderName::Reference(reference) => {
                self.id_of_reference(merchant, reference).await?.ok_or(Error::OrderNotFound)?
            }
        };
        Ok(self.own(merchant, &id).await?.entity)
    }

    /// A page of a merchant's orders, oldest first, and the token of the next page.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a token that wasn't given to this merchant.
    pub async fn list(
        &self,
        merchant: &MerchantId,
        page_size: usize,
        page_token: &str,
    ) -> Result<(Vec<KeptOrder>, String), Error> {
        let page = match page_token {
            "" => PageRequest::first(page_size),
            text => {
                let place = token::read(token::Use::OrderPage, merchant, "page_token", text)?;
                PageRequest::after(Cursor::from_bytes(place), page_size)
            }
        };
        let range = KeyRange::prefix(KeptOrder::merchant_prefix(merchant));
        let (page, next) = self.context.repository.page::<KeptOrder>(ORDERS_BY_MERCHANT, range, page).await?;
        let now = self.context.clock.now();
        let mut orders = Vec::with_capacity(page.len());
        for Loaded { entity: order, .. } in page {
            if order.state.has_lapsed(now) {
                orders.extend(self.current(order.id()).await?.map(|loaded| loaded.entity));
            } else {
                orders.push(order);
            }
        }
        let next = next.map(|cursor| token::write(token::Use::OrderPage, merchant, cursor.as_bytes()));
        Ok((orders, next.unwrap_or_default()))
    }

    /// Cancels an order, or says why it can't be.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`], [`Error::Contended`], [`Error::Repository`].
    pub async fn cancel(&self, merchant: &MerchantId, id: &OrderId) -> Result<(Cancelling, KeptOrder), Error> {
        for _ in 0..COMMIT_TRIES_MAX {
            let order = self.own(merchant, id).await?;
            let answer = match &order.entity.state {
                State::Approved(_) => Cancelling::TooLate,
                State::Expired(_) => Cancelling::AlreadyExpired,
                State::Failed(_) => Cancelling::AlreadyFailed,
                State::Cancelled(_) => Cancelling::Cancelled,
                State::Authorizing(..) if order.entity.state.cancel_requested() => Cancelling::Pending,
                State::Open(_) | State::Authorizing(..) => {
                    let pending = matches!(order.entity.state, State::Authorizing(..));
                    let mut step = Step::of(&self.context, order, self.context.clock.now());
                    // The deadline may pass between the loading and this; the next round expires it.
                    if step.apply(Event::Cancel).is_err() {
                        continue;
                    }
                    let done = step.finish()?;
                    match self.context.repository.commit(done.changes).await? {
                        Outcome::Committed(_) => {
                            let answer = if pending { Cancelling::Pending } else { Cancelling::Cancelled };
                            return Ok((answer, done.order));
                        }
                        Outcome::Stale | Outcome::Duplicate(_) => continue,
                    }
                }
            };
            return Ok((answer, order.entity));
        }
        Err(Error::Contended)
    }

    /// Who owes the next message about an order, and by when; none once it is final.
    ///
    /// # Errors
    /// [`Error::Repository`].
    pub async fn awaited(&self, order: &KeptOrder) -> Result<Option<Awaited>, Error> {
        let now = self.context.clock.now();
        match &order.state {
            State::Open(course) => Ok(Some(Awaited { party: Party::Cardholder, by: course.expires_at })),
            State::Authorizing(_, underway) => {
                let key = Attempt::key_of(&underway.attempt);
                let attempt = self.context.repository.load::<Attempt>(&key).await?;
                Ok(Some(match attempt.map(|attempt| attempt.entity.state) {
                    Some(attempt::State::Deciding { deadline, .. }) => self.context.bounds().awaited(deadline, now),
                    // It was decided since the order was loaded.
                    Some(attempt::State::Decided(_)) | None => Awaited { party: Party::Acquirer, by: now },
                }))
            }
            State::Approved(_) | State::Expired(_) | State::Failed(_) | State::Cancelled(_) => Ok(None),
        }
    }

    /// What of an order's events its shop has not acknowledged.
    ///
    /// # Errors
    /// [`Error::Outbox`].
    pub async fn unacknowledged(&self, order: &OrderId) -> Result<Unacknowledged, Error> {
        Ok(outbox::unacknowledged(self.context.repository.store(), order).await?)
    }

    /// Expires every open order that is past its deadline, and says how many it expired.
    ///
    /// # Errors
    /// [`Error::Repository`]; what was committed before stays.
    pub async fn expire_due(&self) -> Result<usize, Error> {
        let mut expired = 0;
        let mut after = None;
        loop {
            // A deadline in this very millisecond has not passed yet.
            let due = KeyRange::between(Vec::new(), time_key(self.context.clock.now()));
            let page = PageRequest { after, limit: EXPIRY_PAGE };
            let (orders, next) =
                self.context.repository.readable_page::<KeptOrder>(OPEN_ORDERS_BY_EXPIRY, due, page).await?;
            let mut commits = JoinSet::new();
            for order in orders {
                let this = self.clone();
                commits.spawn(async move { this.expire(order).await });
            }
            while let Some(commit) = commits.join_next().await {
                expired += usize::from(commit.map_err(|_| Error::Interrupted)??);
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(expired),
            }
        }
    }

    /// Expires a loaded order that is past its deadline; `false` where somebody else changed it.
    async fn expire(&self, order: Loaded<KeptOrder>) -> Result<bool, Error> {
        let mut step = Step::of(&self.context, order, self.context.clock.now());
        if step.apply(Event::Expire).is_err() {
            return Ok(false);
        }
        let outcome = self.context.repository.commit(step.finish()?.changes).await?;
        Ok(matches!(outcome, Outcome::Committed(_)))
    }

    async fn own(&self, merchant: &MerchantId, id: &OrderId) -> Result<Loaded<KeptOrder>, Error> {
        let order = self.current(id).await?;
        order.filter(|order| order.entity.merchant() == merchant).ok_or(Error::OrderNotFound)
    }
}
