//! Cookies that belong to one host alone.
//!
//! Every cookie is called `__Host-…` and is `Secure`, `HttpOnly`, for the whole host and `SameSite=Lax`
//! (draft-ietf-httpbis-rfc6265bis): no script reads it, no other host sets it, and a form of another site
//! doesn't bring it. Values are written in base64url, so that any text can be one.

use data_encoding::BASE64URL_NOPAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// The longest value that is looked at, as it stands in the header. Ours are far shorter.
const VALUE_BYTES_MAX: usize = 2048;

/// The value of the cookie `__Host-<name>`; none where it is missing or isn't one that [`set`] has written.
///
/// A browser that was made to send two of that name gets neither: which of them is ours can't be told.
#[must_use]
pub fn get(headers: &HeaderMap, name: &str) -> Option<String> {
    all(headers, name).into_iter().find(|(rest, _)| rest.is_empty()).map(|(_, value)| value)
}

/// The cookies `__Host-<prefix>…`, each by what follows the prefix in its name, under the rules of [`get`]. Browsers
/// send the oldest first (RFC 6265, section 5.4).
#[must_use]
pub fn all(headers: &HeaderMap, prefix: &str) -> Vec<(String, String)> {
    let ours = format!("__Host-{prefix}");
    let texts = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let pairs: Vec<(&str, &str)> = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, value)| Some((name.strip_prefix(&ours)?, value)))
        .collect();
    let is_single = |name: &str| pairs.iter().filter(|(other, _)| *other == name).count() == 1;
    let read = |(name, value): &(&str, &str)| Some(((*name).to_owned(), decoded(value)?));
    pairs.iter().filter(|(name, _)| is_single(name)).filter_map(read).collect()
}

/// The `Set-Cookie` header that sets `__Host-<name>`, for `max_age` or until the browser is closed.
///
/// # Panics
/// Where the name is not a cookie's name (RFC 6265, section 4.1.1), which is a mistake in the program.
#[must_use]
pub fn set(name: &str, value: &str, max_age: Option<Duration>) -> HeaderValue {
    let value = BASE64URL_NOPAD.encode(value.as_bytes());
    let life = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
    let header = format!("__Host-{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{life}");
    HeaderValue::from_str(&header).expect("invariant: a cookie's name is a constant of the program")
}

/// The `Set-Cookie` header that makes a browser forget `__Host-<name>`.
#[must_use]
pub fn forget(name: &str) -> HeaderValue {
    set(name, "", Some(Duration::ZERO))
}

fn decoded(value: &str) -> Option<String> {
    let value = Some(value).filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    String::from_utf8(BASE64URL_NOPAD.decode(value.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn a_value_comes_back_as_it_was_set() {
        let header = set("session", "å b;c=\"d\"\n", Some(Duration::from_secs(60)));
        let text = header.to_str().expect("ASCII");
        assert!(text.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"), "{text}");
        let pair = text.split(';').next().expect("a pair").to_owned();
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&format!("a=b; {pair}")).expect("ASCII"))]);
        assert_eq!(get(&headers, "session").as_deref(), Some("å b;c=\"d\"\n"));
        assert_eq!(get(&headers, "other"), None);
    }

    #[test]
    fn cookies_of_one_kind_are_told_apart_by_the_rest_of_their_names() {
        let headers = sent("__Host-app-1=YQ; __Host-app-2=Yg; __Host-apple=Yw; app-3=YQ; __Host-app-4=!");
        let found: Vec<(String, String)> = [("1", "a"), ("2", "b")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(all(&headers, "app-"), found);
        let twice = sent("__Host-app-1=YQ; __Host-app-2=Yg; __Host-app-1=Yg");
        assert_eq!(all(&twice, "app-"), found[1..], "which one of two is ours can't be told");
    }

    #[test]
    fn what_we_did_not_write_is_no_value() {
        for text in [
            "session=YQ",
            "__Host-session",
            "__Host-session=a b",
            "__Host-session=_w",
            "__Host-session=YQ; __Host-session=Yg",
            "__host-session=YQ",
        ] {
            assert_eq!(get(&sent(text), "session"), None, "{text}");
        }
        assert_eq!(get(&sent("__Host-session=YQ"), "session").as_deref(), Some("a"));
        assert!(forget("session").to_str().is_ok_and(|text| text.contains("=; ") && text.ends_with("Max-Age=0")));
    }
}
