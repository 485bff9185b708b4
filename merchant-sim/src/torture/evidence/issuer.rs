//! Reading an issuer's books.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use issuer::records::{
    self, INDEX_CHARGE_CONSENTED, INDEX_CHARGE_DUE, INDEX_CHARGE_ENDED, INDEX_CHARGE_OPEN, INDEX_CHARGE_PARKED, State,
};
use issuer::repository::Repository;
use mesh::store::limits::PAGE_ITEMS_MAX;
use mesh::store::{Index, KeyRange, PageRequest};
use prost::Message as _;
use proto::digest::Digest;
use proto::order::SignedOrder;
use proto::pb;

use super::{Account, Charge, ChargeState, IssuerBooks, Trail, Verdict};
use crate::topology::{AccountKind, Issuer};

/// Reads the accounts, and every charge that there is, or that a cardholder or the audit trail names.
///
/// # Errors
/// Something can't be read.
pub(in crate::torture) async fn read(
    repository: &Repository,
    issuer: &Issuer,
    named: BTreeSet<(String, String)>,
    trail: Trail,
) -> Result<IssuerBooks> {
    let mut books = IssuerBooks { id: issuer.id.clone(), trail, ..IssuerBooks::default() };
    for customer in &issuer.customers {
        for account in &customer.accounts {
            let kept = repository.load(&records::Account::at(&account.id.parse()?)).await?;
            let kept = kept.with_context(|| format!("{} has no account {}", issuer.id, account.id))?.value;
            let is_credit = account.kind == AccountKind::Credit;
            let account_now = Account {
                before: account.minor_units,
                funds: kept.funds,
                held: kept.held,
                spent: kept.spent,
                is_credit,
            };
            books.accounts.insert(account.id.clone(), account_now);
        }
    }
    let mut named = named;
    for index in [INDEX_CHARGE_OPEN, INDEX_CHARGE_DUE, INDEX_CHARGE_PARKED] {
        for (customer, id) in listed(repository, index).await? {
            books.unfinished.push(format!("the charge {id} of {customer} is in {}", index.as_str()));
            named.insert((customer, id));
        }
    }
    // What nobody else has heard of is here, too.
    for index in [INDEX_CHARGE_ENDED, INDEX_CHARGE_CONSENTED] {
        named.extend(listed(repository, index).await?);
    }
    for (customer, id) in named {
        let key = records::Charge::at(&customer.parse()?, &id.parse()?);
        if let Some(kept) = repository.load(&key).await? {
            books.charges.insert((customer, id), charge(repository, &kept.value).await?);
        }
    }
    Ok(books)
}

/// The charges of an index, by customer and charge id.
async fn listed(repository: &Repository, index: Index) -> Result<Vec<(String, String)>> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { after, limit: PAGE_ITEMS_MAX };
        let found = repository.page::<records::Charge>(index, KeyRange::all(), page).await?;
        listed.extend(found.items.into_iter().map(|kept| (kept.value.customer_id, kept.value.charge_id)));
        match found.next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(listed),
        }
    }
}

async fn charge(repository: &Repository, kept: &records::Charge) -> Result<Charge> {
    let order = kept.order.clone().context("a charge without an order")?;
    let order = SignedOrder::parse(order).context("a charge with a malformed order")?;
    let claim = repository.load(&records::Claim::at(&Digest::from_bytes(*order.digest.as_bytes()))).await?;
    let claim = claim
        .map(|claim| claim.value)
        .filter(|claim| claim.customer_id == kept.customer_id && claim.charge_id == kept.charge_id);
    let request = repository.load(&records::Request::at(&kept.authorization_id.parse()?)).await?;
    Ok(Charge {
        order: order.order.id.to_string(),
        digest: *order.digest.as_bytes(),
        amount: order.order.amount.minor_units(),
        account: kept.account_id.clone(),
        authorization: kept.authorization_id.clone(),
        state: state(kept.state.as_ref()),
        result: kept.result.as_ref().map(|result| result.encode_to_vec()),
        claim: claim.map(|claim| claim.paid),
        has_request: request.is_some(),
    })
}

fn state(state: Option<&State>) -> ChargeState {
    match state {
        None => ChargeState::Open("without a state"),
        Some(State::Held(_)) => ChargeState::Open("held"),
        Some(State::Sent(_)) => ChargeState::Open("sent"),
        Some(State::Unknown(_)) => ChargeState::Open("unknown"),
        Some(State::Approved(approved)) => ChargeState::Decided(Verdict::Approved(approved.approval_code.clone())),
        Some(State::Declined(declined)) => {
            let reason = pb::DeclineReason::try_from(declined.reason).unwrap_or_default();
            ChargeState::Decided(Verdict::Declined(reason.as_str_name().to_owned()))
        }
        Some(State::Abandoned(_)) => ChargeState::Abandoned,
    }
}

/// The charges of one bank that its cardholders and its trail name.
pub(in crate::torture) fn named(
    tales: &[crate::torture::tale::OrderTale],
    issuer: &str,
    customers: &BTreeMap<String, String>,
) -> BTreeSet<(String, String)> {
    let told = tales.iter().flat_map(|tale| &tale.charges).filter(|charge| charge.bank == issuer);
    let told = told.map(|charge| (charge.customer.clone(), charge.id.clone()));
    told.chain(customers.iter().map(|(charge, customer)| (customer.clone(), charge.clone()))).collect()
}
