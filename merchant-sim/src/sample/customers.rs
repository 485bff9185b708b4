//! The cardholders of the sample network, with the test cards in their hands.

use proto::digest::Digest;

use super::{CURRENCY, DOLLARS, Issuer, national_id};
use crate::topology::{Account, AccountKind, Card, Customer, TestCard};

/// Until when every usable card is good.
const EXPIRY: (u32, u32) = (2034, 12);

/// A month that is over.
const EXPIRED: (u32, u32) = (2021, 3);

/// The first running number of the customers for load.
const LOAD_FIRST: u32 = 100_000;

/// Where each sample customer's national id is counted from, per bank.
const IDS_PER_ISSUER: u32 = 1_000;

/// The first running number of the plain cards that are no documented test cards.
const PLAIN_FIRST: u32 = 900_000;

/// The first bank's customer with every kind of test card.
pub const EVERYDAY: &str = "lin-yuchen";
/// The first bank's customer with a small credit line.
pub const SMALL_LINE: &str = "chen-weiting";
/// The first bank's customer whose sign-in fails and is locked.
pub const LOCKED_OUT: &str = "huang-meiling";
/// The first bank's customer with cards that can't be used.
pub const UNUSABLE: &str = "wu-guanting";

/// The first bank's customer to try every credential with.
pub const VERIFIED: &str = "tsou-minhsuan";

/// Where that customer stands among a bank's people.
pub const VERIFIED_PLACE: usize = 4;

/// Where the customer with every kind of test card stands.
pub const EVERYDAY_PLACE: usize = 0;

/// Where the customer stands who is there to be locked out.
pub const LOCKED_OUT_PLACE: usize = 2;

/// The credit line of the customers with a small one, in minor units: 500 dollars.
pub const SMALL_LINE_UNITS: i64 = 50_000;

/// The customers of one bank to try things with: the first has `cards`, the test cards of the bank's BINs,
/// the second a small credit line, the third is there to be locked out, the fourth has cards that can't be
/// used, and the fifth is there to bind devices and register passkeys.
#[must_use]
pub fn of(issuer: &Issuer, index: u32, cards: &[TestCard]) -> Vec<Customer> {
    let person = |place: usize, purpose: &str, accounts: Vec<Account>| {
        let ((id, name), number) = (issuer.people[place], place as u32 + 1);
        Customer {
            id: id.to_owned(),
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            national_id: national_id::nth(index * IDS_PER_ISSUER + number),
            user_code: format!("{id}-{number}"),
            password: format!("{id} pays by app {number}"),
            activation_code: activation_code(issuer, index * IDS_PER_ISSUER + number),
            accounts,
        }
    };
    let own = |place: usize, what: &str| format!("{}-{what}", issuer.people[place].0);
    let mut numbers = PLAIN_FIRST..;
    let mut plain = |label: &str| {
        let pan = numbers.next().map(|number| plain_pan(issuer, number)).unwrap_or_default();
        held(&TestCard { pan, behaviour: "approves".to_owned(), declined_for: None }, label)
    };
    let (debit, small, locked) = (plain("Daily Debit"), plain("Starter Credit"), plain("Everyday Credit"));
    let blocked = Card { blocked: true, behaviour: "blocked by the bank".to_owned(), ..plain("Blocked Credit") };
    let expired = Card {
        expiry_month: EXPIRED.1,
        expiry_year: EXPIRED.0,
        behaviour: "expired in 2021".to_owned(),
        ..plain("Old Credit")
    };
    let verified = plain("Everyday Credit");
    let foreign = Card { behaviour: "its account is kept in USD".to_owned(), ..plain("Dollar Debit") };
    let every = cards.iter().map(|card| held(card, &label(card)));
    vec![
        person(
            EVERYDAY_PLACE,
            "has a test card for everything the card network does",
            vec![
                credit(&own(0, "credit"), 50_000_000, every),
                debit_account(&own(0, "debit"), issuer.debit_currency, 2_000_000, [debit]),
            ],
        ),
        person(1, "has a credit line of 500 dollars", vec![credit(&own(1, "credit"), SMALL_LINE_UNITS, [small])]),
        person(
            LOCKED_OUT_PLACE,
            "is there to be locked out by wrong passwords",
            vec![credit(&own(LOCKED_OUT_PLACE, "credit"), 10_000_000, [locked])],
        ),
        person(
            3,
            "has a blocked card, an expired one and one in another currency",
            vec![
                credit(&own(3, "credit"), 10_000_000, [blocked, expired]),
                debit_account(&own(3, "dollars"), DOLLARS, 100_000, [foreign]),
            ],
        ),
        person(
            VERIFIED_PLACE,
            "has nothing bound yet, and is there to try every credential with",
            vec![credit(&own(VERIFIED_PLACE, "credit"), 100_000_000, [verified])],
        ),
    ]
}

