//! What every page has, and the pages that say why there is nothing to pick.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{Html, IntoResponse, Response},
};
use mesh::web::{Asset, Language, amount};

use super::{
    assets::{ICON, STYLE},
    words::Texts,
};
use crate::{checkouts::Checkout, error::Error};

/// The frame of a page.
pub(super) struct Frame {
    pub(super) texts: Texts,
    pub(super) page: &'static str,
    pub(super) title: &'static str,
    pub(super) script: Option<&'static Asset>,
}

impl Frame {
    pub(super) fn new(page: &'static str, title: &'static str, language: Language) -> Self {
        Self { texts: Texts(language), page, title, script: None }
    }

    pub(super) fn with_script(mut self, script: &'static Asset) -> Self {
        self.script = Some(script);
        self
    }

    pub(super) fn style(&self) -> &'static str {
        STYLE.path()
    }

    pub(super) fn icon(&self) -> &'static str {
        ICON.path()
    }
}

/// The order as the pages show it.
pub(super) struct Due {
    pub(super) shop: String,
    pub(super) domain: String,
    pub(super) amount: String,
    /// The acquirer's payment page.
    pub(super) payment_url: Option<String>,
    pub(super) return_url: String,
}

impl Due {
    pub(super) fn of(checkout: &Checkout) -> Self {
        let order = &checkout.order.order;
        Self {
            shop: order.merchant.display_name.clone(),
            domain: order.merchant.domain.clone(),
            amount: amount(order.amount),
            payment_url: checkout.payment_url.as_ref().map(ToString::to_string),
            return_url: order.return_url.to_string(),
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    hint: &'static str,
    back: Option<String>,
}

/// A page as an answer.
pub(super) fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The checkout is another browser's.
pub(super) fn other_browser(language: Language) -> Response {
    let texts = Texts(language);
    let frame = Frame::new("other-browser", texts.other_browser(), language);
    html(StatusCode::FORBIDDEN, &ProblemPage { frame, hint: texts.other_browser_hint(), back: None })
}

/// A page that says why there is nothing to pick. Only what a shopper can bring about is told apart. `back` leads to
/// the shop, where it is known.
pub(super) fn problem(error: &Error, back: Option<String>, language: Language) -> Response {
    let texts = Texts(language);
    let (status, title, hint) = if matches!(error, Error::CheckoutNotFound) {
        (StatusCode::NOT_FOUND, texts.not_found(), texts.not_found_hint())
    } else if matches!(error, Error::CheckoutExpired | Error::OrderExpired) {
        (StatusCode::GONE, texts.ended(), texts.ended_hint())
    } else if matches!(error, Error::OrderSignature(_) | Error::AcquirerSuspended | Error::Invalid(_)) {
        (StatusCode::BAD_REQUEST, texts.not_an_order(), texts.not_an_order_hint())
    } else {
        tracing::error!(%error, "a page of the bank picker cannot be shown");
        (StatusCode::SERVICE_UNAVAILABLE, texts.unavailable(), texts.unavailable_hint())
    };
    let frame = Frame::new("problem", title, language);
    let mut response = html(status, &ProblemPage { frame, hint, back });
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
