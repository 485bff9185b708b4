//! Checks a file as a whole, in itself and against what is stored, before anything is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::str::FromStr;

use mesh::secret::SecretString;
use mesh::store::{KeyRange, PageRequest};
use proto::{
    card::{CardData, Cvv, Expiry, Pan},
    fields::{Fields, Invalid},
    money::{Currency, Money},
    pb, require,
};

use super::{
    Error, Means, Options,
    file::{AccountEntry, CardEntry, CustomerEntry, File, Kind},
};
use crate::{
    auth::{is_password, is_user_code},
    cards::CARDS_MAX,
    domain::{
        activation_code::ActivationCode,
        ids::{AccountId, CustomerId},
        national_id::NationalId,
    },
    records::{self, Account, Customer, INDEX_ACTIVATION_BY_CODE, INDEX_CUSTOMER_BY_NATIONAL_ID},
    repository::Stored,
    vault::Tag,
};

/// The longest name of a customer and label of a card, in bytes; they are shown on a phone.
const TEXT_BYTES_MAX: usize = 60;

/// A customer who can be written.
#[derive(Debug)]
pub(super) struct PlannedCustomer {
    pub(super) id: CustomerId,
    pub(super) name: String,
    pub(super) national_id: Tag,
    pub(super) user_code: Tag,
    pub(super) password: Password,
    pub(super) activation_code: Option<Tag>,
    pub(super) accounts: Vec<PlannedAccount>,
    pub(super) cards: Vec<PlannedCard>,
}

/// A password, or its hash.
#[derive(Debug)]
pub(super) enum Password {
    Plain(SecretString),
    Hash(SecretString),
}

/// An account that can be written.
#[derive(Debug)]
pub(super) struct PlannedAccount {
    pub(super) id: AccountId,
    pub(super) kind: pb::CardKind,
    pub(super) funds: Money,
}

/// A card that can be written.
#[derive(Debug)]
pub(super) struct PlannedCard {
    pub(super) label: String,
    pub(super) data: CardData,
    pub(super) account: AccountId,
    pub(super) blocked: bool,
}

/// Checks everything and says everything that is wrong.
pub(super) async fn check(file: File, means: &Means<'_>, options: Options) -> Result<Vec<PlannedCustomer>, Error> {
    let mut fields = Fields::new();
    fields.check("customers", !file.customers.is_empty(), "must name at least one customer");
    let mut seen = Seen::default();
    let mut planned = Vec::with_capacity(file.customers.len());
    for (i, entry) in file.customers.into_iter().enumerate() {
        let path = format!("customers[{i}]");
        if let Some(customer) = fields.nested(&path, customer(entry, means, &mut seen)) {
            check_stored(&customer, &path, &mut fields, means, options).await?;
            planned.push(customer);
        }
    }
    fields.finish()?;
    Ok(planned)
}

/// What stands further up in the file.
#[derive(Debug, Default)]
struct Seen {
    customers: BTreeSet<CustomerId>,
    national_ids: HashSet<[u8; 32]>,
    activation_codes: HashSet<[u8; 32]>,
    accounts: BTreeSet<AccountId>,
    cards: HashSet<[u8; 32]>,
}

fn customer(entry: CustomerEntry, means: &Means<'_>, seen: &mut Seen) -> Result<PlannedCustomer, Invalid> {
    let mut fields = Fields::new();
    let id = fields.text::<CustomerId>("id", &entry.id);
    if let Some(id) = &id {
        fields.check("id", seen.customers.insert(id.clone()), "must be the only customer with this id");
    }
    let name = fields.plain_text("name", &entry.name, 1, TEXT_BYTES_MAX);
    let national_id = secret::<NationalId>(&mut fields, "national_id", entry.national_id.as_ref());
    let national_id = national_id.map(|number| means.lookup.national_id(&number));
    if let Some(tag) = &national_id {
        let alone = seen.national_ids.insert(*tag.as_bytes());
        fields.check("national_id", alone, "must not be that of a customer further up");
    }
    let user_code = entry.user_code.as_ref().map_or("", |code| code.expose());
    fields.check("user_code", is_user_code(user_code), "must be 4 to 32 characters, none a control character");
    let user_code = id.as_ref().map(|id| means.lookup.user_code(id, user_code));
    let password = password(&mut fields, entry.password, entry.password_hash, means);
    let activation_code = activation_code(&mut fields, entry.activation_code.as_ref(), means, seen);
    let accounts = accounts(&mut fields, entry.accounts, seen);
    let own: BTreeMap<&str, &AccountId> = accounts.iter().flatten().map(|a| (a.id.as_str(), &a.id)).collect();
    let cards = cards(&mut fields, entry.cards, &own, means, seen);
    require!(fields; id, name, national_id, user_code, password, activation_code, accounts, cards);
    Ok(PlannedCustomer { id, name, national_id, user_code, password, activation_code, accounts, cards })
}

