//! The payment page: what the shopper's browser shows while the bank's app pays.
//!
//! | address | what it is |
//! |---|---|
//! | `GET /pay/{order_id}` | the order, where it stands, and the ways to pay as long as it can be paid |
//! | `GET /pay/{order_id}/events` | where the order stands, as server-sent events |
//! | `GET /pay/{order_id}/qr.svg` | the QR code alone |
//! | `POST /pay/{order_id}/bank` | leads to the platform's bank picker, where there is a platform |
//! | `GET`, `POST /pay/{order_id}/open` | makes the page this browser's own, where the device is checked |
//! | `GET /pay/{order_id}/device-check` | tells a bank's app that this is the browser that opened the page |
//! | `GET /pay/page.….css`, `.js`, `.svg` | the page's style, script and icon |
//!
//! The link in the QR code carries the signed order (`proto::link`). The order id in the address is unguessable
//! and is all that the page asks for, so every answer is kept out of caches and foreign referrers. The script
//! follows the order and counts the time down; without it an unfinished page reloads itself.

mod assets;
mod browser;
mod check;
mod live;
mod opening;
mod qr;
mod view;
mod words;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use mesh::{
    clock::{Clock, Entropy, EntropyFailed},
    directory::DirectoryHandle,
    web::{Language, Policy, protect},
};
use proto::{
    ids::OrderId,
    link::{WebAddress, payment_link},
};

use crate::{
    checkout::{BankChoice, ChoiceError},
    context::{Context, DEVICE_CHECK, payment_url},
    device_check::DeviceTokens,
    records::KeptOrder,
    repository::{self, Repository},
};
use assets::{ICON, SCRIPT, STYLE};
use browser::Standing;
use opening::OPEN;
use view::{Problem, ProblemPage, Shown, Ways};

/// What the payment page is made of.
pub struct Parts {
    /// The orders.
    pub repository: Repository,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for cookies.
    pub entropy: Arc<dyn Entropy>,
    /// The banks' app links.
    pub directory: Arc<DirectoryHandle>,
    /// What a device check gives out.
    pub tokens: DeviceTokens,
    /// Where browsers reach the page.
    pub public_url: WebAddress,
    /// What the link begins with that carries the order.
    pub link: WebAddress,
    /// What is offered beside it.
    pub choice: Option<BankChoice>,
}

impl Parts {
    /// The parts that an acquirer has, with this link and choice.
    #[must_use]
    pub fn of(context: &Context, link: WebAddress, choice: Option<BankChoice>) -> Self {
        Self {
            repository: context.repository.clone(),
            clock: Arc::clone(&context.clock),
            entropy: Arc::clone(&context.entropy),
            directory: Arc::clone(&context.directory),
            tokens: context.device_tokens.clone(),
            public_url: context.public_url.clone(),
            link,
            choice,
        }
    }
}

/// The payment page.
pub fn router(parts: Parts) -> Router {
    let policy = Policy::new(&parts.public_url, &STYLE).scripts();
    // Browsers hold the form that chooses a bank to its policy on the redirect to the platform, too.
    let policy = parts.choice.iter().fold(policy, |policy, choice| policy.forms_to(choice.pages().as_str()));
    let mut router = Router::new()
        .route("/pay/{order_id}", get(opening::order_page))
        .route(&format!("/pay/{{order_id}}{OPEN}"), get(opening::open).post(opening::open))
        .route("/pay/{order_id}/events", get(events))
        .route("/pay/{order_id}/qr.svg", get(qr_code))
        .route(&format!("/pay/{{order_id}}{DEVICE_CHECK}"), get(check::device_check));
    if parts.choice.is_some() {
        // Whoever reloads what the click led to, or comes back to it, gets the payment page.
        router = router.route("/pay/{order_id}/bank", post(choose_bank).get(back_to_payment));
    }
    for asset in [&*STYLE, &*SCRIPT, &*ICON] {
        router = asset.mount(router);
    }
    protect(router.fallback(nothing_here), policy).with_state(Arc::new(Page(parts)))
}

