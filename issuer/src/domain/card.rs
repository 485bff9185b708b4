//! Whether a card can pay an order now.

use std::time::SystemTime;

use proto::{card::Expiry, money::Money};

use super::account::{Account, HoldError};

/// Why a card can't be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The bank or the customer has blocked it.
    Blocked,
    /// Its expiry date has passed.
    Expired,
    /// Its account is kept in another currency than the order.
    OtherCurrency,
    /// Its account has not enough left for the order.
    InsufficientFunds,
}

/// Judges a card with its account, for an order of this amount or for none.
#[must_use]
pub fn judge(
    blocked: bool,
    expiry: Expiry,
    account: &Account,
    amount: Option<Money>,
    now: SystemTime,
) -> Option<Unusable> {
    if blocked {
        return Some(Unusable::Blocked);
    }
    if expiry.is_over(now) {
        return Some(Unusable::Expired);
    }
    match account.hold(amount?) {
        Ok(_) => None,
        Err(HoldError::OtherCurrency) => Some(Unusable::OtherCurrency),
        Err(HoldError::InsufficientFunds) => Some(Unusable::InsufficientFunds),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::domain::account::Funds;

    #[test]
    fn each_reason_is_found_and_the_lasting_ones_come_first() {
        let money = |code: &str, units| Money::new(code.parse().unwrap(), units).unwrap();
        let account = Account::new(Funds::Debit { balance: money("TWD", 100) }, money("TWD", 0)).unwrap();
        // 2026-11-24, in the middle of the month.
        let now = UNIX_EPOCH + Duration::from_secs(1_795_478_400);
        let month = |year, month| Expiry::new(year, month).unwrap();
        let cases = [
            (false, month(2026, 11), Some(money("TWD", 100)), None),
            (false, month(2026, 11), None, None),
            (true, month(2026, 10), Some(money("USD", 1)), Some(Unusable::Blocked)),
            (false, month(2026, 10), Some(money("USD", 1)), Some(Unusable::Expired)),
            (false, month(2026, 11), Some(money("USD", 1)), Some(Unusable::OtherCurrency)),
            (false, month(2026, 11), Some(money("TWD", 101)), Some(Unusable::InsufficientFunds)),
        ];
        for (blocked, expiry, amount, expected) in cases {
            assert_eq!(judge(blocked, expiry, &account, amount, now), expected, "{amount:?}");
        }
    }
}
