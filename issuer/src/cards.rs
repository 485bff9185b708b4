//! A customer's card options (卡片選項資料): the cards without their numbers.

use mesh::store::{KeyRange, PageRequest};
use proto::{card::Expiry, ids::CardOptionId, money::Money};

use crate::{
    charges::account,
    context::Context,
    domain::{
        account::Funds,
        card::{Unusable, judge},
        ids::CustomerId,
    },
    error::Error,
    records::{self, Damaged, INDEX_CARD_BY_CUSTOMER},
};

/// The most cards that are shown. A customer has a handful; two hundred still fit into one message of 64 KiB.
pub const CARDS_MAX: usize = 200;

/// Credit or debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Draws on a credit line.
    Credit,
    /// Draws on a balance.
    Debit,
}

/// A card as its holder may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardOption {
    /// Names the card in a charge request.
    pub id: CardOptionId,
    /// What the bank calls it.
    pub label: String,
    /// The card network's brand.
    pub brand: String,
    /// The last four digits.
    pub last_four: String,
    /// Credit or debit.
    pub kind: Kind,
    /// When it expires.
    pub expiry: Expiry,
    /// What its account has left.
    pub available: Money,
    /// Why it can't be used now, for the order in question if there is one.
    pub unusable: Option<Unusable>,
}

/// All of a customer's cards, also those that can't be used now, for an order of this amount or for none.
///
/// # Errors
/// The store's failure.
pub async fn options(ctx: &Context, customer: &CustomerId, amount: Option<Money>) -> Result<Vec<CardOption>, Error> {
    let of_customer = KeyRange::exactly(customer.as_str());
    let first = PageRequest::first(CARDS_MAX);
    let found = ctx.repository.page::<records::Card>(INDEX_CARD_BY_CUSTOMER, of_customer, first).await?;
    if found.next.is_some() {
        tracing::warn!(%customer, shown = CARDS_MAX, "a customer has more cards than are shown");
    }
    let mut options = Vec::with_capacity(found.items.len());
    for stored in found.items {
        options.push(option(ctx, stored.value, amount).await?);
    }
    Ok(options)
}

async fn option(ctx: &Context, card: records::Card, amount: Option<Money>) -> Result<CardOption, Error> {
    let damaged = |field| Damaged { kind: "card", field };
    let account_id = card.account_id.parse().map_err(|_| damaged("account_id"))?;
    let account = account(ctx, &account_id).await?.value.domain()?;
    let expiry = Expiry::new(card.expiry_year, card.expiry_month).map_err(|_| damaged("expiry_month"))?;
    Ok(CardOption {
        id: card.card_option_id.parse().map_err(|_| damaged("card_option_id"))?,
        unusable: judge(card.blocked, expiry, &account, amount, ctx.clock.now()),
        available: account.available(),
        kind: match account.funds() {
            Funds::Credit { .. } => Kind::Credit,
            Funds::Debit { .. } => Kind::Debit,
        },
        label: card.label,
        brand: card.brand,
        last_four: card.last_four,
        expiry,
    })
}
