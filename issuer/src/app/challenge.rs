//! Challenges of a visit: the one under which a sign-in or step-up goes on, and those that add a credential.

use std::{sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use proto::{pb, reason::Reason, time};
use serde::Deserialize;

use super::{
    App,
    bank::Refused,
    notice,
    page::json,
    problem::{Problem, Stop},
    visitor::Visitor,
    visits::Found,
};
use crate::records::{SignInOfVisit, Visit, millis_of};

/// How much of a challenge's time must be left for another proof under it.
const LEFT_MIN: Duration = Duration::from_secs(20);

/// What is proved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    SignIn,
    StepUp,
}

impl Purpose {
    /// The page's name.
    pub(super) fn page(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::StepUp => "step-up",
        }
    }
}

/// What the challenge is for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(rename = "for")]
    purpose: String,
}

/// A challenge, for the page's script.
pub(super) async fn give(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response {
    let begun = async {
        let Form(asked) = asked.map_err(|_| Problem::malformed())?;
        let found = app.find(&visitor, &id).await?;
        let (order, began) = match asked.purpose.as_str() {
            "sign-in" => begin(&app, &visitor, &found, Purpose::SignIn).await?,
            "step-up" => begin(&app, &visitor, &found, Purpose::StepUp).await?,
            "register" => (false, in_session(&app, &visitor, &found).await?),
            _ => return Err(Problem::malformed().into()),
        };
        Ok(serde_json::json!({
            "challenge_id": began.challenge_id,
            "challenge": BASE64URL_NOPAD.encode(&began.challenge),
            "with_order": order,
            "rp_id": began.passkey_relying_party_id,
            "user_handle": BASE64URL_NOPAD.encode(&began.passkey_user_handle),
            "feature_count": began.feature_count,
        }))
    };
    match begun.await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(stop) => app.stopped_script(&visitor, stop),
    }
}

/// The challenge under which a proof of this visit is tried: the one under way, or a new one, which is kept.
pub(super) async fn begin(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    purpose: Purpose,
) -> Result<(bool, pb::StartAuthenticationResponse), Stop> {
    if let Some(begun) = pending(app, &found.visit, purpose) {
        let again = pb::StartAuthenticationResponse {
            challenge_id: begun.challenge_id.clone(),
            challenge: begun.challenge.clone(),
            passkey_relying_party_id: crate::auth::relying_party_id(&app.ctx).unwrap_or_default().to_owned(),
            feature_count: crate::auth::feature_count(&app.ctx),
            ..Default::default()
        };
        return Ok((begun.with_order, again));
    }
    let (with_order, began) = match purpose {
        Purpose::StepUp => {
            let with_order = found.visit.session.as_ref().is_some_and(|session| session.with_order);
            (with_order, in_session(app, visitor, found).await?)
        }
        Purpose::SignIn => new_sign_in(app, visitor, found).await?,
    };
    let kept = SignInOfVisit {
        challenge_id: began.challenge_id.clone(),
        challenge: began.challenge.clone(),
        expires_at_ms: began.expires_at.and_then(|at| time::parse(at).ok()).map(millis_of).unwrap_or_default(),
        steps_up: purpose == Purpose::StepUp,
        with_order,
        ..SignInOfVisit::default()
    };
    app.change(&found.visit.visit_id, |visit| visit.sign_in = Some(kept.clone())).await?;
    Ok((with_order, began))
}

/// Begins a sign-in with the visit's order, or, where its time is over, without: whoever has paid may come back
/// and look.
async fn new_sign_in(
    app: &App,
    visitor: &Visitor,
    found: &Found,
) -> Result<(bool, pb::StartAuthenticationResponse), Stop> {
    let Some(order) = &found.order else { return Ok((false, app.bank.start(None, visitor.from).await?)) };
    match app.bank.start(Some(order.signed.to_pb()), visitor.from).await {
        Ok(began) => Ok((true, began)),
        Err(refused) if refused.reason == Reason::OrderExpired && !found.visit.charges.is_empty() => {
            Ok((false, app.bank.start(None, visitor.from).await?))
        }
        Err(refused) => Err(refused.into()),
    }
}

async fn in_session(app: &App, visitor: &Visitor, found: &Found) -> Result<pb::StartAuthenticationResponse, Stop> {
    let token = app.token(visitor, found)?;
    app.bank.start_in(token, visitor.from).await.map_err(|refused| app.of_session(found, refused))
}

/// The sign-in under way, as long as a proof may still come in time.
pub(super) fn pending<'v>(app: &App, visit: &'v Visit, purpose: Purpose) -> Option<&'v SignInOfVisit> {
    let until = millis_of(app.ctx.clock.now() + LEFT_MIN);
    let wanted = purpose == Purpose::StepUp;
    visit.sign_in.as_ref().filter(|begun| begun.steps_up == wanted && begun.expires_at_ms > until)
}

impl App {
    /// The token of the visit's session; without one the customer signs in.
    pub(super) fn token(&self, visitor: &Visitor, found: &Found) -> Result<Bytes, Stop> {
        let id = &found.visit.visit_id;
        match (visitor.session(id), &found.visit.session) {
            (Some(token), Some(_)) => Ok(token),
            // A cookie outlives nothing, so that a known session without one has ended.
            (None, Some(_)) => Err(Stop::SignIn { visit: id.clone(), notice: Some(notice::ENDED) }),
            (_, None) => Err(Stop::SignIn { visit: id.clone(), notice: None }),
        }
    }

    /// What the bank refused of a session: one that has ended leads to the sign-in.
    pub(super) fn of_session(&self, found: &Found, refused: Refused) -> Stop {
        if refused.reason == Reason::SessionInvalid {
            return Stop::SignIn { visit: found.visit.visit_id.clone(), notice: Some(notice::ENDED) };
        }
        refused.into()
    }
}