struct Page(Parts);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("there is no such order")]
    Unknown,
    #[error(transparent)]
    Repository(#[from] repository::Error),
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    #[error(transparent)]
    Qr(#[from] qr::TooLong),
    #[error(transparent)]
    Template(#[from] askama::Error),
    #[error("order {order}: {source}")]
    Picker { order: OrderId, source: ChoiceError },
}

/// The id of an order as it stands in an address.
type Named = Result<Path<String>, PathRejection>;

impl Page {
    /// The order that an address names, as the clock sees it: one whose time is over counts as expired
    /// even before that is written down.
    async fn find(&self, order_id: Named) -> Result<(KeptOrder, Shown), Missing> {
        // Whoever mistypes an id learns no more than whoever guesses one.
        let id: OrderId = order_id.ok().and_then(|Path(text)| text.parse().ok()).ok_or(Missing::Unknown)?;
        let kept = self.0.repository.load::<KeptOrder>(id.as_str().as_bytes()).await?.ok_or(Missing::Unknown)?.entity;
        let shown = Shown::of(&kept.state, self.0.clock.now());
        Ok((kept, shown))
    }

    fn ways(&self, kept: &KeptOrder) -> Result<Ways, Missing> {
        let link = payment_link(&self.0.link, &kept.signed.signed.to_pb());
        // A QR code is for another device than this one.
        let same_device = kept.signed.order.device_check_url.is_some();
        let qr = if same_device { None } else { Some(qr::svg(&link)?) };
        let choose_bank = self.0.choice.as_ref().map(|_| format!("{}/bank", payment_path(kept.id())));
        Ok(Ways { qr, link, choose_bank })
    }

    async fn qr_code(&self, order_id: Named) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        if !shown.may_be_paid() || kept.signed.order.device_check_url.is_some() {
            return Ok(StatusCode::GONE.into_response());
        }
        let svg = qr::svg(&payment_link(&self.0.link, &kept.signed.signed.to_pb()))?;
        Ok(([(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], svg).into_response())
    }

    /// Publishes the order at the platform and leads to its picker. An order that can't be paid now goes
    /// back to its page, which says why.
    async fn choose_bank(&self, order_id: Named, headers: &HeaderMap) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let choice = self.0.choice.as_ref().ok_or(Missing::Unknown)?;
        if !shown.is_payable() || self.standing(&kept, headers).await? != Standing::Own {
            return Ok(Redirect::to(&payment_path(kept.id())).into_response());
        }
        let payment_url = payment_url(&self.0.public_url, kept.id());
        let address = choice.address_for(&kept.signed, &payment_url).await;
        let address = address.map_err(|source| Missing::Picker { order: kept.id().clone(), source })?;
        Ok((StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response())
    }
}

fn payment_path(order: &OrderId) -> String {
    format!("/pay/{order}")
}

async fn events(State(page): State<Arc<Page>>, order_id: Named, headers: HeaderMap) -> Response {
    match page.find(order_id).await {
        Ok((kept, _)) => live::answer(page, kept.id()),
        Err(missing) => missing.answer(&headers),
    }
}

async fn qr_code(State(page): State<Arc<Page>>, order_id: Named, headers: HeaderMap) -> Response {
    page.qr_code(order_id).await.unwrap_or_else(|missing| missing.answer(&headers))
}

async fn choose_bank(State(page): State<Arc<Page>>, order_id: Named, headers: HeaderMap) -> Response {
    page.choose_bank(order_id, &headers).await.unwrap_or_else(|missing| missing.answer(&headers))
}

async fn back_to_payment(State(page): State<Arc<Page>>, order_id: Named, headers: HeaderMap) -> Response {
    match page.find(order_id).await {
        Ok((kept, _)) => Redirect::to(&payment_path(kept.id())).into_response(),
        Err(missing) => missing.answer(&headers),
    }
}

async fn nothing_here(headers: HeaderMap) -> Response {
    Missing::Unknown.answer(&headers)
}

impl Missing {
    fn answer(self, headers: &HeaderMap) -> Response {
        let language = Language::preferred(headers);
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
            Self::Repository(_) | Self::Entropy(_) | Self::Qr(_) | Self::Template(_) => {
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

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("link", &self.0.link).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
