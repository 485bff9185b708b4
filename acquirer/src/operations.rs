//! What the acquirer's own people do to a running server: look after the notifications that were given up.

use mesh::store::{Cursor, PageRequest};

use crate::{
    context::Context,
    error::Error,
    outbox::{self, ParkedOrder, Replay},
    records::KeptOrder,
};

/// Orders whose notification is parked, and where to go on.
#[derive(Debug)]
pub struct ParkedNotifications {
    /// One page of them, the longest parked first.
    pub orders: Vec<ParkedOrder>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

/// Lists the orders whose shop did not acknowledge an event for as long as it is tried. A page may hold fewer than
/// it could and still have a next one.
///
/// # Errors
/// [`Error::Outbox`].
pub async fn parked_notifications(ctx: &Context, page: PageRequest) -> Result<ParkedNotifications, Error> {
    let (orders, next) = outbox::parked(ctx.repository.store(), page).await?;
    Ok(ParkedNotifications { orders, next })
}

/// Has parked events sent again, from the first that was not acknowledged, in order, and says of how many orders.
/// Zero where there is nothing parked. Calling it again goes on where an error ended it.
///
/// # Errors
/// [`Error::OrderNotKept`], [`Error::MerchantNotKept`] where there is nothing parked of what the acquirer does not
/// know at all; [`Error::Outbox`] and the store's failure.
pub async fn replay(ctx: &Context, what: &Replay) -> Result<usize, Error> {
    let orders = outbox::replay(ctx.repository.store(), what, ctx.clock.now()).await?;
    match what {
        Replay::Order(order) => tracing::warn!(order_id = %order, orders, "an operator replays parked events"),
        Replay::Merchant(merchant) => tracing::warn!(%merchant, orders, "an operator replays parked events"),
    }
    // What is parked outlives its order's removal and its merchant's leaving, so that it is looked for first.
    match what {
        Replay::Order(_) | Replay::Merchant(_) if orders > 0 => Ok(orders),
        Replay::Order(order) => match ctx.repository.load::<KeptOrder>(order.as_str().as_bytes()).await? {
            Some(_) => Ok(0),
            None => Err(Error::OrderNotKept),
        },
        Replay::Merchant(merchant) => match ctx.merchants.find(merchant) {
            Some(_) => Ok(0),
            None => Err(Error::MerchantNotKept),
        },
    }
}
