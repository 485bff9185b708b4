//! The customer's cards: to look at, or to pay with.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use bytes::Bytes;
use proto::{
    ids::{CardOptionId, ChargeId},
    pb,
};
use serde::Deserialize;

use super::{
    App, notice,
    page::{CardView, OrderView, Shell, random, show},
    problem::{Problem, Stop},
    start::Noted,
    visitor::Visitor,
    visits::{CHARGES_MAX, Found},
};
use crate::records::ChargeOfVisit;

#[derive(Template)]
#[template(path = "cards.html")]
struct CardsPage {
    s: Shell,
    at: String,
    order: Option<OrderView>,
    cards: Vec<CardView>,
    back: String,
    shop: Option<String>,
}

impl CardsPage {
    fn none_can_pay(&self) -> bool {
        self.cards.iter().all(|card| card.unusable.is_some())
    }
}

/// The cards.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Query(noted): Query<Noted>,
) -> Response {
    let listed = async {
        let token = app.token(&visitor, &found)?;
        if let Some(standing) = standing(&app, &visitor, &found, &token).await? {
            return Err(Stop::To(found.at(&format!("charge/{standing}"))));
        }
        let cards = app.bank.card_options(token, visitor.from).await;
        cards.map_err(|refused| app.of_session(&found, refused))
    };
    match listed.await {
        Ok(cards) => show(&CardsPage {
            s: app.shell(&visitor, "cards").with(noted.notice()),
            at: found.path(),
            order: found.order.as_ref().map(OrderView::of),
            cards: usable_first(cards),
            back: back(&found),
            shop: found.order.as_ref().map(|order| order.order.return_url.to_string()),
        }),
        Err(stop) => app.stopped(&visitor, stop, Some(&found)),
    }
}

/// The card that was picked.
#[derive(Deserialize)]
pub(super) struct Picked {
    card: String,
}

/// Picks a card: its charge gets its id now, unless it has one that has not ended.
pub(super) async fn pick(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    picked: Result<Form<Picked>, FormRejection>,
) -> Response {
    let picked = async {
        let Form(Picked { card }) = picked.map_err(|_| Problem::malformed())?;
        card.parse::<CardOptionId>().map_err(|_| Problem::malformed())?;
        charge_for(&app, &visitor, &found, &card).await
    };
    match picked.await {
        Ok(charge) => Redirect::to(&found.at(&format!("confirm/{charge}"))).into_response(),
        Err(stop) => app.stopped(&visitor, stop, Some(&found)),
    }
}

async fn charge_for(app: &App, visitor: &Visitor, found: &Found, card: &str) -> Result<String, Stop> {
    if found.order.is_none() {
        return Err(Problem::nothing_here().into());
    }
    let token = app.token(visitor, found)?;
    if let Some(standing) = standing(app, visitor, found, &token).await? {
        return Err(Stop::To(found.at(&format!("charge/{standing}"))));
    }
    let last = found.visit.charge_with(card).map(|charge| charge.charge_id.clone());
    let has_ended = match &last {
        Some(charge) => get(app, visitor, found, &token, charge).await?.is_some(),
        None => false,
    };
    let fresh = ChargeId::from_random(random(app)?).to_string();
    let changed = app.change(&found.visit.visit_id, |visit| {
        // Another tab may have been here first; its charge is this one then.
        let now = visit.charge_with(card).map(|charge| charge.charge_id.clone());
        if now.is_some() && (now != last || !has_ended) {
            return;
        }
        if visit.charges.len() >= CHARGES_MAX {
            visit.charges.remove(0);
        }
        // Another try is another payment, for which the device is checked anew.
        visit.device_check = None;
        visit.charges.push(ChargeOfVisit { card_option_id: card.to_owned(), charge_id: fresh.clone() });
    });
    let changed = changed.await?;
    let charge = changed.visit.charge_with(card).map(|charge| charge.charge_id.clone());
    charge.ok_or_else(|| Problem::malformed().into())
}

/// The visit's charge that pays the order or may still do so: no other one is begun beside it.
async fn standing(app: &App, visitor: &Visitor, found: &Found, token: &Bytes) -> Result<Option<String>, Stop> {
    for charge in found.visit.charges.iter().rev() {
        if let Some(charge) = get(app, visitor, found, token, &charge.charge_id).await?
            && !is_given_up(charge.state())
        {
            return Ok(Some(charge.charge_id));
        }
    }
    Ok(None)
}

/// A charge of the visit as it stands; none where it was not submitted.
pub(super) async fn get(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    token: &Bytes,
    charge: &str,
) -> Result<Option<pb::Charge>, Stop> {
    let charge = app.bank.charge(token.clone(), charge, visitor.from).await;
    charge.map_err(|refused| app.of_session(found, refused))
}

/// Whether it ended without paying.
pub(super) fn is_given_up(state: pb::ChargeState) -> bool {
    match state {
        pb::ChargeState::Declined | pb::ChargeState::Abandoned => true,
        pb::ChargeState::Unspecified
        | pb::ChargeState::Held
        | pb::ChargeState::Sent
        | pb::ChargeState::Unknown
        | pb::ChargeState::Approved => false,
    }
}

/// What the customer is told of a card that can't pay.
pub(super) fn unfit(found: &Found, notice: notice::Notice) -> Stop {
    Stop::To(notice.on(&found.at("cards")))
}

/// What can pay stands first; otherwise the bank's order stays.
fn usable_first(cards: Vec<pb::CardOption>) -> Vec<CardView> {
    let mut cards: Vec<CardView> = cards.into_iter().map(CardView::of).collect();
    cards.sort_by_cached_key(|card| (card.unusable.is_some(), card.label.clone()));
    cards
}

fn back(found: &Found) -> String {
    if found.order.is_some() { found.path() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_pay_stands_first() {
        let card = |label: &str, reason: pb::CardUnusableReason| pb::CardOption {
            label: label.to_owned(),
            unusable_reason: reason.into(),
            ..Default::default()
        };
        use pb::CardUnusableReason as Reason;
        let cards =
            [("a", Reason::Blocked), ("b", Reason::Unspecified), ("c", Reason::Expired), ("d", Reason::Unspecified)];
        let sorted = usable_first(cards.map(|(label, reason)| card(label, reason)).into());
        assert_eq!(sorted.iter().map(|card| card.label.as_str()).collect::<Vec<_>>(), ["b", "d", "a", "c"]);
    }
}
