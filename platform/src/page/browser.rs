//! What a browser holds: who it is, which bank it used last, and a code on its way into an app.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use mesh::web::cookie;
use proto::{
    digest::Digest,
    ids::{CheckoutId, IssuerId},
};

use crate::{context::Context, error::Error};

/// `__Host-bankside-picker`: random, so that a checkout is known by its digest.
const BROWSER: &str = "bankside-picker";
/// `__Host-bankside-bank`: the bank that was picked last.
const BANK: &str = "bankside-bank";
/// `__Host-bankside-app-<checkout>`: one for each checkout, so that two of them don't get mixed up.
const HANDOFF: &str = "bankside-app-";
/// How many of these a browser holds at once. A request's headers have a limit.
const HANDOFFS_MAX: usize = 4;
/// How long a bank is remembered.
const BANK_LIFE: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// A browser.
pub(super) struct Browser {
    /// What stands for its cookie.
    pub(super) digest: Digest,
    /// What it must be told to keep, where it is new.
    pub(super) cookie: Option<HeaderValue>,
}

impl Browser {
    /// The browser that asks; a new one where it holds nothing.
    pub(super) fn of(headers: &HeaderMap, context: &Context) -> Result<Self, Error> {
        if let Some(held) = cookie::get(headers, BROWSER) {
            return Ok(Self { digest: Digest::of(held.as_bytes()), cookie: None });
        }
        let mut random = [0; 32];
        context.entropy.fill(&mut random)?;
        let fresh = data_encoding::BASE64URL_NOPAD.encode(&random);
        Ok(Self { digest: Digest::of(fresh.as_bytes()), cookie: Some(cookie::set(BROWSER, &fresh, None)) })
    }
}

/// The bank that was picked last in this browser.
pub(super) fn last_bank(headers: &HeaderMap) -> Option<String> {
    cookie::get(headers, BANK)
}

/// Remembers a bank.
pub(super) fn remember_bank(bank: &IssuerId) -> HeaderValue {
    cookie::set(BANK, bank.as_str(), Some(BANK_LIFE))
}

/// The link into a bank's app for one checkout, which is on its way from the click to the handoff.
pub(super) fn carry_link(checkout: &str, bank: &IssuerId, link: &str, life: Duration) -> HeaderValue {
    cookie::set(&handoff(checkout), &format!("{bank} {link}"), Some(life))
}

/// That link and its bank.
pub(super) fn carried_link(headers: &HeaderMap, checkout: &str) -> Option<(IssuerId, String)> {
    let carried = cookie::get(headers, &handoff(checkout))?;
    let (bank, link) = carried.split_once(' ')?;
    Some((bank.parse().ok()?, link.to_owned()))
}

/// The oldest of those links, where the browser holds too many: each leads back to its picker, and to a new code.
pub(super) fn links_to_forget(headers: &HeaderMap, checkout: &str) -> impl Iterator<Item = HeaderValue> {
    let held = cookie::all(headers, HANDOFF).into_iter().map(|(of, _)| of);
    // A name goes back into a header, and so it must be one that a checkout has.
    let others: Vec<CheckoutId> = held.filter(|of| of != checkout).filter_map(|of| of.parse().ok()).collect();
    let surplus = (others.len() + 1).saturating_sub(HANDOFFS_MAX);
    others.into_iter().take(surplus).map(|of| cookie::forget(&handoff(of.as_str())))
}

fn handoff(checkout: &str) -> String {
    format!("{HANDOFF}{checkout}")
}
