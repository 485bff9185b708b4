//! The payment page: what the shopper's browser shows while the bank's app pays.
//!
//! | address | what it is |
//! |---|---|
//! | `GET /pay/{order_id}` | the order, where it stands, and a QR code as long as it can be paid |
//! | `GET /pay/{order_id}/qr.svg` | the QR code alone |
//! | `POST /pay/{order_id}/bank` | leads to the platform's bank picker, where there is a platform |
//! | `GET /pay/page.css` | the page's style |
//!
//! The QR code carries the signed order (`proto::link`). The order id in the address is unguessable and
//! is all that the page asks for, so every answer is kept out of caches and referrers. The page runs no
//! script; an unfinished one reloads itself.

mod language;
mod qr;
mod view;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    middleware,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use mesh::clock::Clock;
use proto::{ids::OrderId, link::WebAddress};

use crate::{
    checkout::{BankChoice, ChoiceError},
    records::{KeptOrder, Lines},
    repository::{self, Repository},
};
use language::Language;
use view::{OrderPage, Problem, ProblemPage, Shown};

/// The payment page over these records. `app_link` is what the QR code's link begins with; `choice` is
/// offered beside it.
pub fn router(
    repository: Repository,
    clock: Arc<dyn Clock>,
    app_link: WebAddress,
    choice: Option<BankChoice>,
) -> Router {
    let policy = content_policy(choice.as_ref());
    let mut router = Router::new()
        .route("/pay/{order_id}", get(order_page))
        .route("/pay/{order_id}/qr.svg", get(qr_code))
        .route("/pay/page.css", get(style));
    if choice.is_some() {
        // Whoever reloads what the click led to, or comes back to it, gets the payment page.
        router = router.route("/pay/{order_id}/bank", post(choose_bank).get(back_to_payment));
    }
    router
        .fallback(nothing_here)
        .layer(middleware::map_response(move |response| protect(response, policy.clone())))
        .with_state(Arc::new(Page { repository, clock, app_link, choice }))
}

struct Page {
    repository: Repository,
    clock: Arc<dyn Clock>,
    app_link: WebAddress,
    choice: Option<BankChoice>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("there is no such order")]
    Unknown,
    #[error(transparent)]
    Repository(#[from] repository::Error),
    #[error(transparent)]
    Qr(#[from] qr::TooLong),
    #[error(transparent)]
    Template(#[from] askama::Error),
    #[error("order {order}: {source}")]
    Picker { order: OrderId, source: ChoiceError },
}

impl Page {
    /// The order that an address names, as the clock sees it: one whose time is over counts as expired
    /// even before that is written down.
    async fn find(&self, order_id: Result<Path<String>, PathRejection>) -> Result<(KeptOrder, Shown), Missing> {
        // Whoever mistypes an id learns no more than whoever guesses one.
        let id: OrderId = order_id.ok().and_then(|Path(text)| text.parse().ok()).ok_or(Missing::Unknown)?;
        let kept = self.repository.load::<KeptOrder>(id.as_str().as_bytes()).await?.ok_or(Missing::Unknown)?.entity;
        let shown = Shown::of(&kept.state, self.clock.now());
        Ok((kept, shown))
    }

    async fn order_page(
        &self,
        order_id: Result<Path<String>, PathRejection>,
        language: Language,
    ) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let lines = self.repository.load::<Lines>(kept.id().as_str().as_bytes()).await?;
        let lines = lines.map(|loaded| loaded.entity.lines).unwrap_or_default();
        let qr = if shown == Shown::Open { Some(qr::svg(&self.app_link, &kept.signed)?) } else { None };
        let choose_bank = qr.as_ref().and(self.choice.as_ref()).map(|_| format!("{}/bank", payment_path(kept.id())));
        let html = OrderPage::new(&kept, shown, &lines, qr, choose_bank, language).html()?;
        Ok((shown.status(), Html(html)).into_response())
    }

    async fn qr_code(&self, order_id: Result<Path<String>, PathRejection>) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        if !shown.may_be_paid() {
            return Ok(StatusCode::GONE.into_response());
        }
        let svg = qr::svg(&self.app_link, &kept.signed)?;
        Ok(([(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], svg).into_response())
    }

    /// Publishes the order at the platform and leads to its picker. An order that can't be paid now goes
    /// back to its page, which says why.
    async fn choose_bank(&self, order_id: Result<Path<String>, PathRejection>) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let choice = self.choice.as_ref().ok_or(Missing::Unknown)?;
        if shown != Shown::Open {
            return Ok(Redirect::to(&payment_path(kept.id())).into_response());
        }
        let address = choice.address_for(&kept.signed).await;
        let address = address.map_err(|source| Missing::Picker { order: kept.id().clone(), source })?;
        Ok((StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response())
    }
}

fn payment_path(order: &OrderId) -> String {
    format!("/pay/{order}")
}

async fn order_page(
    State(page): State<Arc<Page>>,
    order_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let language = language_of(&headers);
    page.order_page(order_id, language).await.unwrap_or_else(|missing| missing.answer(language))
}

async fn qr_code(
    State(page): State<Arc<Page>>,
    order_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    page.qr_code(order_id).await.unwrap_or_else(|missing| missing.answer(language_of(&headers)))
}

async fn choose_bank(
    State(page): State<Arc<Page>>,
    order_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    page.choose_bank(order_id).await.unwrap_or_else(|missing| missing.answer(language_of(&headers)))
}

async fn back_to_payment(
    State(page): State<Arc<Page>>,
    order_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match page.find(order_id).await {
        Ok((kept, _)) => Redirect::to(&payment_path(kept.id())).into_response(),
        Err(missing) => missing.answer(language_of(&headers)),
    }
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], include_str!("../templates/page.css"))
}

