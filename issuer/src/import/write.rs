//! Writes what was checked, and only what differs from what is stored.

use bytes::Bytes;
use mesh::{
    secret::SecretString,
    store::{KeyRange, PageRequest, Version},
};
use proto::ids::CardOptionId;
use zeroize::Zeroizing;

use super::{
    Error, Means, Options, Report, Tally,
    plan::{Password, PlannedAccount, PlannedCard, PlannedCustomer},
};
use crate::{
    audit::{Act, Actor, Entry},
    domain::ids::CustomerId,
    records::{Account, ActivationCode, Card, Credential, Customer, Entity, INDEX_CARD_BY_NUMBER, millis_of},
    repository::{Changes, Outcome, Stored},
    vault::{open_card, open_password_hash, seal_card, seal_password_hash},
};

/// Writes a customer: credentials first, so that nobody is found who can't be verified; then the
/// accounts, then the cards that draw on them.
pub(super) async fn customer(
    means: &Means<'_>,
    planned: PlannedCustomer,
    options: Options,
    report: &mut Report,
) -> Result<(), Error> {
    person(means, &planned, report).await?;
    for account in &planned.accounts {
        self::account(means, &planned.id, account, options, report).await?;
    }
    for card in &planned.cards {
        self::card(means, &planned.id, card, report).await?;
    }
    Ok(())
}

async fn person(means: &Means<'_>, planned: &PlannedCustomer, report: &mut Report) -> Result<(), Error> {
    let stored_customer = means.repository.load(&Customer::at(&planned.id)).await?;
    let stored_credential = means.repository.load(&Credential::at(&planned.id)).await?;
    let customer = Customer {
        customer_id: planned.id.to_string(),
        national_id_hash: Bytes::copy_from_slice(planned.national_id.as_bytes()),
        name: planned.name.clone(),
    };
    let credential = Credential {
        customer_id: planned.id.to_string(),
        sealed_password_hash: password_hash(means, planned, stored_credential.as_ref()).await?,
        user_code_hash: Bytes::copy_from_slice(planned.user_code.as_bytes()),
    };
    let mut changes = Pending::new();
    changes.put(stored_customer.as_ref(), &customer);
    changes.put(stored_credential.as_ref(), &credential);
    let stored_code = means.repository.load(&ActivationCode::at(&planned.id)).await?;
    if let Some(code) = activation_code(means, planned, stored_code.as_ref()) {
        changes.put(stored_code.as_ref(), &code);
    }
    let told = told(means, Act::CustomerImported, &planned.id);
    changes.commit(means, stored_customer.is_some(), &told, &mut report.customers).await
}

/// The code to store; none where there is none, or where it is stored already: a code keeps its end, and what
/// it was used for.
fn activation_code(
    means: &Means<'_>,
    planned: &PlannedCustomer,
    stored: Option<&Stored<ActivationCode>>,
) -> Option<ActivationCode> {
    let code = planned.activation_code.as_ref()?;
    if stored.is_some_and(|stored| code.matches(&stored.value.code_hash)) {
        return None;
    }
    Some(ActivationCode {
        customer_id: planned.id.to_string(),
        code_hash: Bytes::copy_from_slice(code.as_bytes()),
        ends_at_ms: millis_of(means.clock.now() + means.activation_code_life),
        device_id: String::new(),
    })
}

/// The hash to store: the stored one where it still fits, so that loading a file again changes nothing.
async fn password_hash(
    means: &Means<'_>,
    planned: &PlannedCustomer,
    stored: Option<&Stored<Credential>>,
) -> Result<Bytes, Error> {
    let opened = stored.and_then(|stored| {
        open_password_hash(means.vault, &planned.id, &stored.value.sealed_password_hash)
            .inspect_err(|error| tracing::warn!(%error, "a damaged record is written anew from the file"))
            .ok()
    });
    let new = match &planned.password {
        Password::Plain(plain) => match opened {
            Some(hash) if fits(means, plain, &hash).await? => None,
            Some(_) | None => Some(means.passwords.hash(plain.expose().as_bytes())?),
        },
        Password::Hash(new) if opened.is_some_and(|hash| hash.as_str() == new.expose()) => None,
        Password::Hash(new) => Some(Zeroizing::new(new.expose().clone())),
    };
    match (new, stored) {
        (Some(hash), _) => Ok(seal_password_hash(means.vault, &planned.id, &hash)?.into()),
        (None, Some(stored)) => Ok(stored.value.sealed_password_hash.clone()),
        // Without a stored hash there is nothing that could have fitted.
        (None, None) => Err(Error::Contended),
    }
}

async fn fits(means: &Means<'_>, plain: &SecretString, hash: &Zeroizing<String>) -> Result<bool, Error> {
    let turn = means.passwords.turn().await.map_err(|_| Error::Contended)?;
    let compared = means.passwords.verify(turn, hash.clone(), plain.duplicate(), true).await?;
    Ok(compared.right && compared.renewed.is_none())
}

