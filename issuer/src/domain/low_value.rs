//! Small payments with less proof, and how much of that a customer may have in a row.
//!
//! Modelled on article 16 of the regulatory technical standards on strong customer authentication (Commission
//! Delegated Regulation (EU) 2018/389), and stricter where that leaves a choice: a payment must keep *both* the
//! sum and the count, and counts itself in.

use std::collections::BTreeMap;

use proto::money::{Currency, Money, MoneyError};

/// What is small in one currency; the currency is that of the amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest single payment.
    pub amount_max: Money,
    /// The largest sum of such payments since the last one with two kinds of proof.
    pub sum_max: Money,
    /// The most such payments since then, in whatever currency.
    pub count_max: u32,
}

/// A customer's small payments since the last payment with two kinds of proof.
///
/// A payment that ends without an approval is taken out again, unless a payment with two kinds came in between:
/// then the tally that it was counted in is gone, and its number, the epoch, says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    epoch: u64,
    payments: u32,
    sums: BTreeMap<Currency, Money>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { epoch: Self::FIRST_EPOCH, payments: 0, sums: BTreeMap::new() }
    }
}

impl Tally {
    /// The number of a customer's first tally.
    pub const FIRST_EPOCH: u64 = 1;

    /// A tally as it was stored.
    ///
    /// # Errors
    /// [`MoneyError`] where a currency's sums are out of range together.
    pub fn stored(epoch: u64, payments: u32, sums: impl IntoIterator<Item = Money>) -> Result<Self, MoneyError> {
        let mut tally = Self { epoch, payments, sums: BTreeMap::new() };
        for sum in sums {
            tally.add(sum)?;
        }
        Ok(tally)
    }

    /// Its number: one more after each payment with two kinds of proof that ended a tally.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many payments it counts.
    #[must_use]
    pub const fn payments(&self) -> u32 {
        self.payments
    }

    /// The sums, one for each currency.
    pub fn sums(&self) -> impl Iterator<Item = Money> {
        self.sums.values().copied()
    }

    /// Whether it counts nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payments == 0 && self.sums.values().all(|sum| sum.minor_units() == 0)
    }

    /// Whether one more payment of this amount is still small. No limits for its currency: none is.
    #[must_use]
    pub fn allows(&self, amount: Money, limits: &[Limits]) -> bool {
        let Some(limits) = limits.iter().find(|limits| limits.amount_max.currency() == amount.currency()) else {
            return false;
        };
        let sum = self.sum(amount.currency()).checked_add(amount);
        amount.minor_units() <= limits.amount_max.minor_units()
            && self.payments < limits.count_max
            && sum.is_ok_and(|sum| sum.minor_units() <= limits.sum_max.minor_units())
    }

    /// With a payment of this amount.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`], which no payment meets that is [allowed](Self::allows).
    pub fn with(mut self, amount: Money) -> Result<Self, MoneyError> {
        self.add(amount)?;
        self.payments = self.payments.saturating_add(1);
        Ok(self)
    }

    /// Without a payment of this amount that was counted in this epoch; the same where that tally is gone.
    #[must_use]
    pub fn without(mut self, amount: Money, epoch: u64) -> Self {
        if epoch != self.epoch {
            return self;
        }
        let currency = amount.currency();
        let left = self.sum(currency).checked_sub(amount).unwrap_or(Money::zero(currency));
        if left.minor_units() == 0 {
            self.sums.remove(&currency);
        } else {
            self.sums.insert(currency, left);
        }
        self.payments = self.payments.saturating_sub(1);
        self
    }

    /// After a payment with two kinds of proof: empty, under the next number.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { epoch: self.epoch.saturating_add(1), payments: 0, sums: BTreeMap::new() }
    }

    fn sum(&self, currency: Currency) -> Money {
        self.sums.get(&currency).copied().unwrap_or(Money::zero(currency))
    }

    fn add(&mut self, amount: Money) -> Result<(), MoneyError> {
        let sum = self.sum(amount.currency()).checked_add(amount)?;
        self.sums.insert(amount.currency(), sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