fn password(
    fields: &mut Fields,
    plain: Option<SecretString>,
    hash: Option<SecretString>,
    means: &Means<'_>,
) -> Option<Password> {
    match (plain, hash) {
        (Some(plain), None) => {
            fields.check("password", is_password(plain.expose()), "must be 8 to 128 bytes");
            Some(Password::Plain(plain))
        }
        (None, Some(hash)) => {
            let fits = means.passwords.accepts(hash.expose());
            fields.check("password_hash", fits, "must be an argon2id PHC string of exactly the configured cost");
            Some(Password::Hash(hash))
        }
        (None, None) | (Some(_), Some(_)) => {
            fields.wrong("password", "must be set, or else password_hash, and not both");
            None
        }
    }
}

/// The code's hash; none in it where there is no code.
fn activation_code(
    fields: &mut Fields,
    entry: Option<&SecretString>,
    means: &Means<'_>,
    seen: &mut Seen,
) -> Option<Option<Tag>> {
    if entry.is_none() {
        return Some(None);
    }
    let tag = means.lookup.activation_code(&secret::<ActivationCode>(fields, "activation_code", entry)?);
    let alone = seen.activation_codes.insert(*tag.as_bytes());
    fields.check("activation_code", alone, "must not be that of a customer further up");
    Some(Some(tag))
}

fn accounts(fields: &mut Fields, entries: Vec<AccountEntry>, seen: &mut Seen) -> Option<Vec<PlannedAccount>> {
    let mut planned = Some(Vec::with_capacity(entries.len()));
    for (i, entry) in entries.into_iter().enumerate() {
        let account = fields.nested(&format!("accounts[{i}]"), account(&entry, seen));
        planned = planned.zip(account).map(|(mut planned, account)| {
            planned.push(account);
            planned
        });
    }
    planned
}

fn account(entry: &AccountEntry, seen: &mut Seen) -> Result<PlannedAccount, Invalid> {
    let mut fields = Fields::new();
    let id = fields.text::<AccountId>("id", &entry.id);
    if let Some(id) = &id {
        fields.check("id", seen.accounts.insert(id.clone()), "must be the only account with this id");
    }
    let currency = fields.text::<Currency>("currency", &entry.currency);
    let (kind, named, amount, other, other_amount) = match entry.kind {
        Kind::Credit => (
            pb::CardKind::Credit,
            "limit_minor_units",
            entry.limit_minor_units,
            "balance_minor_units",
            entry.balance_minor_units,
        ),
        Kind::Debit => (
            pb::CardKind::Debit,
            "balance_minor_units",
            entry.balance_minor_units,
            "limit_minor_units",
            entry.limit_minor_units,
        ),
    };
    fields.check(named, amount.is_some(), "must be set for an account of this kind");
    fields.check(other, other_amount.is_none(), "must not be set for an account of this kind");
    let funds = currency.zip(amount).and_then(|(currency, amount)| fields.result(named, Money::new(currency, amount)));
    fields.finish()?;
    match id.zip(funds) {
        Some((id, funds)) => Ok(PlannedAccount { id, kind, funds }),
        None => Err(Invalid::field("", "is incomplete")),
    }
}

fn cards(
    fields: &mut Fields,
    entries: Vec<CardEntry>,
    accounts: &BTreeMap<&str, &AccountId>,
    means: &Means<'_>,
    seen: &mut Seen,
) -> Option<Vec<PlannedCard>> {
    fields.check("cards", entries.len() <= CARDS_MAX, "must be at most 200; more could not be listed");
    let mut planned = Some(Vec::with_capacity(entries.len()));
    for (i, entry) in entries.into_iter().enumerate() {
        let card = fields.nested(&format!("cards[{i}]"), card(&entry, accounts, means, seen));
        planned = planned.zip(card).map(|(mut planned, card)| {
            planned.push(card);
            planned
        });
    }
    planned
}