async fn account(
    means: &Means<'_>,
    customer: &CustomerId,
    planned: &PlannedAccount,
    options: Options,
    report: &mut Report,
) -> Result<(), Error> {
    let stored = means.repository.load(&Account::at(&planned.id)).await?;
    let mut account = Account {
        account_id: planned.id.to_string(),
        customer_id: customer.to_string(),
        kind: planned.kind.into(),
        currency: planned.funds.currency().code().to_owned(),
        funds: planned.funds.minor_units(),
        held: 0,
        spent: 0,
    };
    if let Some(Stored { value, .. }) = &stored {
        account.held = value.held;
        if !options.overwrite_funds {
            report.funds_kept += usize::from(account.funds != value.funds);
            account.funds = value.funds;
            account.spent = value.spent;
        }
    }
    let mut changes = Pending::new();
    changes.put(stored.as_ref(), &account);
    let told = told(means, Act::AccountImported, customer).account(&planned.id);
    changes.commit(means, stored.is_some(), &told, &mut report.accounts).await
}

async fn card(
    means: &Means<'_>,
    customer: &CustomerId,
    planned: &PlannedCard,
    report: &mut Report,
) -> Result<(), Error> {
    let number = means.lookup.card(customer, &planned.data.pan);
    let range = KeyRange::exactly(number.as_bytes().as_slice());
    let found = means.repository.page::<Card>(INDEX_CARD_BY_NUMBER, range, PageRequest::first(1)).await?;
    let stored = found.items.into_iter().next();
    let option: CardOptionId = match &stored {
        None => CardOptionId::from_random(means.entropy.id()?),
        Some(stored) => stored.value.card_option_id.parse().map_err(|_| damaged("card_option_id"))?,
    };
    let sealed_data = match &stored {
        Some(Stored { value, .. }) if is_the_same(means, customer, &option, value, planned) => {
            value.sealed_data.clone()
        }
        Some(_) | None => seal_card(means.vault, customer, &option, &planned.data)?.into(),
    };
    let card = Card {
        card_option_id: option.to_string(),
        customer_id: customer.to_string(),
        account_id: planned.account.to_string(),
        label: planned.label.clone(),
        sealed_data,
        brand: planned.data.pan.brand().to_owned(),
        last_four: planned.data.pan.last_four().to_owned(),
        expiry_month: planned.data.expiry.month().into(),
        expiry_year: planned.data.expiry.year().into(),
        blocked: planned.blocked,
        number_hash: Bytes::copy_from_slice(number.as_bytes()),
    };
    let mut changes = Pending::new();
    changes.put(stored.as_ref(), &card);
    let told = told(means, Act::CardImported, customer).card(&option);
    changes.commit(means, stored.is_some(), &told, &mut report.cards).await
}

/// Whether the stored card is the one in the file. One that can't be opened is replaced by the file's: to load
/// the cards again is how a damaged one is mended.
fn is_the_same(
    means: &Means<'_>,
    customer: &CustomerId,
    option: &CardOptionId,
    stored: &Card,
    planned: &PlannedCard,
) -> bool {
    match open_card(means.vault, customer, option, &stored.sealed_data) {
        Ok(card) => card == planned.data,
        Err(error) => {
            tracing::warn!(%error, "a damaged record is written anew from the file");
            false
        }
    }
}

/// What the audit trail says of something that an operator loads.
fn told(means: &Means<'_>, act: Act, customer: &CustomerId) -> Entry {
    Entry::new(means.clock.now(), act).by(Actor::Operator).customer(customer)
}

fn damaged(field: &'static str) -> Error {
    Error::Repository(crate::records::Damaged { kind: "card", field }.into())
}

/// The records that differ from what is stored.
struct Pending(Option<Changes>);

impl Pending {
    fn new() -> Self {
        Self(None)
    }

    fn put<T: Entity + PartialEq>(&mut self, stored: Option<&Stored<T>>, value: &T) {
        if stored.is_none_or(|stored| stored.value != *value) {
            let changes = self.0.take().unwrap_or_default();
            self.0 = Some(changes.replace(stored.map_or(Version::ABSENT, |stored| stored.version), value));
        }
    }

    /// Commits them, if there are any, together with what the audit trail says of them.
    async fn commit(self, means: &Means<'_>, existed: bool, told: &Entry, tally: &mut Tally) -> Result<(), Error> {
        let Some(changes) = self.0 else {
            tally.unchanged += 1;
            return Ok(());
        };
        match means.repository.commit(changes.audit(told)).await? {
            Outcome::Committed if existed => tally.updated += 1,
            Outcome::Committed => tally.created += 1,
            Outcome::Reload => return Err(Error::Contended),
        }
        Ok(())
    }
}
