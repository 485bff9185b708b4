//! A bank's customers, in the form that the issuer imports.

use anyhow::Result;
use certs::files::{Access, replace};
use serde::Serialize;

use crate::topology::{Account, AccountKind, Customer, Issuer};

#[derive(Serialize)]
struct File<'a> {
    customers: Vec<CustomerTable<'a>>,
}

#[derive(Serialize)]
struct CustomerTable<'a> {
    id: &'a str,
    name: &'a str,
    national_id: &'a str,
    user_code: &'a str,
    password: &'a str,
    activation_code: &'a str,
    accounts: Vec<AccountTable<'a>>,
    cards: Vec<CardTable<'a>>,
}

#[derive(Serialize)]
struct AccountTable<'a> {
    id: &'a str,
    kind: AccountKind,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_minor_units: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance_minor_units: Option<i64>,
}

#[derive(Serialize)]
struct CardTable<'a> {
    label: &'a str,
    pan: &'a str,
    expiry: String,
    cvv: &'a str,
    account: &'a str,
    blocked: bool,
}

/// Writes the file, readable by its owner alone.
pub(super) fn write(issuer: &Issuer) -> Result<()> {
    let customers = issuer.customers.iter().chain(&issuer.load_customers).map(customer_table).collect();
    let text = toml::to_string(&File { customers })?;
    Ok(replace(&issuer.customers_file, text.as_bytes(), Access::Owner)?)
}

fn customer_table(customer: &Customer) -> CustomerTable<'_> {
    CustomerTable {
        id: &customer.id,
        name: &customer.name,
        national_id: &customer.national_id,
        user_code: &customer.user_code,
        password: &customer.password,
        activation_code: &customer.activation_code,
        accounts: customer.accounts.iter().map(account_table).collect(),
        cards: customer.accounts.iter().flat_map(cards_of).collect(),
    }
}

fn account_table(account: &Account) -> AccountTable<'_> {
    let (limit_minor_units, balance_minor_units) = match account.kind {
        AccountKind::Credit => (Some(account.minor_units), None),
        AccountKind::Debit => (None, Some(account.minor_units)),
    };
    AccountTable {
        id: &account.id,
        kind: account.kind,
        currency: &account.currency,
        limit_minor_units,
        balance_minor_units,
    }
}

fn cards_of(account: &Account) -> impl Iterator<Item = CardTable<'_>> {
    account.cards.iter().map(|card| CardTable {
        label: &card.label,
        pan: &card.pan,
        expiry: format!("{:04}-{:02}", card.expiry_year, card.expiry_month),
        cvv: &card.cvv,
        account: &account.id,
        blocked: card.blocked,
    })
}
