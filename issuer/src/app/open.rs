//! How an order comes to the app: in the fragment of an app link, which a script posts, or as a pasted link.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use bytes::Bytes;
use mesh::web::cookie;
use proto::{confirmation::parse_token, link::parse_payment_link, order::SignedOrder};
use serde::Deserialize;

use super::{
    App, notice,
    page::{OrderView, Shell, show, with_cookie},
    problem::{Problem, Stop},
    start::{Noted, browser_of, remember},
    visitor::{CHECKING, Visitor, code_nonce},
    visits::Found,
};
use crate::{orders, records::millis_of};

/// The longest text that is taken for a link or its fragment.
const TEXT_BYTES_MAX: usize = 4096;

#[derive(Template)]
#[template(path = "pay.html")]
struct LandingPage {
    s: Shell,
}

/// Where app links lead. The fragment reaches no server; the page's script posts it.
pub(super) async fn landing(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    let page = show(&LandingPage { s: app.shell(&visitor, "open") });
    // The browser is known before it brings anything: two tabs that open a link at once are one browser, and a code
    // whose answer was lost is redeemed again with the same nonce.
    match browser_of(&app, &visitor) {
        Ok(browser) => remember(page, &browser),
        Err(stop) => app.stopped(&visitor, stop, None),
    }
}

/// What was in the fragment, or a whole link.
#[derive(Deserialize)]
pub(super) struct Brought {
    #[serde(default)]
    link: String,
}

/// What a link brings.
enum Taken {
    Order(String),
    Code(String),
    Token(Bytes),
}

impl Taken {
    /// Reads a link, or its fragment alone.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let fragment = text.split_once('#').map_or(text, |(_, fragment)| fragment);
        let (key, value) = fragment.split_once('=')?;
        match key {
            "o" => Some(Self::Order(value.to_owned())),
            "c" if !value.is_empty() => Some(Self::Code(value.to_owned())),
            "d" => parse_token(value).map(Self::Token),
            _ => None,
        }
    }
}

/// Takes an order, a code for one, or the acquirer's token for a device.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    brought: Result<Form<Brought>, FormRejection>,
) -> Response {
    let Ok(Form(brought)) = brought else { return app.stopped(&visitor, Problem::malformed().into(), None) };
    let browser = match browser_of(&app, &visitor) {
        Ok(browser) => browser,
        Err(stop) => return app.stopped(&visitor, stop, None),
    };
    let next = match Taken::parse(&brought.link) {
        Some(Taken::Order(text)) => by_order(&app, &visitor, &browser, &text).await,
        Some(Taken::Code(code)) => by_code(&app, &visitor, &browser, &code).await,
        Some(Taken::Token(token)) => return confirmed(&app, &visitor, token).await,
        None => Err(Problem::not_a_link().into()),
    };
    match next {
        Ok(found) => remember(Redirect::to(&found.path()).into_response(), &browser),
        Err(stop) => app.stopped(&visitor, stop, None),
    }
}

async fn by_order(app: &App, visitor: &Visitor, browser: &[u8; 32], text: &str) -> Result<Found, Stop> {
    // Whatever address the link had, only its fragment says something.
    let order = parse_payment_link(&format!("https://link.invalid/#o={text}")).map_err(|_| Problem::not_a_link())?;
    orders::verify(&app.ctx, &order)?;
    let ticket = ticket(app, &order).await?;
    app.open(visitor, browser, Some(order), ticket).await
}

/// The platform's ticket for an order; empty where the bank calls the acquirers directly.
pub(super) async fn ticket(app: &App, order: &SignedOrder) -> Result<Bytes, Stop> {
    match &app.platform {
        Some(platform) => platform.ticket(order.signed.to_pb(), &app.ctx.issuer).await.map_err(from_platform),
        None => Ok(Bytes::new()),
    }
}

async fn by_code(app: &App, visitor: &Visitor, browser: &[u8; 32], code: &str) -> Result<Found, Stop> {
    let platform = app.platform.as_ref().ok_or_else(Problem::not_a_link)?;
    let (order, ticket) = platform.redeem(code, code_nonce(browser, code)).await.map_err(from_platform)?;
    let order = order.ok_or_else(Problem::no_platform)?;
    let order = SignedOrder::parse(order).map_err(|_| Problem::not_a_link())?;
    orders::verify(&app.ctx, &order)?;
    app.open(visitor, browser, Some(order), ticket).await
}

/// What the platform refused; without a reason of the contracts it was not reached.
fn from_platform(refused: super::bank::Refused) -> Stop {
    if refused.reason == proto::reason::Reason::Internal { Problem::no_platform().into() } else { refused.into() }
}

/// The browser comes back from the check of its device.
async fn confirmed(app: &App, visitor: &Visitor, token: Bytes) -> Response {
    let kept = async {
        let id = visitor.checking().ok_or_else(Problem::no_check)?;
        app.find(visitor, &id).await?;
        let now = millis_of(app.ctx.clock.now());
        let found = app
            .change(&id, |visit| {
                if let Some(check) = &mut visit.device_check {
                    check.token = token.clone();
                    check.confirmed_at_ms = now;
                }
            })
            .await?;
        Ok(found)
    };
    match kept.await {
        // Another card was picked meanwhile, or the check is over: the visit knows the way.
        Ok(found) if found.visit.device_check.is_none() => {
            app.stopped(visitor, Problem::no_check().into(), Some(&found))
        }
        Ok(found) => {
            let page = match found.visit.charges.last() {
                Some(charge) => found.at(&format!("confirm/{}", charge.charge_id)),
                None => found.at("cards"),
            };
            let answer = Redirect::to(&notice::CONFIRMED.on(&page)).into_response();
            with_cookie(answer, cookie::forget(CHECKING))
        }
        Err(stop) => app.stopped(visitor, stop, None),
    }
}

#[derive(Template)]
#[template(path = "open.html")]
struct OrderPage {
    s: Shell,
    order: OrderView,
    next: String,
    back: String,
    checked: bool,
}

/// The order, before anybody signs in.
pub(super) async fn order(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    found: Found,
    Query(noted): Query<Noted>,
) -> Response {
    let Some(order) = &found.order else { return Redirect::to("/").into_response() };
    if found.visit.charges.is_empty()
        && let Err(error) = orders::verify(&app.ctx, order)
    {
        return app.stopped(&visitor, error.into(), Some(&found));
    }
    let next = if visitor.session(&found.visit.visit_id).is_some() { found.at("cards") } else { found.at("sign-in") };
    show(&OrderPage {
        s: app.shell(&visitor, "open").with(noted.notice()),
        order: OrderView::of(order),
        next,
        back: order.order.return_url.to_string(),
        checked: order.order.device_check_url.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_or_its_fragment_is_read() {
        for text in ["https://app.example/pay#c=ABC", " c=ABC ", "#c=ABC"] {
            assert!(matches!(Taken::parse(text), Some(Taken::Code(code)) if code == "ABC"), "{text}");
        }
        assert!(matches!(Taken::parse("o=AAAA"), Some(Taken::Order(order)) if order == "AAAA"));
        assert!(matches!(Taken::parse("d=AAAA"), Some(Taken::Token(token)) if token.as_ref() == [0, 0, 0]));
        for text in ["", "c=", "d=", "d=!", "x=1", "https://app.example/pay", &"a".repeat(TEXT_BYTES_MAX + 1)] {
            assert!(Taken::parse(text).is_none(), "{text}");
        }
    }
}
