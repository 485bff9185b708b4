//! A charge as it goes on: live where scripts run, and by reloading where they don't.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use mesh::web::{Words, amount, sse};
use proto::{money::Money, pb};
use tokio_stream::StreamExt as _;

use super::{
    App,
    cards::{get, is_given_up},
    declined, notice,
    page::{Shell, show},
    problem::{Problem, Stop},
    visitor::Visitor,
    visits::Found,
};

#[derive(Template)]
#[template(path = "charge.html")]
struct ChargePage {
    s: Shell,
    at: String,
    state: &'static str,
    payee: String,
    domain: String,
    amount: String,
    approval_code: String,
    authorization: String,
    reason: Option<Words>,
    /// Where the charge is followed; none once it is final.
    events: Option<String>,
    other_card: bool,
    /// Where more is proved, which the shop's bank demands.
    step_up: Option<String>,
    shop: Option<String>,
}

/// How a charge stands.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Path((_, charge)): Path<(String, String)>,
) -> Response {
    match seen(&app, &visitor, &found, &charge).await {
        Ok(charge) => show(&shown(&app, &visitor, &found, &charge)),
        Err(stop) => app.stopped(&visitor, stop, Some(&found)),
    }
}

async fn seen(app: &App, visitor: &Visitor, found: &Found, charge: &str) -> Result<pb::Charge, Stop> {
    let token = app.token(visitor, found)?;
    if let Some(charge) = get(app, visitor, found, &token, charge).await? {
        return Ok(charge);
    }
    // Its card is picked, and nothing is confirmed yet.
    Err(match found.visit.charge(charge) {
        Some(charge) => Stop::To(found.at(&format!("confirm/{}", charge.charge_id))),
        None => Problem::no_charge().into(),
    })
}

fn shown(app: &App, visitor: &Visitor, found: &Found, charge: &pb::Charge) -> ChargePage {
    let state = charge.state();
    let name = state_name(state);
    let is_live = matches!(state, pb::ChargeState::Held | pb::ChargeState::Sent | pb::ChargeState::Unknown);
    let order = found.order.as_ref().map(|order| &order.order);
    let charged = charge.amount.clone().and_then(|amount| Money::parse(amount).ok());
    let declined = declined::of(charge.decline_reason());
    let retry = is_given_up(state) && declined.again;
    ChargePage {
        s: app.shell(visitor, "charge").in_state(name),
        at: found.path(),
        state: name,
        payee: charge.payee.clone(),
        domain: order.map(|order| order.merchant.domain.clone()).unwrap_or_default(),
        amount: charged.map(amount).unwrap_or_default(),
        approval_code: charge.approval_code.clone(),
        authorization: charge.authorization_id.clone(),
        reason: (state == pb::ChargeState::Declined).then_some(declined.words),
        events: is_live.then(|| found.at(&format!("charge/{}/events", charge.charge_id))),
        other_card: retry && order.is_some(),
        step_up: (state == pb::ChargeState::Declined
            && order.is_some()
            && charge.decline_reason() == pb::DeclineReason::AuthenticationInsufficient)
            .then(|| notice::DEMANDED.on(&found.at("step-up"))),
        shop: order.map(|order| order.return_url.to_string()),
    }
}

/// The charge's changes, each as an event with the name of its state.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((id, charge)): Path<(String, String)>,
) -> Response {
    let watched = async {
        let found = app.find(&visitor, &id).await?;
        let token = app.token(&visitor, &found)?;
        let watched = app.bank.watch(token, &charge, visitor.from).await;
        watched.map_err(|refused| app.of_session(&found, refused))
    };
    match watched.await {
        Ok(changes) => sse::answer(changes.map(|change| match change.ok().and_then(|change| change.charge) {
            Some(charge) => sse::Event::default().event("state").data(state_name(charge.state())),
            // The session is over, or the server stops: the page is loaded anew, and says it.
            None => sse::Event::default().event("state").data("over"),
        })),
        // An event source gives up for good on this answer; the page's own reload goes on.
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// A state as it stands in pages and events.
fn state_name(state: pb::ChargeState) -> &'static str {
    match state {
        pb::ChargeState::Held => "held",
        pb::ChargeState::Sent => "sent",
        pb::ChargeState::Unknown | pb::ChargeState::Unspecified => "unknown",
        pb::ChargeState::Approved => "approved",
        pb::ChargeState::Declined => "declined",
        pb::ChargeState::Abandoned => "abandoned",
    }
}
