//! The pages between the payment page, or a phone's camera, and the bank's app.
//!
//! | address | what it is |
//! |---|---|
//! | `GET /pay` | where the link in a QR code lands that an ordinary camera opens: its script posts the order |
//! | `POST /pay` | opens the order's checkout in this browser: 303 to the picker |
//! | `GET /c/{checkout_id}` | the shop, the amount, and the banks to pick from; `?q=` searches |
//! | `POST /c/{checkout_id}/bank` | picks one: 303 to the handoff |
//! | `GET /c/{checkout_id}/app` | the handoff: opens the bank's app, and goes on where none opens |
//! | `GET /c/logos/{bank}.{digest}.svg` | a bank's logo |
//! | `GET /c/page.….css`, `.js`, `.svg` | style, scripts and icon |
//!
//! A checkout belongs to the browsers that its acquirer led there and to those that hold the order itself
//! ([`crate::checkouts::open`]); a cookie tells them from others. Picking gives out a single-use code, which
//! stands in no address that a server sees: from the click to the handoff it travels in a cookie, from there to
//! the app in the link's fragment.

mod answers;
mod assets;
mod browser;
mod handoff;
mod landing;
mod logo;
mod picker;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use mesh::web::{Language, Policy, protect};

use crate::{context::Context, error::Error};
use answers::problem;
use assets::{HANDOFF_SCRIPT, ICON, LANDING_SCRIPT, PICKER_SCRIPT, STYLE};

/// The id of a checkout as it stands in an address.
type Named = Result<Path<String>, PathRejection>;

/// The routes of the pages' port.
pub fn routes(context: Arc<Context>) -> Router {
    let policy = Policy::new(&context.public_url, &STYLE).scripts();
    let mut router = Router::new()
        .route("/pay", get(landing::page).post(landing::order))
        .route("/c/{checkout_id}", get(picker::page))
        // Whoever comes back to the form's address gets the picker.
        .route("/c/{checkout_id}/bank", post(picker::pick).get(picker::back))
        .route("/c/{checkout_id}/app", get(handoff::page))
        .route("/c/logos/{name}", get(logo::image));
    for asset in [&*STYLE, &*PICKER_SCRIPT, &*LANDING_SCRIPT, &*HANDOFF_SCRIPT, &*ICON] {
        router = asset.mount(router);
    }
    protect(router.fallback(nothing_here), policy).with_state(context)
}

async fn nothing_here(headers: HeaderMap) -> Response {
    problem(&Error::CheckoutNotFound, None, Language::preferred(&headers))
}

#[cfg(test)]
mod tests;