async fn nothing_here(headers: HeaderMap) -> Response {
    Missing::Unknown.answer(language_of(&headers))
}

impl Missing {
    fn answer(self, language: Language) -> Response {
        match self {
            Self::Unknown => problem(StatusCode::NOT_FOUND, Problem::NotFound, None, language),
            Self::Picker { order, source } => {
                let status = match &source {
                    ChoiceError::Refused { .. } | ChoiceError::Late => StatusCode::SERVICE_UNAVAILABLE,
                    // Somebody is lying or wrongly configured, which doesn't pass by waiting.
                    ChoiceError::Elsewhere => StatusCode::BAD_GATEWAY,
                };
                tracing::error!(order_id = %order, error = %source, "a shopper cannot be led to the bank picker");
                problem(status, Problem::NoPicker, Some(payment_path(&order)), language)
            }
            Self::Repository(_) | Self::Qr(_) | Self::Template(_) => {
                tracing::error!(error = %self, "the payment page cannot be shown");
                let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, Problem::Unavailable, None, language);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}

fn problem(status: StatusCode, problem: Problem, back: Option<String>, language: Language) -> Response {
    match ProblemPage::new(problem, back, language).html() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => status.into_response(),
    }
}

fn language_of(headers: &HeaderMap) -> Language {
    Language::preferred(headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
}

/// What the page may load, and where its one form may lead: to us, and from there on to the platform's
/// pages, because browsers hold a form to its policy across redirects too.
fn content_policy(choice: Option<&BankChoice>) -> HeaderValue {
    let forms = choice.map_or_else(|| "'none'".to_owned(), |choice| format!("'self' {}", choice.pages().as_str()));
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action {forms}; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("invariant: an origin is letters, digits and punctuation")
}

/// What every answer of this port says to the browser: run nothing, embed nothing and be embedded nowhere,
/// tell nobody the address, keep nothing.
async fn protect(mut response: Response, policy: HeaderValue) -> Response {
    const HEADERS: [(&str, &str); 7] = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=31536000"),
        ("vary", "accept-language"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("app_link", &self.app_link).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
