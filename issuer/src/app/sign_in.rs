//! Signing in and stepping up: each credential that the bank offers, one at a time, under one challenge.
//!
//! A challenge is begun when something is to be proved, not when the page is shown: whoever takes five minutes to
//! type a password is not told that it took too long.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use mesh::web::{Words, cookie};
use proto::{authorization::Factor, pb, pb::verify_identity_response::Outcome, reason::Reason, time};

use super::{
    App,
    bank::Refused,
    cards::{get, is_given_up},
    challenge::{Purpose, begin, pending},
    notice::{self, Notice},
    page::{OrderView, Shell, factor_words, show, with_cookie},
    problem::{Problem, Stop},
    proof::Sent,
    start::Noted,
    visitor::{Visitor, cookie_value, session_cookie},
    visits::Found,
};
use crate::records::{SessionOfVisit, SignInOfVisit};

struct FactorView {
    proof: &'static str,
    words: Words,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    s: Shell,
    /// The visit's address.
    at: String,
    action: String,
    steps_up: bool,
    factors: Vec<FactorView>,
    /// The order, where the session will be able to pay it.
    order: Option<OrderView>,
    back: String,
}

/// The sign-in page.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Query(noted): Query<Noted>,
) -> Response {
    if visitor.session(&found.visit.visit_id).is_some() && found.visit.session.is_some() {
        return Redirect::to(&after(&found)).into_response();
    }
    let missing = pending(&app, &found.visit, Purpose::SignIn).map(|begun| begun.missing.clone()).unwrap_or_default();
    let factors = if missing.is_empty() { app.ctx.policy.offered().to_vec() } else { factors(&missing) };
    show(&shown(&app, &visitor, &found, Purpose::SignIn, &factors, noted.notice()))
}

/// The page that asks for one more proof.
pub(super) async fn step_up_page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Query(noted): Query<Noted>,
) -> Response {
    let Some(session) = &found.visit.session else { return Redirect::to(&found.at("sign-in")).into_response() };
    let mut factors = factors(&session.missing);
    if factors.is_empty() && noted.notice() == Some(notice::DEMANDED) {
        // Which proof would do is between the two banks; whatever the customer has not proved yet is more.
        factors = app.ctx.policy.offered().to_vec();
        let wanted: Vec<i32> = factors.iter().map(|factor| factor.to_pb().into()).collect();
        let changed = app
            .change(&found.visit.visit_id, |visit| visit.session.get_or_insert_default().missing = wanted.clone())
            .await;
        if let Err(stop) = changed {
            return app.stopped(&visitor, stop, Some(&found));
        }
    }
    if factors.is_empty() {
        return Redirect::to(&after(&found)).into_response();
    }
    show(&shown(&app, &visitor, &found, Purpose::StepUp, &factors, noted.notice()))
}

fn shown(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    purpose: Purpose,
    factors: &[Factor],
    notice: Option<Notice>,
) -> SignInPage {
    let view = |factor: Factor| match factor {
        // Without a sensor there is nothing to measure with.
        Factor::Inherence if !app.demo_sensor => None,
        Factor::Knowledge => Some("knowledge"),
        Factor::Possession => Some("possession"),
        Factor::Inherence => Some("inherence"),
        Factor::Passkey => Some("passkey"),
    };
    let factors = factors
        .iter()
        .filter_map(|factor| view(*factor).map(|proof| FactorView { proof, words: factor_words(*factor) }));
    SignInPage {
        s: app.shell(visitor, purpose.page()).with(notice),
        at: found.path(),
        action: found.at(purpose.page()),
        steps_up: purpose == Purpose::StepUp,
        factors: factors.collect(),
        order: found.order.as_ref().map(OrderView::of),
        back: if found.order.is_some() { found.path() } else { "/".to_owned() },
    }
}

/// Takes a proof of a sign-in.
pub(super) async fn prove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    proved(&app, &visitor, &found, sent, Purpose::SignIn).await
}

/// Takes one more proof in a session.
pub(super) async fn step_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    proved(&app, &visitor, &found, sent, Purpose::StepUp).await
}

async fn proved(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    sent: Result<Form<Sent>, FormRejection>,
    purpose: Purpose,
) -> Response {
    let Ok(Form(sent)) = sent else { return app.stopped(visitor, Problem::malformed().into(), Some(found)) };
    match judge(app, visitor, found, sent, purpose).await {
        Ok(response) => response,
        Err(stop) => app.stopped(visitor, stop, Some(found)),
    }
}

