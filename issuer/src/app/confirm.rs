//! What is confirmed: shop, amount, recipient and card, on one page, signed by the bound device where there is one.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use mesh::web::cookie;
use proto::{confirmation::check_address, link::WebAddress, order::SignedOrder, pb, reason::Reason};
use serde::Deserialize;

use super::{
    App,
    bank::Refused,
    cards::{get, unfit},
    notice,
    page::{CardView, OrderView, Shell, random, show, with_cookie},
    problem::{Problem, Stop},
    proof::bytes as decoded,
    start::Noted,
    visitor::{CHECKING, Visitor},
    visits::Found,
};
use crate::records::{ChargeOfVisit, DeviceCheck, Visit, time_of};

/// How long the acquirer's token is good for confirming: its five minutes, less the time to read the page.
const CONFIRMED_FOR: Duration = Duration::from_secs(240);
/// How long the browser may be away for the check of its device.
const CHECKING_LIFE: Duration = Duration::from_secs(600);

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    s: Shell,
    at: String,
    charge: String,
    order: OrderView,
    card: CardView,
    /// The session's challenge, in base64url.
    challenge: String,
    /// The device that proved itself in the session; empty where none did.
    device: String,
    /// Whether a device must sign.
    owes_consent: bool,
    back: String,
}

#[derive(Template)]
#[template(path = "device_check.html")]
struct DeviceCheckPage {
    s: Shell,
    at: String,
    order: OrderView,
    address: String,
}

/// Everything that a confirmation needs.
struct Ready<'f> {
    token: Bytes,
    order: &'f SignedOrder,
    charge: ChargeOfVisit,
}

/// The page on which the customer confirms.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Path((_, charge)): Path<(String, String)>,
    Query(noted): Query<Noted>,
) -> Response {
    match shown(&app, &visitor, &found, &charge, noted.notice()).await {
        Ok(response) => response,
        Err(stop) => app.stopped(&visitor, stop, Some(&found)),
    }
}

async fn shown(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    charge: &str,
    notice: Option<notice::Notice>,
) -> Result<Response, Stop> {
    let ready = ready(app, visitor, found, charge).await?;
    crate::orders::verify(&app.ctx, ready.order)?;
    let session = found.visit.session.clone().unwrap_or_default();
    if !session.missing.is_empty() {
        return Err(Stop::To(notice::STEP_UP.on(&found.at("step-up"))));
    }
    if let Some(url) = &ready.order.order.device_check_url
        && confirmation(app, &found.visit).is_none()
    {
        return device_check(app, visitor, found, ready.order, url).await;
    }
    let cards = app.bank.card_options(ready.token, visitor.from).await;
    let cards = cards.map_err(|refused| app.of_session(found, refused))?;
    let card = cards.into_iter().find(|card| card.card_option_id == ready.charge.card_option_id);
    let Some(card) = card.filter(|card| card.unusable_reason() == pb::CardUnusableReason::Unspecified) else {
        return Err(unfit(found, notice::CARD));
    };
    Ok(show(&ConfirmPage {
        s: app.shell(visitor, "confirm").with(notice),
        at: found.path(),
        charge: ready.charge.charge_id,
        order: OrderView::of(ready.order),
        card: CardView::of(card),
        challenge: BASE64URL_NOPAD.encode(&session.challenge),
        device: session.device_id,
        owes_consent: session.owes_consent,
        back: found.at("cards"),
    }))
}

/// A charge of this visit that is not submitted yet, in a session that can pay.
async fn ready<'f>(app: &App, visitor: &Visitor, found: &'f Found, charge: &str) -> Result<Ready<'f>, Stop> {
    let (Some(order), Some(charge)) = (&found.order, found.visit.charge(charge)) else {
        return Err(Problem::nothing_here().into());
    };
    let token = app.token(visitor, found)?;
    if get(app, visitor, found, &token, &charge.charge_id).await?.is_some() {
        return Err(Stop::To(found.at(&format!("charge/{}", charge.charge_id))));
    }
    Ok(Ready { token, order, charge: charge.clone() })
}

/// Leads to the acquirer's check of the device, by a state that only this app knows.
async fn device_check(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    order: &SignedOrder,
    url: &WebAddress,
) -> Result<Response, Stop> {
    let state: [u8; 32] = random(app)?;
    let id = &found.visit.visit_id;
    let changed = app
        .change(id, |visit| {
            // The state of another tab is as good, and its check may be under way.
            let is_under_way = visit.device_check.as_ref().is_some_and(|check| check.token.is_empty());
            if !is_under_way {
                visit.device_check = Some(DeviceCheck { state: Bytes::copy_from_slice(&state), ..Default::default() });
            }
        })
        .await?;
    let kept = changed.visit.device_check.and_then(|check| check.state.as_ref().try_into().ok());
    let address = check_address(url, &app.ctx.issuer, &kept.unwrap_or(state));
    let page = DeviceCheckPage {
        s: app.shell(visitor, "device-check"),
        at: found.path(),
        order: OrderView::of(order),
        address,
    };
    Ok(with_cookie(show(&page), cookie::set(CHECKING, id, Some(CHECKING_LIFE))))
}

