//! What an account has, holds and has spent.

use proto::money::{Currency, Money, MoneyError};

/// Where the money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Funds {
    /// A credit line; what is spent of it adds up.
    Credit {
        /// How much may be owed.
        limit: Money,
        /// How much is owed.
        spent: Money,
    },
    /// A balance, which shrinks with what is spent.
    Debit {
        /// What is there.
        balance: Money,
    },
}

/// An account: its funds and the sum of the live charges' holds on it.
///
/// All amounts are in one currency. The holds never exceed what the funds have left, except where the bank
/// itself lowered the limit or the balance afterwards; then nothing more can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    funds: Funds,
    held: Money,
}

/// Why an amount cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// The account is kept in another currency.
    #[error("the account is kept in another currency")]
    OtherCurrency,
    /// The account has not enough left.
    #[error("the account has not enough left")]
    InsufficientFunds,
}

/// An account's numbers contradict each other or a charge, which is a mistake in this program or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountFault {
    /// The amounts are in more than one currency.
    #[error("the account's amounts are in more than one currency")]
    MixedCurrencies,
    /// More would be released or confirmed than is held.
    #[error("less is held than a live charge holds")]
    HeldTooLittle,
    /// A sum is out of range.
    #[error("the account's sum is out of range")]
    OutOfRange,
}

impl From<MoneyError> for AccountFault {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::CurrencyMismatch => Self::MixedCurrencies,
            MoneyError::OutOfRange => Self::OutOfRange,
        }
    }
}

impl Account {
    /// An account as it was stored or imported.
    ///
    /// # Errors
    /// [`AccountFault::MixedCurrencies`].
    pub fn new(funds: Funds, held: Money) -> Result<Self, AccountFault> {
        let (one, other) = match funds {
            Funds::Credit { limit, spent } => (limit, spent),
            Funds::Debit { balance } => (balance, balance),
        };
        if one.currency() == other.currency() && one.currency() == held.currency() {
            Ok(Self { funds, held })
        } else {
            Err(AccountFault::MixedCurrencies)
        }
    }