async fn judge(app: &App, visitor: &Visitor, found: &Found, sent: Sent, purpose: Purpose) -> Result<Response, Stop> {
    let here = found.at(purpose.page());
    let id = &found.visit.visit_id;
    let named = sent.challenge_id().map(ToOwned::to_owned);
    let device = sent.device().to_owned();
    let proof = sent.into_proof().ok_or_else(Problem::malformed)?;
    // A script signs a challenge that it was given; a password needs one now.
    let begun = match named {
        Some(named) => match pending(app, &found.visit, purpose).filter(|begun| begun.challenge_id == named) {
            Some(begun) => begun.clone(),
            None => return Err(Stop::To(notice::TOO_LATE.on(&here))),
        },
        None => {
            begin(app, visitor, found, purpose).await?;
            let again = app.find(visitor, id).await?;
            again.visit.sign_in.ok_or_else(Problem::malformed)?
        }
    };
    let answer = match app.bank.verify(begun.challenge_id.clone(), proof, visitor.from).await {
        Ok(answer) => answer,
        Err(refused) => return Err(refused_proof(app, found, &here, &refused).await),
    };
    let device = if device.is_empty() { begun.device_id.clone() } else { device };
    match answer.outcome {
        Some(Outcome::Session(session)) => signed_in(app, visitor, found, &begun, device, session).await,
        Some(Outcome::Missing(missing)) => {
            app.change(id, |visit| {
                let (missing, device_id) = (missing.any_of.clone(), device.clone());
                visit.sign_in = Some(SignInOfVisit { missing, device_id, ..begun.clone() });
            })
            .await?;
            Err(Stop::To(notice::ONE_MORE.on(&here)))
        }
        None => Err(Refused::from(tonic::Status::internal("an answer without an outcome")).into()),
    }
}

/// After a proof that was enough: the session's token goes into its cookie, and the way goes on.
async fn signed_in(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    begun: &SignInOfVisit,
    device_id: String,
    session: pb::Session,
) -> Result<Response, Stop> {
    let found = app
        .change(&found.visit.visit_id, |visit| {
            visit.sign_in = None;
            let before = visit.session.take().filter(|_| session.session_token.is_empty());
            let before = before.unwrap_or_else(|| SessionOfVisit {
                challenge: begun.challenge.clone(),
                with_order: begun.with_order,
                ..SessionOfVisit::default()
            });
            let device_id = if device_id.is_empty() { before.device_id.clone() } else { device_id.clone() };
            let missing = session.missing_to_pay.clone();
            visit.session = Some(SessionOfVisit { device_id, missing, stepped_up: begun.steps_up, ..before });
        })
        .await?;
    let answer = Redirect::to(&after_proof(app, visitor, &found).await).into_response();
    if session.session_token.is_empty() {
        return Ok(answer);
    }
    // One visit has one session: the one before, of another tab or another customer, would only lie about.
    if let Some(before) = visitor.session(&found.visit.visit_id)
        && let Err(refused) = app.bank.end(before, visitor.from).await
    {
        tracing::info!(reason = refused.reason.as_wire(), "the session before could not be ended; it ends by itself");
    }
    let ends_at = session.expires_at.and_then(|at| time::parse(at).ok());
    let life = ends_at.and_then(|at| at.duration_since(app.ctx.clock.now()).ok()).unwrap_or_default();
    let name = session_cookie(&found.visit.visit_id);
    Ok(with_cookie(answer, cookie::set(&name, &cookie_value(&session.session_token), Some(life))))
}

/// Where the way goes on after a proof: to another try where the last one was declined.
async fn after_proof(app: &App, visitor: &Visitor, found: &Found) -> String {
    if let (Some(charge), Ok(token)) = (found.visit.charges.last(), app.token(visitor, found))
        && let Ok(Some(charge)) = get(app, visitor, found, &token, &charge.charge_id).await
        && is_given_up(charge.state())
    {
        return found.at("cards");
    }
    after(found)
}

/// Where the way goes on in a session.
fn after(found: &Found) -> String {
    match (&found.order, found.visit.charges.last()) {
        // Somebody who proves more without a payment is about to add a credential.
        (None, _) if found.visit.session.as_ref().is_some_and(|session| session.stepped_up) => found.at("credentials"),
        (None, _) => "/".to_owned(),
        (Some(_), Some(charge)) => found.at(&format!("confirm/{}", charge.charge_id)),
        (Some(_), None) => found.at("cards"),
    }
}

async fn refused_proof(app: &App, found: &Found, here: &str, refused: &Refused) -> Stop {
    let over = [Reason::ChallengeNotFound, Reason::ChallengeExpired];
    if over.contains(&refused.reason) {
        let forgotten = app.change(&found.visit.visit_id, |visit| visit.sign_in = None).await;
        return forgotten.map_or_else(|stop| stop, |_| Stop::To(notice::TOO_LATE.on(here)));
    }
    let table = [
        (Reason::IdentityNotVerified, notice::NOT_VERIFIED),
        (Reason::InvalidField, notice::MALFORMED),
        (Reason::Overloaded, notice::BUSY),
        (Reason::RateLimit, notice::TOO_MANY),
    ];
    match table.iter().find(|(reason, _)| *reason == refused.reason) {
        Some((_, notice)) => Stop::To(notice.on(here)),
        None if refused.reason == Reason::SessionInvalid => {
            Stop::SignIn { visit: found.visit.visit_id.clone(), notice: Some(notice::ENDED) }
        }
        None => refused.clone().into(),
    }
}

fn factors(numbers: &[i32]) -> Vec<Factor> {
    numbers.iter().filter_map(|number| Factor::parse(*number)).collect()
}
