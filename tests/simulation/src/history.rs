//! What happened, as a person reads it.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use acquirer::{
    network::{Inquiry, NetworkDecision},
    records::{Attempt, KeptOrder},
    repository::Entity as _,
};
use issuer::records as issuers;
use mesh::store::{Change, Write};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Carried, Decision},
    pb,
};

use crate::wire::Reply;

/// The lines of a run; kept only where somebody wants to read them.
#[derive(Debug, Default)]
pub struct History {
    lines: Option<Mutex<String>>,
}

impl History {
    /// A history, kept or not.
    #[must_use]
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(Mutex::default) }
    }

    /// Adds a line, where it is kept.
    pub fn add(&self, now: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            // Writing to a text in memory can't fail.
            let _ = writeln!(lines, "{:>11.6} {}", now.as_secs_f64(), line());
        }
    }

    /// What was kept.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines.as_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone());
        lines.unwrap_or_default()
    }
}

/// A reply in a few words.
#[must_use]
pub fn brief(name: &str, reply: &Reply) -> String {
    match reply {
        Reply::Bytes(bytes) if matches!(name, "Authorize" | "ResolveAuthorization") => of_message(bytes),
        Reply::Bytes(_) => "answered".to_owned(),
        Reply::Stream(messages) => format!("{} events", messages.len()),
        Reply::Status(status) => {
            format!("{:?} {}", status.code(), mesh::status::reason_of(status).unwrap_or_default())
        }
        Reply::Charge(charge) => format!("charge {}", word(&format!("{:?}", charge.state))),
        Reply::NoCharge(why) => format!("refused, {why}"),
        Reply::Card(NetworkDecision::Approved(_)) | Reply::CardKnows(Inquiry::Approved(_)) => "approved".to_owned(),
        Reply::Card(NetworkDecision::Declined(reason)) | Reply::CardKnows(Inquiry::Declined(reason)) => {
            format!("declined, {reason:?}")
        }
        Reply::CardKnows(Inquiry::Unknown) => "not known".to_owned(),
        Reply::CardOther => "other content".to_owned(),
        Reply::Done => "done".to_owned(),
    }
}

/// The result in a message, where there is one.
fn of_message(bytes: &bytes::Bytes) -> String {
    // The result has the same field number in the answers of both calls.
    let result = pb::AuthorizeResponse::decode(bytes.clone()).ok().and_then(|answer| answer.result);
    match result.and_then(|result| Carried::<AuthorizationResult>::parse(result).ok()) {
        Some(Carried { says, .. }) => decision(says.decision),
        None => "pending".to_owned(),
    }
}

/// A decision in a few words, without the approval code.
#[must_use]
pub fn decision(decision: Decision) -> String {
    match decision {
        Decision::Approved(_) => "approved".to_owned(),
        Decision::Declined(reason) => format!("declined, {reason:?}"),
    }
}

/// What state a written record is in, where it has one: " Open".
#[must_use]
pub fn state_of(write: &Write) -> String {
    let Change::Put { body, .. } = &write.change else { return String::new() };
    let state = match write.id.kind.as_str() {
        "order" => KeptOrder::from_bytes(&write.id.key, body.clone()).ok().map(|order| {
            let wish = if order.state.cancel_requested() { ", to be cancelled" } else { "" };
            format!("{:?}{wish}", order.state.name())
        }),
        "attempt" => Attempt::from_bytes(&write.id.key, body.clone()).ok().map(|attempt| {
            let id = attempt.id.authorization.to_string();
            let tail = &id[id.len().saturating_sub(6)..];
            match attempt.state.result() {
                None => format!("…{tail} deciding"),
                Some(signed) => match Carried::<AuthorizationResult>::parse(signed.to_pb()) {
                    Ok(result) => format!("…{tail} {}", decision(result.says.decision)),
                    Err(_) => format!("…{tail} with an unreadable result"),
                },
            }
        }),
        "charge" => issuers::Charge::decode(body.clone()).ok().map(|charge| {
            let id = &charge.authorization_id;
            let state = charge.state.as_ref().map(|state| word(&format!("{state:?}"))).unwrap_or_default();
            format!("…{} {state}", &id[id.len().saturating_sub(6)..])
        }),
        "account" => issuers::Account::decode(body.clone()).ok().map(|account| {
            format!("{} held {} spent {} of {}", account.account_id, account.held, account.spent, account.funds)
        }),
        _ => None,
    };
    state.map(|state| format!(" {state}")).unwrap_or_default()
}

/// The first word of a `Debug` text.
fn word(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric()).collect()
}
