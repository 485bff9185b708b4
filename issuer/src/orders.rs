//! Whether an order may be paid: before a customer signs in for it, and before the funds are held.

use std::time::SystemTime;

use proto::{directory::MemberStatus, order::SignedOrder, pb, time::CLOCK_SKEW_MAX};

use crate::{context::Context, error::Error};

/// Checks that an order's acquirer is an active member and has signed it, and that its time is not over.
///
/// # Errors
/// [`Error::DirectoryStale`], [`Error::AcquirerUnknown`], [`Error::AcquirerSuspended`],
/// [`Error::OrderSignatureInvalid`], [`Error::OrderExpired`].
pub fn verify(ctx: &Context, order: &SignedOrder) -> Result<(), Error> {
    let now = ctx.clock.now();
    let directory = ctx.directory.current();
    if ctx.directory.freshness(now).is_stale() {
        return Err(Error::DirectoryStale);
    }
    let acquirer = directory.acquirer(&order.order.acquirer).ok_or(Error::AcquirerUnknown)?;
    match acquirer.entry().status {
        MemberStatus::Active => {}
        MemberStatus::Suspended => return Err(Error::AcquirerSuspended),
        MemberStatus::Removed => return Err(Error::AcquirerUnknown),
    }
    acquirer.verify::<pb::Order>(&order.signed, order.order.created_at).map_err(|error| {
        tracing::warn!(order_id = %order.order.id, acquirer = %order.order.acquirer, %error, "an order was refused");
        Error::OrderSignatureInvalid
    })?;
    in_time(order.order.created_at, order.order.expires_at, now)
}

/// Only the acquirer's clock decides the expiry; here the two clocks may differ by [`CLOCK_SKEW_MAX`].
fn in_time(created_at: SystemTime, expires_at: SystemTime, now: SystemTime) -> Result<(), Error> {
    if created_at > now + CLOCK_SKEW_MAX {
        return Err(Error::OrderSignatureInvalid);
    }
    if now > expires_at + CLOCK_SKEW_MAX {
        return Err(Error::OrderExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds);
        let judge = |now| in_time(at(1000), at(1900), at(now));
        assert!(judge(940).is_ok());
        assert!(matches!(judge(939), Err(Error::OrderSignatureInvalid)));
        assert!(judge(1960).is_ok());
        assert!(matches!(judge(1961), Err(Error::OrderExpired)));
    }
}
