//! Whether somebody is opening a page.

use http::{HeaderMap, HeaderName};

const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Says that a browser fetches a page before anybody asked for it; the second is the name of before.
const PURPOSES: [HeaderName; 2] = [HeaderName::from_static("sec-purpose"), HeaderName::from_static("purpose")];

/// Whether a browser says that this request opens a page in a window of its own (Fetch Metadata), and that somebody
/// is about to look at it.
///
/// A messenger that makes a preview of a link doesn't say so, nor a page's script, a frame, an image, or a browser
/// that loads a page ahead. A browser from before 2023 doesn't either: what must work there, too, is done by a form.
#[must_use]
pub fn is_navigation(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|found| found == value);
    says(&DEST, "document") && says(&MODE, "navigate") && !PURPOSES.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_a_window_that_somebody_looks_at_opens_a_page() {
        let document = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];
        let with = |more: (&'static str, &'static str)| [document[0], document[1], more];
        for (headers, opens) in [
            (&document[..], true),
            (&with(("sec-fetch-user", "?1")), true),
            (&with(("sec-purpose", "prefetch")), false),
            (&with(("sec-purpose", "prefetch;prerender")), false),
            (&with(("purpose", "prefetch")), false),
            (&[], false),
            (&[("sec-fetch-dest", "document")], false),
            (&[("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")], false),
            (&[("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")], false),
            (&[("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")], false),
        ] {
            let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(is_navigation(&map), opens, "{headers:?}");
        }
    }
}
