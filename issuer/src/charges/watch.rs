//! Following a charge to its end.

use std::{sync::Arc, time::SystemTime};

use proto::ids::ChargeId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Charge, load};
use crate::{context::Context, domain::ids::CustomerId, error::Error};

/// The charge as it stands, then as it stands after each change, and the end of the stream after the final one.
/// Changes that follow each other faster than they are read may show as one.
///
/// `until` is the end of the session that watches. The result of a charge may take days, and a stream that
/// outlived its session would show it to whoever holds the device then, and keep a place for nobody.
///
/// # Errors
/// As for [`load`], before the stream begins; in it [`Error::SessionInvalid`] at `until`, and
/// [`Error::Stopping`] when the server drains.
pub async fn watch(
    ctx: &Arc<Context>,
    customer: CustomerId,
    charge: ChargeId,
    until: SystemTime,
) -> Result<ReceiverStream<Result<Charge, Error>>, Error> {
    // Listening comes before reading, so that a change in between rings.
    let mut bell = ctx.bells.listen(&customer, &charge);
    let mut current = load(ctx, &customer, &charge).await?;
    // One place: a slow reader then gets the latest state instead of a queue of old ones.
    let (sender, receiver) = mpsc::channel(1);
    let ctx = Arc::clone(ctx);
    let follow = async move {
        loop {
            let is_final = current.state.is_final();
            let shown = current.clone();
            if sender.send(Ok(current)).await.is_err() || is_final {
                return;
            }
            current = loop {
                tokio::select! {
                    () = sender.closed() => return,
                    // A caller who is gone needs no farewell.
                    () = ctx.stop.cancelled() => {
                        let _ = sender.send(Err(Error::Stopping)).await;
                        return;
                    }
                    () = ctx.clock.sleep_until(until) => {
                        let _ = sender.send(Err(Error::SessionInvalid)).await;
                        return;
                    }
                    rung = bell.changed() => if rung.is_err() { return },
                }
                match load(&ctx, &customer, &charge).await {
                    Ok(now) if now == shown => {}
                    Ok(now) => break now,
                    Err(error) => {
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                }
            };
        }
    };
    tokio::spawn(follow);
    Ok(ReceiverStream::new(receiver))
}
