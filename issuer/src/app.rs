//! The reference bank app: a small web app of the bank's own, for a phone's browser and a desktop's.
//!
//! | address | what it is |
//! |---|---|
//! | `GET /` | sign in, take a payment link, my cards, my credentials |
//! | `POST /start` | opens a visit without an order |
//! | `GET /pay`, `POST /pay` | where app links lead; the fragment is posted by a script |
//! | `GET /v/{visit}` | the order as its acquirer signed it |
//! | `GET`, `POST /v/{visit}/sign-in`, `/step-up` | a proof of who the customer is |
//! | `POST /v/{visit}/challenge` | what a device or a passkey signs |
//! | `GET /v/{visit}/cards`, `POST /v/{visit}/card` | the cards; picks one |
//! | `GET`, `POST /v/{visit}/confirm/{charge}` | what is signed and paid |
//! | `GET /v/{visit}/charge/{charge}`, `…/events` | how the charge goes on |
//! | `GET /v/{visit}/credentials`, `/activate` | devices, features and passkeys |
//! | `POST /v/{visit}/bind`, `/features`, `/passkeys`, `/unbind`, `/remove`, `/sign-out` | change them |
//!
//! **No way in of its own.** The pages call the same services as a device over gRPC ([`bank`]); what a customer may
//! do follows from the session, whose token stands in an HttpOnly cookie and nowhere else.
//!
//! **Never a second charge.** A charge's id is drawn when its card is picked and stands in the visit's record. All
//! tabs of a browser share the visit of an order, every form is answered with a redirect, and whatever is sent
//! twice is the same charge.
//!
//! **What you sign is what you see.** The script makes the digest of the order from the order's own bytes, compares
//! them with what the page shows, and builds the consent from that; it never signs bytes that were handed to it.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use mesh::web::{Language, Policy, protect};
use proto::link::WebAddress;

use crate::context::Context;

mod bank;
mod cards;
mod challenge;
mod charge;
mod confirm;
mod credentials;
mod declined;
mod notice;
mod open;
mod opened;
mod page;
mod platform;
mod problem;
mod proof;
mod register;
mod sign_in;
mod start;
mod visitor;
mod visits;

pub use platform::Platform;
pub use visits::clear_ended;

pub(crate) use visits::clean_up;

use bank::Bank;
use opened::Opened;
use page::Assets;
use problem::Problem;
use visitor::Visitor;

/// What the pages work with.
#[derive(Debug)]
pub struct App {
    ctx: Arc<Context>,
    bank: Bank,
    platform: Option<Platform>,
    /// Whether features are measured by a demonstration.
    demo_sensor: bool,
    /// Whether a proxy says where a request comes from.
    forwarded_for: bool,
    assets: Assets,
    opened: Opened,
}

impl App {
    /// The app over this context. `platform` is asked for orders and tickets where the bank pays by way of one;
    /// `demo_sensor` offers a sensor that measures nobody, for sandboxes alone.
    #[must_use]
    pub fn new(ctx: Arc<Context>, platform: Option<Platform>, demo_sensor: bool) -> Self {
        let bank = Bank::new(&ctx);
        Self {
            ctx,
            bank,
            platform,
            demo_sensor,
            forwarded_for: false,
            assets: Assets::new(),
            opened: Opened::default(),
        }
    }

    /// The same behind a proxy that says in `X-Forwarded-For` where a request comes from.
    #[must_use]
    pub fn forwarded(self, forwarded_for: bool) -> Self {
        Self { forwarded_for, ..self }
    }

    /// The bank's name, as the bank directory says it.
    fn name(&self, language: Language) -> String {
        let directory = self.ctx.directory.current();
        match (directory.issuer(&self.ctx.issuer), language) {
            (Some(own), Language::ZhTw) => own.entry().name_zh_tw.clone(),
            (Some(own), Language::En) => own.entry().name_en.clone(),
            (None, Language::ZhTw | Language::En) => self.ctx.issuer.to_string(),
        }
    }
}

/// The routes of the app's port. `own` is the address by which browsers reach it.
pub fn routes(app: App, own: &WebAddress) -> Router {
    let policy = Policy::new(own, &app.assets.style).scripts().camera();
    let router = Router::new();
    let router = app.assets.script.mount(app.assets.style.mount(router));
    let router = router
        .route("/", get(start::home))
        .route("/logo.svg", get(logo))
        .route("/start", post(start::start))
        .route("/pay", get(open::landing).post(open::take))
        .route("/v/{visit}", get(open::order))
        .route("/v/{visit}/sign-in", get(sign_in::page).post(sign_in::prove))
        .route("/v/{visit}/step-up", get(sign_in::step_up_page).post(sign_in::step_up))
        .route("/v/{visit}/challenge", post(challenge::give))
        .route("/v/{visit}/sign-out", post(start::sign_out))
        .route("/v/{visit}/cards", get(cards::page))
        .route("/v/{visit}/card", post(cards::pick))
        .route("/v/{visit}/confirm/{charge}", get(confirm::page).post(confirm::pay))
        .route("/v/{visit}/charge/{charge}", get(charge::page))
        .route("/v/{visit}/charge/{charge}/events", get(charge::events))
        .route("/v/{visit}/credentials", get(credentials::page))
        .route("/v/{visit}/activate", get(credentials::activate_page))
        .route("/v/{visit}/bind", post(register::bind))
        .route("/v/{visit}/features", post(register::features))
        .route("/v/{visit}/passkeys", post(register::passkey))
        .route("/v/{visit}/unbind", post(credentials::unbind))
        .route("/v/{visit}/remove", post(credentials::remove))
        .fallback(nothing_here);
    protect(router.with_state(Arc::new(app)), policy)
}

async fn nothing_here(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    app.stopped(&visitor, Problem::nothing_here().into(), None)
}

/// The bank's logo as the directory has it; as an image it can run and load nothing.
async fn logo(State(app): State<Arc<App>>) -> Response {
    let directory = app.ctx.directory.current();
    let own = directory.issuer(&app.ctx.issuer).map(|own| own.entry().logo_svg.clone());
    let svg = own.filter(|svg| !svg.is_empty()).unwrap_or_else(|| include_str!("../templates/bank.svg").to_owned());
    ([(CONTENT_TYPE, "image/svg+xml")], svg).into_response()
}
