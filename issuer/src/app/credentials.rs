//! The customer's devices, features and passkeys: what is there, and how to be rid of it.

use std::{sync::Arc, time::SystemTime};

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use data_encoding::BASE64URL_NOPAD;
use proto::{authorization::Factor, pb, time};
use serde::Deserialize;

use super::{
    App, notice,
    page::{Shell, iso, show},
    problem::Problem,
    proof,
    start::Noted,
    visitor::Visitor,
    visits::Found,
};
use crate::records::millis_of;

struct DeviceView {
    id: String,
    name: String,
    bound: String,
    used: String,
    has_features: bool,
}

struct PasskeyView {
    id: String,
    name: String,
    registered: String,
    used: String,
}

#[derive(Template)]
#[template(path = "credentials.html")]
struct CredentialsPage {
    s: Shell,
    at: String,
    /// SHA-256 of the session's token, which a new device signs in the token's place.
    session: String,
    devices: Vec<DeviceView>,
    passkeys: Vec<PasskeyView>,
    offers_devices: bool,
    offers_features: bool,
    offers_passkeys: bool,
    back: String,
}

/// What is registered.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Query(noted): Query<Noted>,
) -> Response {
    let listed = async {
        let token = app.token(&visitor, &found)?;
        let listed = app.bank.credentials(token.clone(), visitor.from).await;
        Ok((token, listed.map_err(|refused| app.of_session(&found, refused))?))
    };
    let (token, listed) = match listed.await {
        Ok(listed) => listed,
        Err(stop) => return app.stopped(&visitor, stop, Some(&found)),
    };
    let offers = |factor| app.ctx.policy.offered().contains(&factor);
    show(&CredentialsPage {
        s: app.shell(&visitor, "credentials").with(noted.notice()),
        at: found.path(),
        session: BASE64URL_NOPAD.encode(proto::digest::Digest::of(&token).as_bytes()),
        devices: listed.devices.into_iter().map(DeviceView::of).collect(),
        passkeys: listed.passkeys.into_iter().map(PasskeyView::of).collect(),
        offers_devices: offers(Factor::Possession) || offers(Factor::Inherence),
        offers_features: offers(Factor::Inherence) && app.demo_sensor,
        offers_passkeys: offers(Factor::Passkey),
        back: if found.order.is_some() { found.path() } else { "/".to_owned() },
    })
}

impl DeviceView {
    fn of(device: pb::BoundDevice) -> Self {
        Self {
            id: device.device_id,
            name: device.display_name,
            bound: at(device.bound_at.and_then(|at| time::parse(at).ok())),
            used: at(device.used_at.and_then(|at| time::parse(at).ok())),
            has_features: device.has_features,
        }
    }
}

impl PasskeyView {
    fn of(passkey: pb::Passkey) -> Self {
        Self {
            id: BASE64URL_NOPAD.encode(&passkey.credential_id),
            name: passkey.display_name,
            registered: at(passkey.registered_at.and_then(|at| time::parse(at).ok())),
            used: at(passkey.used_at.and_then(|at| time::parse(at).ok())),
        }
    }
}

#[derive(Template)]
#[template(path = "activate.html")]
struct ActivatePage {
    s: Shell,
    at: String,
    back: String,
}

/// Binds this browser with a code that the bank gave by another way.
pub(super) async fn activate_page(State(app): State<Arc<App>>, visitor: Visitor, found: Found) -> Response {
    let back = found.at("sign-in");
    show(&ActivatePage { s: app.shell(&visitor, "activate"), at: found.path(), back })
}

/// What is to be forgotten.
#[derive(Deserialize)]
pub(super) struct Forgotten {
    id: String,
}

/// Forgets a device.
pub(super) async fn unbind(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    forgotten: Result<Form<Forgotten>, FormRejection>,
) -> Response {
    forget(&app, &visitor, &found, forgotten, What::Device).await
}

/// Forgets a passkey.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    forgotten: Result<Form<Forgotten>, FormRejection>,
) -> Response {
    forget(&app, &visitor, &found, forgotten, What::Passkey).await
}

#[derive(Clone, Copy)]
enum What {
    Device,
    Passkey,
}

async fn forget(
    app: &App,
    visitor: &Visitor,
    found: &Found,
    forgotten: Result<Form<Forgotten>, FormRejection>,
    what: What,
) -> Response {
    let removed = async {
        let Form(forgotten) = forgotten.map_err(|_| Problem::malformed())?;
        let token = app.token(visitor, found)?;
        let removed = match what {
            What::Device => app.bank.unbind(token, forgotten.id, visitor.from).await,
            What::Passkey => {
                let credential = proof::bytes(&forgotten.id).ok_or_else(Problem::malformed)?;
                app.bank.remove(token, credential, visitor.from).await
            }
        };
        removed.map_err(|refused| app.of_session(found, refused))
    };
    match removed.await {
        Ok(()) => Redirect::to(&notice::REMOVED.on(&found.at("credentials"))).into_response(),
        Err(stop) => app.stopped(visitor, stop, Some(found)),
    }
}

/// A time for the page; empty where there is none.
fn at(time: Option<SystemTime>) -> String {
    time.map(|time| iso(millis_of(time))).unwrap_or_default()
}
