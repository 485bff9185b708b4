//! Where a phone's camera lands that has read the payment page's QR code.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use mesh::web::Language;
use proto::link::parse_payment_link;
use serde::Deserialize;

use super::{
    answers::{Frame, html, other_browser, problem},
    assets::LANDING_SCRIPT,
    browser::Browser,
    words::Texts,
};
use crate::{checkouts, context::Context, error::Error};

#[derive(Template)]
#[template(path = "landing.html")]
struct LandingPage {
    frame: Frame,
}

#[derive(Deserialize)]
pub(super) struct Landed {
    /// The order as the link's fragment has it.
    order: String,
}

pub(super) async fn page(headers: HeaderMap) -> Response {
    let language = Language::preferred(&headers);
    let frame = Frame::new("landing", Texts(language).landing(), language).with_script(&LANDING_SCRIPT);
    html(StatusCode::OK, &LandingPage { frame })
}

pub(super) async fn order(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    landed: Result<Form<Landed>, FormRejection>,
) -> Response {
    let language = Language::preferred(&headers);
    let order = landed.map(|Form(landed)| landed.order).unwrap_or_default();
    open(&context, &headers, &order, language).await.unwrap_or_else(|error| problem(&error, None, language))
}

async fn open(context: &Context, headers: &HeaderMap, order: &str, language: Language) -> Result<Response, Error> {
    let link = format!("{}/pay#o={order}", context.public_url.as_str().trim_end_matches('/'));
    let not_an_order = |error: proto::link::LinkError| proto::fields::Invalid::field("order", error.to_string());
    let order = parse_payment_link(&link).map_err(not_an_order)?;
    let browser = Browser::of(headers, context)?;
    let checkout = match checkouts::open_with_order(context, order, &browser.digest).await? {
        Some(checkout) => checkout,
        None => return Ok(other_browser(language)),
    };
    let location = HeaderValue::from_str(&format!("/c/{}", checkout.id))
        .map_err(|_| Error::Inconsistent("a checkout's id is no header"))?;
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response();
    response.headers_mut().extend(browser.cookie.map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}
