//! The bank picker.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    response::{IntoResponse, Redirect, Response},
};
use mesh::web::{Language, is_navigation};
use proto::ids::{CheckoutId, IssuerId};
use serde::Deserialize;

use super::{
    Named,
    answers::{Due, Frame, html, other_browser, problem},
    assets::PICKER_SCRIPT,
    browser::{Browser, carry_link, last_bank, links_to_forget, remember_bank},
    logo,
    words::Texts,
};
use crate::{
    checkouts::{self, BankOption, Checkout, Visit},
    context::Context,
    domain::checkout::Availability,
    error::Error,
};

/// The longest text that is searched for, in characters: no bank's name is longer.
const SEARCH_CHARACTERS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "picker.html")]
struct PickerPage {
    frame: Frame,
    checkout: CheckoutId,
    due: Due,
    search: String,
    banks: Vec<BankView>,
    /// Whether there are banks at all, found or not.
    has_banks: bool,
    notice: bool,
}

struct BankView {
    id: String,
    /// In the page's language, and in the other one.
    name: String,
    other_name: String,
    other_tag: &'static str,
    logo: Option<String>,
    is_last: bool,
    unavailable: Option<&'static str>,
}

#[derive(Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

#[derive(Deserialize)]
pub(super) struct Picked {
    bank: String,
}

/// What asking for a page is. A browser that can't say that somebody opens it does so by the page's form.
pub(super) fn visit(headers: &HeaderMap) -> Visit {
    if is_navigation(headers) { Visit::Opens } else { Visit::Looks }
}

/// A checkout in its own browser, or the answer that there is none.
pub(super) async fn opened(
    context: &Context,
    checkout: &Named,
    headers: &HeaderMap,
    visit: Visit,
) -> Result<(Checkout, Option<HeaderValue>), Response> {
    let language = Language::preferred(headers);
    let Ok(Path(id)) = checkout else { return Err(problem(&Error::CheckoutNotFound, None, language)) };
    let opening = async {
        let browser = Browser::of(headers, context)?;
        Ok((checkouts::open(context, id, &browser.digest, visit).await?, browser.cookie))
    };
    match opening.await {
        Ok((Some(checkout), cookie)) => Ok((checkout, cookie)),
        Ok((None, _)) => Err(other_browser(language)),
        Err(error) => {
            // A way on is worth a second look, and no reason to fail.
            let back = checkouts::way_back(context, id).await.ok().flatten();
            Err(problem(&error, back.map(|back| back.to_string()), language))
        }
    }
}

pub(super) async fn page(
    State(context): State<Arc<Context>>,
    checkout: Named,
    method: Method,
    search: Result<Query<Search>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if method == Method::HEAD {
        // Only looking at the head opens nothing.
        return StatusCode::OK.into_response();
    }
    let (checkout, cookie) = match opened(&context, &checkout, &headers, visit(&headers)).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    let search = search.map(|Query(search)| search.q).unwrap_or_default();
    let mut response = show(&context, &checkout, &headers, &search, StatusCode::OK);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response
}

pub(super) async fn pick(
    State(context): State<Arc<Context>>,
    checkout: Named,
    headers: HeaderMap,
    picked: Result<Form<Picked>, FormRejection>,
) -> Response {
    let (checkout, cookie) = match opened(&context, &checkout, &headers, Visit::Opens).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    let bank = picked.map(|Form(picked)| picked.bank).unwrap_or_default();
    let mut response = match lead(&context, &checkout, &bank, &headers).await {
        Ok(response) => response,
        // The shopper can still pick another one, so the picker is shown again.
        Err(Error::BankUnavailable | Error::BankNotFound) => {
            show(&context, &checkout, &headers, "", StatusCode::CONFLICT)
        }
        Err(error) => problem(&error, None, Language::preferred(&headers)),
    };
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response
}

/// Leads to the picker from the address of its form.
pub(super) async fn back(checkout: Named, headers: HeaderMap) -> Response {
    match checkout.ok().and_then(|Path(id)| id.parse::<CheckoutId>().ok()) {
        Some(id) => Redirect::to(&format!("/c/{id}")).into_response(),
        None => problem(&Error::CheckoutNotFound, None, Language::preferred(&headers)),
    }
}

async fn lead(context: &Context, checkout: &Checkout, bank: &str, asked: &HeaderMap) -> Result<Response, Error> {
    let id = checkout.id.as_str();
    let app = checkouts::pick(context, id, bank).await?;
    let bank: IssuerId = bank.parse().map_err(|_| Error::BankNotFound)?;
    let life = app.expires_at.duration_since(context.clock.now()).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("/c/{id}/app"))
        .map_err(|_| Error::Inconsistent("a checkout's id is no header"))?;
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response();
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, carry_link(id, &bank, &app.link, life));
    headers.extend(links_to_forget(asked, id).map(|forgotten| (SET_COOKIE, forgotten)));
    headers.append(SET_COOKIE, remember_bank(&bank));
    Ok(response)
}

/// The picker. A conflict says that the bank which was picked can't be.
fn show(context: &Context, checkout: &Checkout, headers: &HeaderMap, search: &str, status: StatusCode) -> Response {
    let language = Language::preferred(headers);
    let texts = Texts(language);
    let search: String = search.trim().chars().take(SEARCH_CHARACTERS_MAX).collect();
    let last = last_bank(headers);
    let options = checkouts::bank_options(context);
    let has_banks = !options.is_empty();
    let mut banks: Vec<BankView> = options
        .iter()
        .filter(|option| fits(option, &search.to_lowercase()))
        .map(|option| BankView::of(option, last.as_deref(), language))
        .collect();
    // What can't be picked comes last, whatever was used before.
    banks.sort_by_key(|bank| (bank.unavailable.is_some(), !bank.is_last));
    let page = PickerPage {
        frame: Frame::new("picker", texts.choose(), language).with_script(&PICKER_SCRIPT),
        checkout: checkout.id.clone(),
        due: Due::of(checkout),
        search,
        banks,
        has_banks,
        notice: status == StatusCode::CONFLICT,
    };
    html(status, &page)
}

/// Whether a bank's names hold the text, which is in small letters.
fn fits(option: &BankOption, search: &str) -> bool {
    let entry = option.bank.entry();
    [&entry.name_zh_tw, &entry.name_en].iter().any(|name| name.to_lowercase().contains(search))
        || entry.member.as_str().contains(search)
}

impl BankView {
    fn of(option: &BankOption, last: Option<&str>, language: Language) -> Self {
        let entry = option.bank.entry();
        let (zh_tw, en) = (entry.name_zh_tw.clone(), entry.name_en.clone());
        let (name, other_name, other_tag) = match language {
            Language::ZhTw => (zh_tw, en, Language::En.tag()),
            Language::En => (en, zh_tw, Language::ZhTw.tag()),
        };
        let texts = Texts(language);
        Self {
            id: entry.member.to_string(),
            name,
            other_name,
            other_tag,
            logo: logo::path(entry),
            is_last: last == Some(entry.member.as_str()),
            unavailable: match option.availability {
                Availability::Available => None,
                Availability::Suspended => Some(texts.suspended()),
                Availability::Unreachable => Some(texts.unreachable()),
            },
        }
    }
}
