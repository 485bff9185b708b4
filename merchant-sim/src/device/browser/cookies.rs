//! The cookies that servers have set, by host: browsers don't tell ports apart (RFC 6265, section 8.5).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use http::header::SET_COOKIE;

/// The cookies of one browser.
#[derive(Debug, Default)]
pub(super) struct Cookies {
    hosts: Mutex<HashMap<String, BTreeMap<String, String>>>,
}

impl Cookies {
    /// What is sent to a host; empty where it has set none.
    pub(super) fn of(&self, host: &str) -> String {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = hosts.get(host).into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Keeps what a host has set, and forgets what it has ended.
    pub(super) fn take(&self, host: &str, headers: &HeaderMap) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|header| header.to_str().ok()) {
            let mut parts = header.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let has_ended = parts.any(|attribute| attribute.eq_ignore_ascii_case("Max-Age=0"));
            let own = hosts.entry(host.to_owned()).or_default();
            if has_ended {
                own.remove(name);
            } else {
                own.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn set(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn cookies_go_back_to_their_host_alone_until_they_end() {
        let cookies = Cookies::default();
        cookies.take("a.example", &set("__Host-b=1; Path=/; Secure"));
        cookies.take("a.example", &set("__Host-a=x=y; Path=/; Max-Age=60"));
        assert_eq!(cookies.of("a.example"), "__Host-a=x=y; __Host-b=1");
        assert_eq!(cookies.of("b.example"), "");
        cookies.take("a.example", &set("__Host-a=; Path=/; Max-Age=0"));
        cookies.take("a.example", &set("__Host-b=2; Path=/"));
        assert_eq!(cookies.of("a.example"), "__Host-b=2");
    }
}
