//! Repeats reversals until the card network acknowledges them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{authorize::Authorizer, bounds::REVERSAL_PERIOD, context::Context};

/// Sends reversals until `stop`.
pub async fn send_reversals(authorizer: Arc<Authorizer>, context: Arc<Context>, stop: CancellationToken) {
    loop {
        // Dropped in the middle it costs a repeat. A dead network would keep it busy for as long as it
        // is dead, because what it has failed to send is due again before it has come round.
        let sent = tokio::select! {
            () = stop.cancelled() => return,
            sent = authorizer.send_reversals() => sent,
        };
        if let Err(error) = sent {
            tracing::error!(%error, "reversals can't be sent");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.reversals.notified() => {}
            () = context.clock.sleep(REVERSAL_PERIOD) => {}
        }
    }
}
