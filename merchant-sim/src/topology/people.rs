//! The cardholders of a network, with their accounts and cards.

use serde::{Deserialize, Serialize};

/// One cardholder. Invented, so that the secrets below may stand in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The bank's id of the customer.
    pub id: String,
    /// The name.
    pub name: String,
    /// What this one is good for.
    pub purpose: String,
    /// The national id.
    pub national_id: String,
    /// The user code.
    pub user_code: String,
    /// The password.
    pub password: String,
    /// The code that binds one device without a session, once.
    pub activation_code: String,
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// An account and the cards that draw on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The bank's id of the account.
    pub id: String,
    /// A credit line or a balance.
    pub kind: AccountKind,
    /// Its currency.
    pub currency: String,
    /// The credit line or the balance at the beginning, in minor units.
    pub minor_units: i64,
    /// Its cards.
    pub cards: Vec<Card>,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// A credit line.
    Credit,
    /// A balance.
    Debit,
}

/// A card with a test number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What the bank calls it; `ListCardOptions` shows it beside the last four digits.
    pub label: String,
    /// The test number.
    pub pan: String,
    /// Month of expiry.
    pub expiry_month: u32,
    /// Year of expiry.
    pub expiry_year: u32,
    /// The verification value.
    pub cvv: String,
    /// Whether the bank has blocked it.
    pub blocked: bool,
    /// What happens when it pays.
    pub behaviour: String,
}

impl Card {
    /// Finds this card among the options that the bank shows.
    #[must_use]
    pub fn among<'a>(&self, options: &'a [proto::pb::CardOption]) -> Option<&'a proto::pb::CardOption> {
        options.iter().find(|option| option.label == self.label && self.pan.ends_with(&option.last_four))
    }
}

impl Customer {
    /// All cards, whatever their account.
    pub fn cards(&self) -> impl Iterator<Item = &Card> {
        self.accounts.iter().flat_map(|account| &account.cards)
    }
}
