//! Removing checkouts and codes that have ended.

use std::{sync::Arc, time::Duration};

use mesh::store::{Index, KeyRange, PageRequest};
use proto::{digest::Digest, order::SignedOrder, time::unix_millis};
use tokio_util::sync::CancellationToken;

use crate::{
    checkouts::publication_key,
    context::Context,
    error::Error,
    records::{CheckoutRecord, CodeRecord, Entity, INDEX_CHECKOUT_BY_END, INDEX_CODE_BY_END},
    repository::{Changes, Outcome, Stored},
};

/// The pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Records looked at in one step; the round goes on for as long as there are some.
const PAGE: usize = 100;

/// Cleans up until `stop`.
pub async fn clean_up(context: Arc<Context>, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&context).await {
            tracing::error!(%error, "ended checkouts were not removed");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(INTERVAL) => {}
        }
    }
}

/// Removes everything that ended long enough ago. What another replica removes at the same moment is left to it.
pub(crate) async fn round(context: &Context) -> Result<(), Error> {
    let kept = context.limits.kept_after_end.get();
    let before = context.clock.now().checked_sub(kept).map(unix_millis).unwrap_or_default();
    remove::<CodeRecord>(context, INDEX_CODE_BY_END, before, |changes, _| changes).await?;
    remove::<CheckoutRecord>(context, INDEX_CHECKOUT_BY_END, before, |changes, checkout| {
        let order = checkout.order.clone().and_then(|order| SignedOrder::parse(order).ok());
        let digest = order.map(|order: SignedOrder| order.digest);
        digest.map(|digest: Digest| publication_key(&digest)).into_iter().fold(changes, Changes::forget)
    })
    .await
}

async fn remove<E: Entity>(
    context: &Context,
    index: Index,
    before_ms: u64,
    and: impl Fn(Changes, &E) -> Changes,
) -> Result<(), Error> {
    let range = KeyRange::between([], before_ms.to_be_bytes());
    let mut page = PageRequest::first(PAGE);
    loop {
        let (ended, next): (Vec<Stored<E>>, _) = context.repository.page(index, range.clone(), page).await?;
        for record in &ended {
            let changes = and(Changes::new().remove(record), &record.value);
            match context.repository.commit(changes).await? {
                Outcome::Committed | Outcome::Reload | Outcome::Duplicate(_) => {}
            }
        }
        match next {
            Some(cursor) => page = PageRequest::after(cursor, PAGE),
            None => return Ok(()),
        }
    }
}
