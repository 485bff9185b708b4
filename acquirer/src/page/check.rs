//! The device check: a bank's app leads its browser here before it pays, and back with a token.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION};
use mesh::web::Language;
use proto::{
    confirmation::{parse_state, returned_link},
    digest::Digest,
    directory::MemberStatus,
    ids::IssuerId,
};
use serde::Deserialize;

use super::{Missing, Named, Page, browser::Standing, payment_path, problem, view::Problem};

/// What the bank's app says: `proto::confirmation::check_address`.
#[derive(Deserialize)]
pub(super) struct Asked {
    bank: String,
    state: String,
}

pub(super) async fn device_check(
    State(page): State<Arc<Page>>,
    order_id: Named,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    page.check(order_id, asked.ok().map(|Query(asked)| asked), &headers)
        .await
        .unwrap_or_else(|missing| missing.answer(&headers))
}

impl Page {
    async fn check(&self, order_id: Named, asked: Option<Asked>, headers: &HeaderMap) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let language = Language::preferred(headers);
        let back = Some(payment_path(kept.id()));
        let asked = asked.and_then(|asked| Some((asked.bank.parse::<IssuerId>().ok()?, parse_state(&asked.state)?)));
        let (Some((bank, state)), true) = (asked, kept.signed.order.device_check_url.is_some()) else {
            return Ok(problem(StatusCode::BAD_REQUEST, Problem::BadCheck, back, language));
        };
        if self.standing(&kept, headers).await? != Standing::Own {
            tracing::info!(order_id = %kept.id(), %bank, "a device check in another browser is refused");
            return Ok(problem(StatusCode::FORBIDDEN, Problem::OtherDevice, None, language));
        }
        if !shown.may_be_paid() {
            // The page says what became of the order.
            return Ok(axum::response::Redirect::to(&payment_path(kept.id())).into_response());
        }
        let Some(app_link) = self.app_link(&bank) else {
            return Ok(problem(StatusCode::CONFLICT, Problem::NoBank, back, language));
        };
        let token = self.0.tokens.issue(&kept.signed.digest, &bank, &Digest::of(&state), self.0.clock.now());
        let Ok(location) = HeaderValue::from_str(&returned_link(&app_link, &token)) else {
            return Ok(problem(StatusCode::CONFLICT, Problem::NoBank, back, language));
        };
        Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
    }

    /// Where the app of a bank that takes part is opened. Nobody else's address is ever led to.
    fn app_link(&self, bank: &IssuerId) -> Option<String> {
        let directory = self.0.directory.current();
        let entry = directory.issuer(bank).map(|member| member.entry())?;
        match entry.status {
            MemberStatus::Active => entry.app_link.as_ref().map(ToString::to_string),
            MemberStatus::Suspended | MemberStatus::Removed => None,
        }
    }
}
