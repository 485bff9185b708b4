//! The first page, and visits without an order.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use mesh::web::cookie;
use serde::Deserialize;

use super::{
    App,
    notice::{self, Notice},
    page::{Shell, random, show, with_cookie},
    problem::{Problem, Stop},
    visitor::{BROWSER, Visitor, cookie_value, session_cookie, visit_id},
};

/// How long a browser is remembered: as long as any visit lasts, and longer than a payment takes.
pub(super) const BROWSER_LIFE: std::time::Duration = std::time::Duration::from_secs(48 * 60 * 60);

/// The notice in a page's address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Noted {
    #[serde(default)]
    n: String,
}

impl Noted {
    /// The notice.
    pub(super) fn notice(&self) -> Option<Notice> {
        Notice::of(&self.n)
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    s: Shell,
    /// The visit without an order, where its session is here.
    visit: Option<String>,
}

/// The first page.
pub(super) async fn home(State(app): State<Arc<App>>, visitor: Visitor, Query(noted): Query<Noted>) -> Response {
    let visit = visitor.browser().map(|browser| visit_id(browser.expose(), None));
    let visit = visit.filter(|visit| visitor.session(visit).is_some());
    show(&HomePage { s: app.shell(&visitor, "home").with(noted.notice()), visit })
}

/// What a visit without an order is opened for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    to: String,
}

/// Opens the visit without an order.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    wanted: Result<Form<Wanted>, FormRejection>,
) -> Response {
    let Ok(Form(wanted)) = wanted else { return app.stopped(&visitor, Problem::malformed().into(), None) };
    let page = match wanted.to.as_str() {
        "activate" => "activate",
        _ => "sign-in",
    };
    match begin(&app, &visitor).await {
        Ok((browser, path)) => remember(Redirect::to(&format!("{path}/{page}")).into_response(), &browser),
        Err(stop) => app.stopped(&visitor, stop, None),
    }
}

async fn begin(app: &App, visitor: &Visitor) -> Result<([u8; 32], String), Stop> {
    let browser = browser_of(app, visitor)?;
    let found = app.open(visitor, &browser, None, bytes::Bytes::new()).await?;
    Ok((browser, found.path()))
}

/// The browser's secret: the one that it has, or a new one.
pub(super) fn browser_of(app: &App, visitor: &Visitor) -> Result<[u8; 32], Stop> {
    match visitor.browser() {
        Some(known) => Ok(*known.expose()),
        None => random(app),
    }
}

/// An answer after which the browser is known.
pub(super) fn remember(response: Response, browser: &[u8; 32]) -> Response {
    with_cookie(response, cookie::set(BROWSER, &cookie_value(browser), Some(BROWSER_LIFE)))
}

/// Ends the session of a visit.
pub(super) async fn sign_out(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Response {
    let ended = async {
        let found = app.find(&visitor, &id).await?;
        if let Some(token) = visitor.session(&id) {
            app.bank.end(token, visitor.from).await?;
        }
        app.change(&id, |visit| {
            visit.session = None;
            visit.sign_in = None;
        })
        .await?;
        Ok(found)
    };
    match ended.await {
        Ok(found) => {
            let page = if found.order.is_some() { found.path() } else { "/".to_owned() };
            let answer = Redirect::to(&notice::SIGNED_OUT.on(&page)).into_response();
            with_cookie(answer, cookie::forget(&session_cookie(&id)))
        }
        Err(stop) => app.stopped(&visitor, stop, None),
    }
}
