//! The cardholders of a run: several cards each, with different tempers, on accounts that they share.

use acquirer::network::right_cvv;
use anyhow::{Context as _, Result};

use crate::sample::national_id;
use crate::topology::{Account, AccountKind, Card, Customer, Issuer};

/// The currency of everything in a run.
pub(super) const CURRENCY: &str = crate::sample::CURRENCY;

/// How many customers each bank has. Payers share them: several of one customer's devices pay at one time.
pub(super) const CUSTOMERS: u32 = 8;

/// The credit line of each bank's first customer, in minor units: so small that payments at one time
/// compete for it.
const SMALL_LINE: i64 = 60_000;

/// Everybody else's credit line, in minor units.
const LINE: i64 = 500_000_000;

/// Everybody's balance, in minor units.
const BALANCE: i64 = 400_000;

/// Until when every card is good.
const EXPIRY: (u32, u32) = (2034, 12);

/// What the card network does with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Approves at once.
    Plain,
    /// Declines at once.
    Declines,
    /// Approves after 2 s.
    Slow,
    /// Never answers.
    Silent,
    /// Approves after 8 s, silent until then.
    Late,
    /// Approves at once, and draws on a balance instead of a credit line.
    Debit,
}

impl Temper {
    /// Each customer has one card of each.
    pub(super) const ALL: [Self; 6] = [Self::Plain, Self::Declines, Self::Slow, Self::Silent, Self::Late, Self::Debit];

    /// What the bank calls the card.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Plain => "Plain",
            Self::Declines => "Declines",
            Self::Slow => "Slow",
            Self::Silent => "Silent",
            Self::Late => "Late",
            Self::Debit => "Debit",
        }
    }

    /// The three digits before the check digit, by which the simulated card network goes.
    const fn digits(self) -> &'static str {
        match self {
            Self::Plain => "000",
            Self::Debit => "001",
            Self::Declines => "902",
            Self::Slow => "907",
            Self::Silent => "908",
            Self::Late => "909",
        }
    }

    /// The customer's card of this temper.
    pub(super) fn card(self, customer: &Customer) -> Result<&Card> {
        let card = customer.cards().find(|card| card.label == self.label());
        card.with_context(|| format!("{} has no such card: {}", customer.id, self.label()))
    }
}

/// The customers of one bank.
///
/// # Errors
/// The bank has no BIN.
pub(super) fn of(issuer: &Issuer, bank: u32) -> Result<Vec<Customer>> {
    let bin = issuer.bin_ranges.first().with_context(|| format!("{} has no BIN", issuer.id))?;
    let customers = (0..CUSTOMERS).map(|number| {
        let running = bank * CUSTOMERS + number;
        let id = format!("payer-{number}");
        let card = |temper: Temper| card(bin, number, temper);
        let (debit, credit): (Vec<Temper>, Vec<Temper>) =
            Temper::ALL.into_iter().partition(|temper| *temper == Temper::Debit);
        let account = |what: &str, kind, minor_units, cards: Vec<Temper>| -> Result<Account> {
            let cards = cards.into_iter().map(card).collect::<Result<_>>()?;
            Ok(Account { id: format!("{id}-{what}"), kind, currency: CURRENCY.to_owned(), minor_units, cards })
        };
        let line = if number == 0 { SMALL_LINE } else { LINE };
        Ok(Customer {
            name: format!("Payer {number}"),
            purpose: "pays while servers die".to_owned(),
            national_id: national_id::nth(700_000 + running),
            user_code: format!("user-code-{running:04}"),
            password: format!("a long password for payer {running}"),
            activation_code: activation_code(running),
            accounts: vec![
                account("credit", AccountKind::Credit, line, credit)?,
                account("debit", AccountKind::Debit, BALANCE, debit)?,
            ],
            id,
        })
    });
    customers.collect()
}

fn card(bin: &str, number: u32, temper: Temper) -> Result<Card> {
    let pan = pan(bin, number, temper);
    let cvv = right_cvv(&pan.parse().context("our own card number")?).to_owned();
    Ok(Card {
        label: temper.label().to_owned(),
        cvv,
        pan,
        expiry_month: EXPIRY.1,
        expiry_year: EXPIRY.0,
        blocked: false,
        behaviour: temper.label().to_lowercase(),
    })
}

/// A number that passes Luhn (ISO/IEC 7812-1, annex B): every second digit from the right is doubled, the check
/// digit not.
fn pan(bin: &str, number: u32, temper: Temper) -> String {
    let digits = format!("{bin}{:06}{}", 70_717 + number * 101, temper.digits());
    let weighted = digits.bytes().rev().zip([2, 1].into_iter().cycle());
    let sum: u32 = weighted
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// Sixteen characters of Crockford's base 32 that no other customer has.
fn activation_code(running: u32) -> String {
    let digits = format!("{:016}", 7_404_000_000_000_000 + u64::from(running) * 7_919);
    let groups: Vec<&str> = [0, 4, 8, 12].iter().filter_map(|begin| digits.get(*begin..begin + 4)).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use acquirer::network::Behaviour;

    use super::*;

    #[test]
    fn every_card_does_what_its_temper_says() {
        for (bin, number) in [("400000", 0), ("520000", 3), ("353011", CUSTOMERS - 1)] {
            for temper in Temper::ALL {
                let behaviour = Behaviour::of(&pan(bin, number, temper).parse().unwrap());
                let fits = match temper {
                    Temper::Plain | Temper::Debit => behaviour == Behaviour::Approve,
                    Temper::Declines => matches!(behaviour, Behaviour::Decline(_)),
                    Temper::Slow => behaviour == Behaviour::Slow,
                    Temper::Silent => behaviour == Behaviour::Silent,
                    Temper::Late => behaviour == Behaviour::Late,
                };
                assert!(fits, "{temper:?} is {behaviour:?}");
            }
        }
    }

    #[test]
    fn no_two_cards_have_one_number() {
        let pans: BTreeSet<String> =
            (0..CUSTOMERS).flat_map(|number| Temper::ALL.map(|temper| pan("400000", number, temper))).collect();
        assert_eq!(pans.len(), usize::try_from(CUSTOMERS).unwrap() * Temper::ALL.len());
    }
}
