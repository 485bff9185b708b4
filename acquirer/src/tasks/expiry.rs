//! Expires open orders soon after their deadline.

use tokio_util::sync::CancellationToken;

use super::pause;
use crate::{bounds::EXPIRY_PERIOD, orders::Orders};

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