/// The acquirer's confirmation of the device, while it is young enough.
fn confirmation(app: &App, visit: &Visit) -> Option<pb::DeviceConfirmation> {
    let check = visit.device_check.as_ref().filter(|check| !check.token.is_empty())?;
    let age = app.ctx.clock.now().duration_since(time_of(check.confirmed_at_ms)).unwrap_or_default();
    let confirmation = pb::DeviceConfirmation { state: check.state.clone(), token: check.token.clone() };
    (age < CONFIRMED_FOR).then_some(confirmation)
}

/// What a confirmation brings: nothing, or what the bound device signed.
#[derive(Deserialize)]
pub(super) struct Confirmed {
    #[serde(default)]
    device_id: String,
    #[serde(default)]
    consent: String,
    #[serde(default)]
    signature: String,
}

impl Confirmed {
    fn consent(self) -> Option<Option<pb::Signed>> {
        if self.consent.is_empty() {
            return Some(None);
        }
        let (body, signature) = (decoded(&self.consent)?, decoded(&self.signature)?);
        Some(Some(pb::Signed { body, key_id: self.device_id, signature }))
    }
}

/// Takes the confirmation. The same charge twice is one charge, however it comes: a double click, a reload, a
/// second tab.
pub(super) async fn pay(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Path((_, charge)): Path<(String, String)>,
    confirmed: Result<Form<Confirmed>, FormRejection>,
) -> Response {
    let submitted = async {
        let Form(confirmed) = confirmed.map_err(|_| Problem::malformed())?;
        let consent = confirmed.consent().ok_or_else(Problem::malformed)?;
        let ready = ready(&app, &visitor, &found, &charge).await?;
        submit(&app, &visitor, &found, ready, consent).await
    };
    match submitted.await {
        Ok(charge) => Redirect::to(&found.at(&format!("charge/{charge}"))).into_response(),
        Err(stop) => app.stopped(&visitor, stop, Some(&found)),
    }
}

async fn submit(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    ready: Ready<'_>,
    consent: Option<pb::Signed>,
) -> Result<String, Stop> {
    // One that is lost is asked for again.
    let ticket = match &found.visit.ticket {
        kept if !kept.is_empty() => kept.clone(),
        _ => super::open::ticket(app, ready.order).await?,
    };
    let request = pb::SubmitChargeRequest {
        session_token: ready.token,
        charge_id: ready.charge.charge_id.clone(),
        order: Some(ready.order.signed.to_pb()),
        card_option_id: ready.charge.card_option_id,
        ticket,
        consent,
        session_use: None,
        device_confirmation: confirmation(app, &found.visit),
    };
    match app.bank.submit(request, visitor.from).await {
        Ok(charge) => Ok(charge.charge_id),
        Err(refused) => Err(refused_charge(app, found, &ready.charge.charge_id, refused).await),
    }
}

/// Where a refused charge leads. None of these holds funds.
async fn refused_charge(app: &App, found: &Found, charge: &str, refused: Refused) -> Stop {
    let id = &found.visit.visit_id;
    let confirm = found.at(&format!("confirm/{charge}"));
    let after = |changed: Result<Found, Stop>, next: String| changed.map_or_else(|stop| stop, |_| Stop::To(next));
    let is = |reasons: &[Reason]| reasons.contains(&refused.reason);
    if is(&[Reason::FactorsInsufficient]) {
        let missing: Vec<i32> = refused.any_of.iter().map(|factor| factor.to_pb().into()).collect();
        let changed = app.change(id, |visit| {
            visit.session.get_or_insert_default().missing = missing.clone();
        });
        return after(changed.await, notice::STEP_UP.on(&found.at("step-up")));
    }
    if is(&[Reason::ConsentRequired]) {
        let changed = app.change(id, |visit| visit.session.get_or_insert_default().owes_consent = true);
        return after(changed.await, notice::CONSENT.on(&confirm));
    }
    if is(&[Reason::DeviceConfirmationRequired]) {
        let changed = app.change(id, |visit| visit.device_check = None);
        return after(changed.await, confirm);
    }
    if is(&[Reason::ChargeInProgress, Reason::OrderAlreadyCharged]) {
        return match &refused.charge {
            Some(own) => Stop::To(found.at(&format!("charge/{own}"))),
            None => Problem::of_another().into(),
        };
    }
    if is(&[Reason::SessionCannotPay, Reason::SessionOfOtherOrder]) {
        return Stop::SignIn { visit: id.clone(), notice: Some(notice::ENDED) };
    }
    if is(&[Reason::InsufficientFunds]) {
        return unfit(found, notice::FUNDS);
    }
    if is(&[Reason::CardNotUsable, Reason::CardOptionNotFound]) {
        return unfit(found, notice::CARD);
    }
    app.of_session(found, refused)
}
