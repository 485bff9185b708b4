//! The file as it is written. Its values are checked by `plan`.

use mesh::secret::SecretString;
use serde::Deserialize;

use super::Error;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) customers: Vec<CustomerEntry>,
}

/// A customer. A secret that is left out is noticed by `plan`, which knows its path; a required one would be
/// reported by the parser as one of the wrong type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerEntry {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) national_id: Option<SecretString>,
    pub(super) user_code: Option<SecretString>,
    pub(super) password: Option<SecretString>,
    pub(super) password_hash: Option<SecretString>,
    pub(super) activation_code: Option<SecretString>,
    #[serde(default)]
    pub(super) accounts: Vec<AccountEntry>,
    #[serde(default)]
    pub(super) cards: Vec<CardEntry>,
}

/// An account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountEntry {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) currency: String,
    pub(super) limit_minor_units: Option<i64>,
    pub(super) balance_minor_units: Option<i64>,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Credit,
    Debit,
}

/// A card.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardEntry {
    pub(super) label: String,
    pub(super) pan: Option<SecretString>,
    pub(super) expiry: String,
    pub(super) cvv: Option<SecretString>,
    pub(super) account: String,
    #[serde(default)]
    pub(super) blocked: bool,
}

/// Reads the text.
pub(super) fn parse(text: &str) -> Result<File, Error> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::Syntax { line, problem: problem(error.message()) }
    })
}

/// The parser's words as far as they name fields and nothing else. What it says about wrong types repeats
/// the value, which may be a number that somebody forgot to put in quotes, and its display shows the line.
fn problem(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    if ["missing field", "unknown field", "duplicate key"].iter().any(|start| first.starts_with(start)) {
        first.to_owned()
    } else {
        "is no TOML, or a value of the wrong type; text, also numbers of cards, stands in quotes".to_owned()
    }
}
