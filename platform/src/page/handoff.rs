//! The handoff: the page behind the click on a bank, which opens its app.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header::SET_COOKIE},
    response::{IntoResponse, Redirect, Response},
};
use mesh::web::Language;
use proto::ids::CheckoutId;

use super::{
    Named,
    answers::{Due, Frame, html},
    assets::HANDOFF_SCRIPT,
    browser::carried_link,
    logo, picker,
    words::Texts,
};
use crate::{checkouts::Checkout, context::Context};

#[derive(Template)]
#[template(path = "handoff.html")]
struct HandoffPage {
    frame: Frame,
    checkout: CheckoutId,
    due: Due,
    bank: String,
    bank_name: String,
    logo: Option<String>,
    link: String,
}

pub(super) async fn page(State(context): State<Arc<Context>>, checkout: Named, headers: HeaderMap) -> Response {
    let (checkout, cookie) = match picker::opened(&context, &checkout, &headers, picker::visit(&headers)).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    let mut response = show(&context, checkout, &headers);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response
}

fn show(context: &Context, checkout: Checkout, headers: &HeaderMap) -> Response {
    // Without a code that still counts the bank is picked anew.
    let again = || Redirect::to(&format!("/c/{}", checkout.id)).into_response();
    let Some((bank, link)) = carried_link(headers, checkout.id.as_str()) else { return again() };
    let Some(member) = context.directory.current().issuer(&bank).cloned() else { return again() };
    let entry = member.entry();
    // The cookie is ours alone to set, but what is led to is judged by the directory all the same.
    let is_apps = entry.app_link.as_ref().is_some_and(|app| link.starts_with(&format!("{app}#")));
    if !is_apps {
        return again();
    }
    let language = Language::preferred(headers);
    let page = HandoffPage {
        frame: Frame::new("handoff", Texts(language).opening(), language).with_script(&HANDOFF_SCRIPT),
        due: Due::of(&checkout),
        checkout: checkout.id,
        bank: bank.to_string(),
        bank_name: match language {
            Language::ZhTw => entry.name_zh_tw.clone(),
            Language::En => entry.name_en.clone(),
        },
        logo: logo::path(entry),
        link,
    };
    html(StatusCode::OK, &page)
}