/// The code that a bank sends a customer by letter, which here follows from the bank and a running number: 16
/// characters of Crockford's base 32.
fn activation_code(issuer: &Issuer, number: u32) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digest = Digest::of(format!("activation code {number} of {}", issuer.id).as_bytes());
    let letters = digest.as_bytes().iter().take(16).map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    let letters: Vec<char> = letters.collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// Customers for load: one card each, with a credit line that no run uses up.
#[must_use]
pub fn for_load(issuer: &Issuer, index: u32, count: u32) -> Vec<Customer> {
    (0..count)
        .map(|number| {
            let running = LOAD_FIRST * (index + 1) + number;
            let card =
                TestCard { pan: plain_pan(issuer, number), behaviour: "approves".to_owned(), declined_for: None };
            Customer {
                id: format!("load-{number}"),
                name: format!("Payer {number}"),
                purpose: "makes load".to_owned(),
                national_id: national_id::nth(running),
                user_code: format!("load-{running}"),
                password: format!("load payer {running}"),
                activation_code: activation_code(issuer, running),
                accounts: vec![credit(
                    &format!("load-{number}-credit"),
                    proto::money::MINOR_UNITS_MAX,
                    Some(held(&card, "Load Credit")),
                )],
            }
        })
        .collect()
}

/// A test card as a customer holds it.
fn held(card: &TestCard, label: &str) -> Card {
    Card {
        label: label.to_owned(),
        cvv: card.pan[card.pan.len() - 7..card.pan.len() - 4].to_owned(),
        pan: card.pan.clone(),
        expiry_month: EXPIRY.1,
        expiry_year: EXPIRY.0,
        blocked: false,
        behaviour: card.behaviour.clone(),
    }
}

/// What the bank calls a test card: its behaviour, so that a person finds it in the list.
fn label(card: &TestCard) -> String {
    match &card.declined_for {
        Some(reason) => format!("Test {}", reason.to_lowercase().replace('_', " ")),
        None => format!("Test {}", card.behaviour),
    }
}

fn credit(id: &str, minor_units: i64, cards: impl IntoIterator<Item = Card>) -> Account {
    Account {
        id: id.to_owned(),
        kind: AccountKind::Credit,
        currency: CURRENCY.to_owned(),
        minor_units,
        cards: cards.into_iter().collect(),
    }
}

fn debit_account(id: &str, currency: &str, minor_units: i64, cards: impl IntoIterator<Item = Card>) -> Account {
    Account {
        id: id.to_owned(),
        kind: AccountKind::Debit,
        currency: currency.to_owned(),
        minor_units,
        cards: cards.into_iter().collect(),
    }
}

/// A number under the bank's first BIN. The "000" before the check digit asks the simulated network for
/// an approval, and keeps these numbers apart from the test cards.
fn plain_pan(issuer: &Issuer, number: u32) -> String {
    let bin = issuer.bin_ranges.first().copied().unwrap_or("400000");
    let digits = format!("{bin}{number:06}000");
    // Luhn (ISO/IEC 7812-1, annex B): every second digit from the right is doubled, the check digit not.
    let sum: u32 = digits
        .bytes()
        .rev()
        .zip([2, 1].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proto::card::Pan;

    use super::*;
    use crate::sample::ISSUERS;

    #[test]
    fn every_customer_for_load_has_a_number_of_their_own() {
        let customers = for_load(&ISSUERS[0], 0, 500);
        let pans: BTreeSet<&str> = customers.iter().flat_map(Customer::cards).map(|card| card.pan.as_str()).collect();
        assert_eq!(pans.len(), 500);
        assert!(pans.iter().all(|pan| pan.parse::<Pan>().is_ok()), "{pans:?}");
    }

    #[test]
    fn every_bank_holds_its_own_test_cards_and_no_card_is_in_two_hands() {
        let cards = crate::topology::plan::test_cards();
        let mut all = BTreeSet::new();
        for (index, issuer) in (0..).zip(ISSUERS) {
            let own = |pan: &str| issuer.bin_ranges.iter().any(|bin| pan.starts_with(bin));
            let of_bank: Vec<TestCard> = cards.iter().filter(|card| own(&card.pan)).cloned().collect();
            let customers = of(issuer, index, &of_bank);
            let held: Vec<&str> = customers.iter().flat_map(Customer::cards).map(|card| card.pan.as_str()).collect();
            assert!(held.iter().all(|pan| own(pan) && pan.parse::<Pan>().is_ok()), "{held:?}");
            assert!(of_bank.iter().all(|card| held.contains(&card.pan.as_str())) && of_bank.len() == 12);
            let before = all.len();
            all.extend(held.iter().map(|pan| (*pan).to_owned()));
            assert_eq!(all.len(), before + held.len());
        }
    }
}
