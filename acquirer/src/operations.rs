//! What the acquirer's own people do to a running server: look after the notifications that were given up.

use mesh::store::PageRequest;

use crate::{
    context::Context,
    error::Error,
    outbox::{self, ParkedPage, Replay, Replayed},
    records::KeptOrder,
};

/// The most events that one call replays, but for the rest of the last order: each is a commit of its own, which a
/// slow disk makes in 50 ms, and the call's deadline of 30 seconds must not cut it.
const REPLAY_EVENTS_MAX: usize = 250;

/// Lists the orders whose shop did not acknowledge an event for as long as it is tried. A page may hold fewer than
/// it could and still have a next one.
///
/// # Errors
/// [`Error::Outbox`].
pub async fn parked_notifications(ctx: &Context, page: PageRequest) -> Result<ParkedPage, Error> {
    Ok(outbox::parked(ctx.repository.store(), page).await?)
}

/// Has parked events sent again, from the first that was not acknowledged, in order, and says how many. Zero where
/// there is nothing parked. One call has a bound; calling it again goes on where the bound or an error ended it.
///
/// # Errors
/// [`Error::OrderNotKept`], [`Error::MerchantNotKept`] where there is nothing parked of what the acquirer does not
/// know at all; [`Error::Outbox`] and the store's failure.
pub async fn replay(ctx: &Context, what: &Replay) -> Result<Replayed, Error> {
    // Before anything is done, so that a replay that an error ends is in the log too.
    match what {
        Replay::Order(order) => tracing::warn!(order_id = %order, "an operator wants parked events replayed"),
        Replay::Merchant(merchant) => tracing::warn!(%merchant, "an operator wants parked events replayed"),
    }
    let store = ctx.repository.store();
    let replayed = outbox::replay(store, what, REPLAY_EVENTS_MAX, ctx.clock.now()).await?;
    let Replayed { orders, events, has_more } = replayed;
    match what {
        Replay::Order(order) => tracing::warn!(order_id = %order, orders, events, "parked events are replayed"),
        Replay::Merchant(merchant) => {
            tracing::warn!(%merchant, orders, events, has_more, "parked events are replayed");
        }
    }
    // What is parked outlives its order's removal and its merchant's leaving, so that it is looked for first; and
    // what a call before this one has replayed waits, for as long as its shop has not acknowledged it.
    if orders > 0 || outbox::waits(store, what).await? {
        return Ok(replayed);
    }
    match what {
        Replay::Order(order) => match ctx.repository.load::<KeptOrder>(order.as_str().as_bytes()).await? {
            Some(_) => Ok(replayed),
            None => Err(Error::OrderNotKept),
        },
        Replay::Merchant(merchant) => match ctx.merchants.find(merchant) {
            Some(_) => Ok(replayed),
            None => Err(Error::MerchantNotKept),
        },
    }
}
