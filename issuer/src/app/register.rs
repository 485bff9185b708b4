//! What the page's script registers: this browser as a device, features that it measured, and a passkey. Each is
//! answered for the script: where to go on, or what is wrong.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use proto::{
    pb::{self, bind_device_request::Authorization},
    reason::Reason,
};
use serde::Deserialize;

use super::{
    App,
    bank::Refused,
    notice,
    page::json,
    problem::{Problem, Stop},
    proof::{bytes, floats},
    visitor::Visitor,
    visits::Found,
};

/// A device to be bound.
#[derive(Deserialize)]
pub(super) struct NewDevice {
    /// The activation code; empty where the session says who binds it.
    #[serde(default)]
    code: String,
    key: String,
    name: String,
    signature: String,
}

/// Binds this browser.
pub(super) async fn bind(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    new: Result<Form<NewDevice>, FormRejection>,
) -> Response {
    let bound = async {
        let Form(new) = new.map_err(|_| Problem::malformed())?;
        let found = app.find(&visitor, &id).await?;
        let by_code = !new.code.is_empty();
        let authorization = if by_code {
            Authorization::ActivationCode(new.code)
        } else {
            Authorization::SessionToken(app.token(&visitor, &found)?)
        };
        let request = pb::BindDeviceRequest {
            authorization: Some(authorization),
            public_key: wanted(bytes(&new.key))?,
            display_name: new.name,
            signature: wanted(bytes(&new.signature))?,
            session_use: None,
        };
        let device = registered_or(app.bank.bind(request, visitor.from).await, &app, &found).await?;
        let page = if by_code { found.at("sign-in") } else { found.at("credentials") };
        Ok(serde_json::json!({ "device_id": device, "next": notice::BOUND.on(&page) }))
    };
    answer(&app, &visitor, bound.await)
}

/// Features to be enrolled.
#[derive(Deserialize)]
pub(super) struct NewFeatures {
    challenge_id: String,
    device_id: String,
    features: String,
    signature: String,
}

/// Enrols features.
pub(super) async fn features(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    new: Result<Form<NewFeatures>, FormRejection>,
) -> Response {
    let enrolled = async {
        let Form(new) = new.map_err(|_| Problem::malformed())?;
        let found = app.find(&visitor, &id).await?;
        let request = pb::EnrollFeaturesRequest {
            session_token: app.token(&visitor, &found)?,
            challenge_id: new.challenge_id,
            device_id: new.device_id,
            features: floats(&new.features).ok_or_else(Problem::malformed)?,
            signature: wanted(bytes(&new.signature))?,
            session_use: None,
        };
        registered_or(app.bank.enroll(request, visitor.from).await, &app, &found).await?;
        Ok(serde_json::json!({ "next": notice::ENROLLED.on(&found.at("credentials")) }))
    };
    answer(&app, &visitor, enrolled.await)
}

/// A passkey to be registered.
#[derive(Deserialize)]
pub(super) struct NewPasskey {
    challenge_id: String,
    name: String,
    client_data: String,
    attestation: String,
}

/// Registers a passkey.
pub(super) async fn passkey(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    new: Result<Form<NewPasskey>, FormRejection>,
) -> Response {
    let registered = async {
        let Form(new) = new.map_err(|_| Problem::malformed())?;
        let found = app.find(&visitor, &id).await?;
        let request = pb::RegisterPasskeyRequest {
            session_token: app.token(&visitor, &found)?,
            challenge_id: new.challenge_id,
            display_name: new.name,
            client_data_json: wanted(bytes(&new.client_data))?,
            attestation_object: wanted(bytes(&new.attestation))?,
            session_use: None,
        };
        registered_or(app.bank.register(request, visitor.from).await, &app, &found).await?;
        Ok(serde_json::json!({ "next": notice::REGISTERED.on(&found.at("credentials")) }))
    };
    answer(&app, &visitor, registered.await)
}

/// What was registered. A session that proved too little for it is stepped up first.
async fn registered_or<T>(outcome: Result<T, Refused>, app: &App, found: &Found) -> Result<T, Stop> {
    match outcome {
        Ok(done) => Ok(done),
        Err(refused) if refused.reason == Reason::FactorsInsufficient => {
            let missing: Vec<i32> = refused.any_of.iter().map(|factor| factor.to_pb().into()).collect();
            let id = &found.visit.visit_id;
            app.change(id, |visit| visit.session.get_or_insert_default().missing = missing.clone()).await?;
            Err(Stop::To(notice::STEP_UP.on(&found.at("step-up"))))
        }
        Err(refused) => Err(app.of_session(found, refused)),
    }
}

fn wanted(bytes: Option<Bytes>) -> Result<Bytes, Stop> {
    bytes.ok_or_else(|| Problem::malformed().into())
}

fn answer(app: &App, visitor: &Visitor, outcome: Result<serde_json::Value, Stop>) -> Response {
    match outcome {
        Ok(value) => json(StatusCode::OK, &value),
        Err(stop) => app.stopped_script(visitor, stop),
    }
}
