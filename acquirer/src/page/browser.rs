//! Which browser looks at a page, where that matters.
//!
//! The page of an order whose device is checked belongs to the browser in which somebody opens it first: the shop has
//! just led its shopper there. The browser holds a random cookie, of which the digest is kept with the order.
//!
//! - Only a person opens a page: a preview of the link, a page that is loaded ahead, or a script doesn't, and is shown
//!   no way to pay. A browser that can't say what it does opens it by a button.
//! - Only a cookie that came back binds: an answer that never arrived, behind a double click or a lost connection,
//!   must not keep the shopper out. A browser without one is therefore led on by one step, and comes back with it.
//! - Two tabs that are opened at once are given a cookie each. Each has a name of its own, so that neither replaces
//!   the other, and any of them will do.
//!
//! Whoever passes the link on without ever having opened it makes the next browser the first one. No page can tell;
//! it says that a link which somebody sent must not be paid.

use data_encoding::BASE32_NOPAD;
use http::{HeaderMap, HeaderValue};
use mesh::web::cookie;
use proto::digest::Digest;

use super::{Missing, Page};
use crate::{
    records::{KeptOrder, PageBrowser},
    repository::{Changes, Outcome},
};

/// The cookies `__Host-bankside-page-…`, for all orders that a browser opens.
pub(super) const COOKIE: &str = "bankside-page-";
/// Random bytes that tell a cookie's name from those of other tabs.
const NAME_BYTES: usize = 5;
/// How many of them are looked at. More than one are there only after several tabs were opened at once.
const COOKIES_MAX: usize = 8;

/// A browser as one order's page sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The order may be paid from here.
    Own,
    /// The page is another browser's.
    Other,
    /// The page is nobody's yet.
    Free,
}

impl Page {
    /// How the browser that looks at the page of an order stands to it. This changes nothing.
    pub(super) async fn standing(&self, kept: &KeptOrder, headers: &HeaderMap) -> Result<Standing, Missing> {
        if kept.signed.order.device_check_url.is_none() {
            return Ok(Standing::Own);
        }
        Ok(self.first(kept).await?.map_or(Standing::Free, |first| of(&held(headers), first)))
    }

    /// Makes a page that is nobody's this browser's own, which must hold a cookie.
    pub(super) async fn claim(&self, kept: &KeptOrder, headers: &HeaderMap) -> Result<Standing, Missing> {
        let held = held(headers);
        let Some(cookie) = held.first().copied() else { return Ok(Standing::Free) };
        let browser = PageBrowser { order: kept.id().clone(), cookie };
        match self.0.repository.commit(Changes::new().create(&browser)).await? {
            Outcome::Committed(_) => Ok(Standing::Own),
            // Another tab, or another browser, was faster.
            Outcome::Stale | Outcome::Duplicate(_) => {
                Ok(self.first(kept).await?.map_or(Standing::Free, |first| of(&held, first)))
            }
        }
    }

    /// A cookie for a browser that holds none.
    pub(super) fn fresh_cookie(&self) -> Result<HeaderValue, Missing> {
        let (mut name, mut value) = ([0; NAME_BYTES], [0; 32]);
        self.0.entropy.fill(&mut name)?;
        self.0.entropy.fill(&mut value)?;
        let name = format!("{COOKIE}{}", BASE32_NOPAD.encode(&name).to_ascii_lowercase());
        Ok(cookie::set(&name, &data_encoding::BASE64URL_NOPAD.encode(&value), None))
    }

    async fn first(&self, kept: &KeptOrder) -> Result<Option<Digest>, Missing> {
        let loaded = self.0.repository.load::<PageBrowser>(kept.id().as_str().as_bytes()).await?;
        Ok(loaded.map(|loaded| loaded.entity.cookie))
    }
}

/// Whether a browser holds a cookie of the page's.
pub(super) fn holds_cookie(headers: &HeaderMap) -> bool {
    !held(headers).is_empty()
}

fn held(headers: &HeaderMap) -> Vec<Digest> {
    let cookies = cookie::all(headers, COOKIE);
    cookies.iter().take(COOKIES_MAX).map(|(_, value)| Digest::of(value.as_bytes())).collect()
}

/// Neither digest is a secret by itself: whoever knows one can't make the cookie of it.
fn of(held: &[Digest], first: Digest) -> Standing {
    if held.contains(&first) { Standing::Own } else { Standing::Other }
}