    /// Its currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.held.currency()
    }

    /// Where the money comes from.
    #[must_use]
    pub const fn funds(self) -> Funds {
        self.funds
    }

    /// The sum of the live charges' holds.
    #[must_use]
    pub const fn held(self) -> Money {
        self.held
    }

    /// What can still be held: zero or more.
    #[must_use]
    pub fn available(self) -> Money {
        let zero = Money::zero(self.currency());
        let left = match self.funds {
            Funds::Credit { limit, spent } => limit.checked_sub(spent).unwrap_or(zero),
            Funds::Debit { balance } => balance,
        };
        left.checked_sub(self.held).unwrap_or(zero)
    }

    /// Holds an amount for a charge.
    ///
    /// # Errors
    /// [`HoldError`]; the account stays as it is.
    pub fn hold(self, amount: Money) -> Result<Self, HoldError> {
        if amount.currency() != self.currency() {
            return Err(HoldError::OtherCurrency);
        }
        self.available().checked_sub(amount).map_err(|_| HoldError::InsufficientFunds)?;
        let held = self.held.checked_add(amount).map_err(|_| HoldError::InsufficientFunds)?;
        Ok(Self { held, ..self })
    }

    /// Turns a hold into spending: the charge was approved.
    ///
    /// # Errors
    /// [`AccountFault`]; the account stays as it is.
    pub fn confirm(self, amount: Money) -> Result<Self, AccountFault> {
        let released = self.release(amount)?;
        let funds = match released.funds {
            Funds::Credit { limit, spent } => Funds::Credit { limit, spent: spent.checked_add(amount)? },
            Funds::Debit { balance } => Funds::Debit { balance: balance.checked_sub(amount)? },
        };
        Ok(Self { funds, ..released })
    }

    /// Gives a hold back: the charge was declined or given up.
    ///
    /// # Errors
    /// [`AccountFault`]; the account stays as it is.
    pub fn release(self, amount: Money) -> Result<Self, AccountFault> {
        if amount.currency() != self.currency() {
            return Err(AccountFault::MixedCurrencies);
        }
        let held = self.held.checked_sub(amount).map_err(|_| AccountFault::HeldTooLittle)?;
        Ok(Self { held, ..self })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn twd(units: i64) -> Money {
        Money::new("TWD".parse().unwrap(), units).unwrap()
    }

    fn credit(limit: i64) -> Account {
        Account::new(Funds::Credit { limit: twd(limit), spent: twd(0) }, twd(0)).unwrap()
    }

    fn debit(balance: i64) -> Account {
        Account::new(Funds::Debit { balance: twd(balance) }, twd(0)).unwrap()
    }

    #[test]
    fn a_hold_takes_from_what_is_available_and_no_more() {
        for account in [credit(100), debit(100)] {
            let held = account.hold(twd(60)).unwrap();
            assert_eq!((held.available(), held.held()), (twd(40), twd(60)));
            assert_eq!(held.hold(twd(41)), Err(HoldError::InsufficientFunds));
            assert_eq!(held.hold(twd(40)).unwrap().available(), twd(0));
        }
    }

    #[test]
    fn what_is_confirmed_is_gone_and_what_is_released_is_back() {
        for account in [credit(100), debit(100)] {
            let held = account.hold(twd(60)).unwrap();
            assert_eq!(held.release(twd(60)).unwrap(), account);
            let spent = held.confirm(twd(60)).unwrap();
            assert_eq!((spent.available(), spent.held()), (twd(40), twd(0)));
        }
    }

    #[test]
    fn another_currency_is_refused() {
        let usd = Money::new("USD".parse().unwrap(), 1).unwrap();
        assert_eq!(credit(100).hold(usd), Err(HoldError::OtherCurrency));
        assert_eq!(credit(100).release(usd), Err(AccountFault::MixedCurrencies));
        assert_eq!(Account::new(Funds::Debit { balance: usd }, twd(0)), Err(AccountFault::MixedCurrencies));
    }

    #[test]
    fn a_lowered_limit_leaves_nothing_and_owes_no_negative() {
        let lowered = Account::new(Funds::Credit { limit: twd(50), spent: twd(40) }, twd(30)).unwrap();
        assert_eq!(lowered.available(), twd(0));
        assert_eq!(lowered.hold(twd(1)), Err(HoldError::InsufficientFunds));
        // The charge that is under way is still confirmed: the acquirer has approved it.
        assert!(lowered.confirm(twd(30)).is_ok());
    }

    #[test]
    fn more_than_is_held_is_never_given_back() {
        let held = debit(100).hold(twd(10)).unwrap();
        assert_eq!(held.release(twd(11)), Err(AccountFault::HeldTooLittle));
        assert_eq!(held.confirm(twd(11)), Err(AccountFault::HeldTooLittle));
    }

    proptest! {
        /// Each step holds an amount or ends the oldest hold; at every moment the holds are the live ones' sum, and
        /// what is available, held and spent adds up to what was there.
        #[test]
        fn nothing_is_lost_and_nothing_appears(
            funds in 0i64..10_000,
            is_credit: bool,
            steps in prop::collection::vec((0u8..3, 1i64..4_000), 0..60),
        ) {
            let mut account = if is_credit { credit(funds) } else { debit(funds) };
            let (mut live, mut spent) = (Vec::new(), 0);
            for (step, units) in steps {
                match (step, live.first().copied()) {
                    (0, _) => match account.hold(twd(units)) {
                        Ok(held) => {
                            account = held;
                            live.push(units);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, HoldError::InsufficientFunds);
                            prop_assert!(units > account.available().minor_units());
                        }
                    },
                    (1, Some(oldest)) => {
                        account = account.confirm(twd(oldest)).unwrap();
                        live.remove(0);
                        spent += oldest;
                    }
                    (_, Some(oldest)) => {
                        account = account.release(twd(oldest)).unwrap();
                        live.remove(0);
                    }
                    (_, None) => {}
                }
                let held: i64 = live.iter().sum();
                prop_assert_eq!(account.held().minor_units(), held);
                prop_assert_eq!(account.available().minor_units() + held + spent, funds);
            }
        }
    }
}
