//! Settles authorizations that have lost their worker.

use std::sync::Arc;

use mesh::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::{
    authorize::{Authorizer, Recovery},
    bounds::RECOVERY_PERIOD,
};

/// Settles everything that the last process left behind, then what is overdue, until `stop`.
pub async fn recover_authorizations(authorizer: Arc<Authorizer>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut which = Recovery::Everything;
    loop {
        // Dropped in the middle it costs what a crash costs: the next start settles what is left.
        let recovered = tokio::select! {
            () = stop.cancelled() => return,
            recovered = authorizer.recover(which) => recovered,
        };
        match recovered {
            Ok(settled) => {
                if settled > 0 {
                    tracing::info!(settled, "authorizations recovered");
                }
                which = Recovery::Overdue;
            }
            Err(error) => tracing::error!(%error, "authorizations can't be recovered"),
        }
        if !pause(&clock, RECOVERY_PERIOD, &stop).await {
            return;
        }
    }
}
