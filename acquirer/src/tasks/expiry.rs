//! Expires open orders soon after their deadline.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pause;
use crate::orders::Orders;

/// How often the deadlines are looked at. Whoever looks at an order judges it by the clock anyway; this is
/// how soon its shop is told.
const EXPIRY_PERIOD: Duration = Duration::from_secs(1);

/// Expires orders until `stop`.
pub async fn expire_orders(orders: Orders, stop: CancellationToken) {
    loop {
        match orders.expire_due().await {
            Ok(0) => {}
            Ok(expired) => tracing::info!(expired, "orders expired"),
            Err(error) => tracing::error!(%error, "orders can't be expired"),
        }
        if !pause(&orders.context().clock, EXPIRY_PERIOD, &stop).await {
            return;
        }
    }
}
