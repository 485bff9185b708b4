//! The bank picker: what a shopper's browser shows between the payment page and the bank's app.
//!
//! | address | what it is |
//! |---|---|
//! | `GET /c/{checkout_id}` | the shop, the amount, and the banks to pick from |
//! | `POST /c/{checkout_id}/bank` | picks one: 303 to the bank's app link |
//! | `GET /c/page.css` | the style |
//!
//! The checkout id in the address is unguessable and is all that the page asks for, so every answer is
//! kept out of caches and referrers. The page runs no script. Where no app opens, the app link leads to
//! the bank's own site, whose server sees nothing of the code: it stands in the fragment.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::{
        Path, State,
        rejection::{FormRejection, PathRejection},
    },
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    checkouts::{self, BankOption, Checkout},
    context::Context,
    domain::checkout::Availability,
    error::Error,
};

/// The routes of the pages' port.
pub fn routes(context: Arc<Context>) -> Router {
    Router::new()
        .route("/c/{checkout_id}", get(picker))
        .route("/c/{checkout_id}/bank", post(pick))
        .route("/c/page.css", get(style))
        .fallback(nothing_here)
        .layer(middleware::map_response(protect))
        .with_state(context)
}

/// One sentence in both languages of the page.
#[derive(Clone, Copy)]
struct Words {
    zh_tw: &'static str,
    en: &'static str,
}

const SUSPENDED: Words = Words { zh_tw: "暫停服務", en: "paused" };
const UNREACHABLE: Words = Words { zh_tw: "連線中斷", en: "not answering" };
const PICK_ANOTHER: Words = Words {
    zh_tw: "這家銀行目前無法使用，請選擇另一家。",
    en: "This bank can't be used now. Please choose another one.",
};
const NOT_FOUND: (Words, Words) = (
    Words { zh_tw: "找不到這筆付款", en: "There is no such payment" },
    Words {
        zh_tw: "請回到商店的付款頁面重新開始。", en: "Please start again from the shop's payment page."
    },
);
const ENDED: (Words, Words) = (
    Words { zh_tw: "付款期限已過", en: "The time to pay is over" },
    Words {
        zh_tw: "如仍要購買，請回到商店重新下單。",
        en: "If you still want to buy, please order again at the shop.",
    },
);
const UNAVAILABLE: (Words, Words) = (
    Words { zh_tw: "暫時無法顯示", en: "This page can't be shown now" },
    Words { zh_tw: "請稍後再試。", en: "Please try again in a moment." },
);

#[derive(Template)]
#[template(path = "picker.html")]
struct PickerPage<'a> {
    checkout: &'a str,
    shop: &'a str,
    domain: &'a str,
    amount: String,
    banks: Vec<BankView<'a>>,
    notice: Option<Words>,
}

struct BankView<'a> {
    id: &'a str,
    name_zh_tw: &'a str,
    name_en: &'a str,
    /// In base 64, for an image's address: as an image a logo can run and load nothing.
    logo: String,
    unavailable: Option<Words>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    title: Words,
    hint: Words,
}

#[derive(Deserialize)]
struct Picked {
    bank: String,
}

async fn picker(State(context): State<Arc<Context>>, checkout: Result<Path<String>, PathRejection>) -> Response {
    show(&context, checkout, StatusCode::OK, None).await.unwrap_or_else(problem)
}

async fn pick(
    State(context): State<Arc<Context>>,
    checkout: Result<Path<String>, PathRejection>,
    picked: Result<Form<Picked>, FormRejection>,
) -> Response {
    let Ok(Path(id)) = &checkout else { return problem(Error::CheckoutNotFound) };
    let bank = picked.map(|Form(picked)| picked.bank).unwrap_or_default();
    match checkouts::pick(&context, id, &bank).await {
        Ok(app) => match HeaderValue::from_str(&app.link) {
            Ok(link) => (StatusCode::SEE_OTHER, [(LOCATION, link)]).into_response(),
            Err(_) => problem(Error::Inconsistent("an app link is no header")),
        },
        // The shopper can still pick another one, so the picker is shown again.
        Err(Error::BankUnavailable | Error::BankNotFound) => {
            show(&context, checkout, StatusCode::CONFLICT, Some(PICK_ANOTHER)).await.unwrap_or_else(problem)
        }
        Err(error) => problem(error),
    }
}

async fn show(
    context: &Context,
    checkout: Result<Path<String>, PathRejection>,
    status: StatusCode,
    notice: Option<Words>,
) -> Result<Response, Error> {
    let Ok(Path(id)) = checkout else { return Err(Error::CheckoutNotFound) };
    let checkout = checkouts::find(context, &id).await?;
    let options = checkouts::bank_options(context);
    let html = render(&checkout, &options, notice).map_err(|_| Error::Inconsistent("the picker can't be rendered"))?;
    Ok((status, Html(html)).into_response())
}

fn render(checkout: &Checkout, options: &[BankOption], notice: Option<Words>) -> askama::Result<String> {
    let order = &checkout.order.order;
    let page = PickerPage {
        checkout: checkout.id.as_str(),
        shop: &order.merchant.display_name,
        domain: &order.merchant.domain,
        amount: order.amount.to_string(),
        banks: options.iter().map(BankView::of).collect(),
        notice,
    };
    page.render()
}

impl<'a> BankView<'a> {
    fn of(option: &'a BankOption) -> Self {
        let entry = option.bank.entry();
        Self {
            id: entry.member.as_str(),
            name_zh_tw: &entry.name_zh_tw,
            name_en: &entry.name_en,
            logo: data_encoding::BASE64.encode(entry.logo_svg.as_bytes()),
            unavailable: match option.availability {
                Availability::Available => None,
                Availability::Suspended => Some(SUSPENDED),
                Availability::Unreachable => Some(UNREACHABLE),
            },
        }
    }
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], include_str!("../templates/page.css"))
}

async fn nothing_here() -> Response {
    problem(Error::CheckoutNotFound)
}

/// A page that says why there is nothing to pick. Only what a shopper can bring about is told apart.
fn problem(error: Error) -> Response {
    let (status, (title, hint)) = if matches!(error, Error::CheckoutNotFound) {
        (StatusCode::NOT_FOUND, NOT_FOUND)
    } else if matches!(error, Error::CheckoutExpired) {
        (StatusCode::GONE, ENDED)
    } else {
        tracing::error!(%error, "the bank picker cannot be shown");
        (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
    };
    let mut response = match (ProblemPage { title, hint }).render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => status.into_response(),
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// What every answer of this port says to the browser: run nothing, embed nothing and be embedded nowhere,
/// tell nobody the address, keep nothing. A form may lead to any https address, because browsers apply
/// the rule to where the redirect goes too, and the banks' app links are many.
async fn protect(mut response: Response) -> Response {
    const HEADERS: [(&str, &str); 7] = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self' https:; \
             frame-ancestors 'none'",
        ),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
