//! A fresh head every five minutes, so that members can tell a quiet directory from a dead platform.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How often a head is signed afresh.
pub(crate) const HEAD_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The pause after a failure: short beside the hour after which members' copies are stale.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// Renews the head until `stop`.
pub async fn renew_heads(context: Arc<Context>, stop: CancellationToken) {
    let renewed = context.metrics.counter("bankside_directory_heads_total", "Heads signed afresh.", &[]);
    let mut wait = HEAD_INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(wait) => {}
        }
        wait = match context.register.refresh().await {
            Ok(()) => {
                renewed.increment();
                HEAD_INTERVAL
            }
            Err(error) => {
                tracing::error!(%error, "the directory's head was not renewed");
                RETRY_WAIT
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{Network, soon, until};

    #[tokio::test]
    async fn a_head_is_never_older_than_five_minutes() {
        let network = Network::new();
        let context = network.platform(&[network.acquirer("acq-1")]).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(renew_heads(Arc::clone(&context), stop.clone()));
        for _ in 0..3 {
            until("a pause", || network.clock.sleepers() > 0).await;
            network.clock.advance(HEAD_INTERVAL);
            let now = network.now();
            until("a fresh head", || context.directory.current().head().unwrap().signed_at == now).await;
            assert_eq!(context.register.current().version(), 1);
        }
        stop.cancel();
        soon("the end", running).await.unwrap();
    }
}