fn card(
    entry: &CardEntry,
    accounts: &BTreeMap<&str, &AccountId>,
    means: &Means<'_>,
    seen: &mut Seen,
) -> Result<PlannedCard, Invalid> {
    let mut fields = Fields::new();
    let label = fields.plain_text("label", &entry.label, 1, TEXT_BYTES_MAX);
    let pan = secret::<Pan>(&mut fields, "pan", entry.pan.as_ref());
    if let Some(pan) = &pan {
        let alone = seen.cards.insert(*means.lookup.number(pan).as_bytes());
        fields.check("pan", alone, "must not be the number of a card further up");
        let own = means.bins.is_none_or(|(directory, issuer)| {
            directory.owner_of(pan.bin()).is_some_and(|owner| owner.entry().member.as_str() == issuer.as_str())
        });
        fields.check("pan", own, "must begin with a BIN that the directory gives to this issuer");
    }
    let expiry = fields.result("expiry", parse_expiry(&entry.expiry));
    let cvv = match &entry.cvv {
        None => Some(None),
        Some(_) if !means.card_verification.stores() => {
            fields.wrong("cvv", "must not be set: card_verification in the configuration is not \"stored\"");
            None
        }
        Some(cvv) => fields.text::<Cvv>("cvv", cvv.expose()).map(Some),
    };
    let account = accounts.get(entry.account.as_str()).map(|id| (*id).clone());
    fields.check("account", account.is_some(), "must be the id of one of this customer's accounts in the file");
    require!(fields; label, pan, expiry, cvv, account);
    Ok(PlannedCard { label, data: CardData { pan, expiry, cvv }, account, blocked: entry.blocked })
}

/// A secret that must be there, read by its type, whose errors don't repeat it.
fn secret<T: FromStr<Err: Display>>(fields: &mut Fields, path: &str, value: Option<&SecretString>) -> Option<T> {
    match value {
        Some(value) => fields.text(path, value.expose()),
        None => {
            fields.wrong(path, "must be set");
            None
        }
    }
}

fn parse_expiry(text: &str) -> Result<Expiry, &'static str> {
    const RULE: &str = "must be a year and a month, for example \"2031-12\"";
    let (year, month) = text.split_once('-').ok_or(RULE)?;
    if year.len() != 4 || month.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Err(RULE);
    }
    let number = |text: &str| text.parse::<u32>().map_err(|_| RULE);
    Expiry::new(number(year)?, number(month)?).map_err(|_| RULE)
}

/// What can't be seen from the file alone.
async fn check_stored(
    customer: &PlannedCustomer,
    path: &str,
    fields: &mut Fields,
    means: &Means<'_>,
    options: Options,
) -> Result<(), Error> {
    let range = KeyRange::exactly(customer.national_id.as_bytes().as_slice());
    let found = means.repository.page::<Customer>(INDEX_CUSTOMER_BY_NATIONAL_ID, range, PageRequest::first(2)).await?;
    let others = found.items.iter().any(|stored| stored.value.customer_id != customer.id.as_str());
    fields.check(&format!("{path}.national_id"), !others, "must not be that of another customer in the store");
    if let Some(code) = &customer.activation_code {
        let range = KeyRange::exactly(code.as_bytes().as_slice());
        let found = means.repository.page(INDEX_ACTIVATION_BY_CODE, range, PageRequest::first(2)).await?;
        let others = found
            .items
            .iter()
            .any(|stored: &Stored<records::ActivationCode>| stored.value.customer_id != customer.id.as_str());
        let path = format!("{path}.activation_code");
        fields.check(&path, !others, "must not be that of another customer in the store");
    }
    for (i, account) in customer.accounts.iter().enumerate() {
        let Some(stored) = means.repository.load(&Account::at(&account.id)).await? else { continue };
        let path = format!("{path}.accounts[{i}]");
        let same_holder = stored.value.customer_id == customer.id.as_str();
        fields.check(&format!("{path}.id"), same_holder, "must not be an account of another customer in the store");
        let same_kind = stored.value.kind == i32::from(account.kind);
        fields.check(&format!("{path}.kind"), same_kind, "must be that of the existing account; it can't change");
        // A balance below the holds could not pay for a charge that its acquirer approves.
        let covers = account.kind == pb::CardKind::Credit || account.funds.minor_units() >= stored.value.held;
        fields.check(
            &format!("{path}.balance_minor_units"),
            covers || !options.overwrite_funds,
            "must be at least what charges under way hold on the account",
        );
        let same_currency = stored.value.currency == account.funds.currency().code();
        fields.check(
            &format!("{path}.currency"),
            same_currency,
            "must be that of the existing account; it can't change",
        );
    }
    Ok(())
}
