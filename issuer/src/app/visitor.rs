//! Who asks for a page: the address, the language, and what the cookies say.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use mesh::{
    secret::Secret,
    serve::RemoteAddr,
    web::{Language, cookie},
};
use proto::digest::Digest;

use super::App;

/// The cookie whose secret is the browser.
pub(super) const BROWSER: &str = "browser";
/// The cookie that says which visit waits for the check of its device.
pub(super) const CHECKING: &str = "checking";
/// The cookie that says where a visit's session stands; the visit's id follows.
const SESSION: &str = "session-";

/// Who asks.
#[derive(Debug)]
pub(super) struct Visitor {
    /// Where the request comes from.
    pub(super) from: RemoteAddr,
    /// What the pages are written in.
    pub(super) language: Language,
    headers: HeaderMap,
}

impl Visitor {
    /// The browser's secret.
    pub(super) fn browser(&self) -> Option<Secret<[u8; 32]>> {
        decode(&self.cookie(BROWSER)?).map(Secret::new)
    }

    /// The token of a visit's session.
    pub(super) fn session(&self, visit: &str) -> Option<Bytes> {
        let token: [u8; 32] = decode(&self.cookie(&session_cookie(visit))?)?;
        Some(Bytes::copy_from_slice(&token))
    }

    /// The visit whose device is being checked.
    pub(super) fn checking(&self) -> Option<String> {
        self.cookie(CHECKING)
    }

    fn cookie(&self, name: &str) -> Option<String> {
        cookie::get(&self.headers, name)
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let nowhere = RemoteAddr(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        let connected = parts.extensions.get::<RemoteAddr>().copied().unwrap_or(nowhere);
        let forwarded = app.forwarded_for.then(|| last_forwarded(&parts.headers)).flatten();
        Ok(Self {
            from: forwarded.map_or(connected, |address| RemoteAddr(SocketAddr::new(address, 0))),
            language: Language::preferred(&parts.headers),
            headers: parts.headers.clone(),
        })
    }
}

/// The last address that `X-Forwarded-For` names: the one that the proxy in front has seen itself.
fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

/// The name of the cookie with the token of a visit's session.
pub(super) fn session_cookie(visit: &str) -> String {
    format!("{SESSION}{visit}")
}

/// A secret as a cookie's value.
pub(super) fn cookie_value(secret: &[u8]) -> String {
    BASE64URL_NOPAD.encode(secret)
}

/// The id of the visit of a browser with an order, or with none: the same order in the same browser is the same
/// visit, in however many tabs it is opened, and nobody can name it who doesn't know the browser's secret.
pub(super) fn visit_id(browser: &[u8; 32], order: Option<&Digest>) -> String {
    let order = order.map_or(&[][..], |digest| digest.as_bytes());
    let digest = Digest::of(&[b"bankside.issuer/visit\0".as_slice(), browser, order].concat());
    data_encoding::BASE32_NOPAD.encode(&digest.as_bytes()[..16]).to_ascii_lowercase()
}

/// The nonce with which a browser redeems a code: the same code in the same browser has the same one, so that a
/// reload gets the same answer.
pub(super) fn code_nonce(browser: &[u8; 32], code: &str) -> [u8; 16] {
    let digest = Digest::of(&[b"bankside.issuer/code\0".as_slice(), browser, code.as_bytes()].concat());
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&digest.as_bytes()[..16]);
    nonce
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_visit_is_one_browsers_with_one_order() {
        let (one, other) = ([1; 32], [2; 32]);
        let order = Digest::of(b"order");
        let id = visit_id(&one, Some(&order));
        assert_eq!((id.len(), &id), (26, &visit_id(&one, Some(&order))));
        assert_ne!(id, visit_id(&other, Some(&order)));
        assert_ne!(id, visit_id(&one, None));
        assert_ne!(id, visit_id(&one, Some(&Digest::of(b"other"))));
    }

    #[test]
    fn the_last_address_is_the_one_that_the_proxy_saw() {
        let of = |values: &[&'static str]| {
            let pairs = values
                .iter()
                .map(|value| (HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(value)));
            last_forwarded(&HeaderMap::from_iter(pairs))
        };
        assert_eq!(of(&["198.51.100.9, 192.0.2.1"]), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(of(&["::1"]), Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        assert_eq!((of(&[]), of(&["192.0.2.1, "]), of(&["nobody"])), (None, None, None));
    }

    #[test]
    fn a_code_has_one_nonce_in_one_browser() {
        assert_eq!(code_nonce(&[1; 32], "a"), code_nonce(&[1; 32], "a"));
        assert_ne!(code_nonce(&[1; 32], "a"), code_nonce(&[1; 32], "b"));
        assert_ne!(code_nonce(&[1; 32], "a"), code_nonce(&[2; 32], "a"));
    }
}
