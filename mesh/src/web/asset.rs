//! Files that never change under their name.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use proto::digest::Digest;

/// A style, a script or an image whose name holds a digest of its content, so that a browser may keep it for a
/// year and still never shows an old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    path: String,
    content_type: &'static str,
    body: Bytes,
}

/// As long as a browser keeps anything (RFC 9111 sets no limit; a year is the usual one).
const KEEP: &str = "public, max-age=31536000, immutable";

/// How many hexadecimal digits of the digest stand in the name: 48 bits tell a role's few versions apart.
const DIGEST_DIGITS: usize = 12;

impl Asset {
    /// A style of these parts, in their order, under `name` (a path without an ending, such as `/pay/page`).
    #[must_use]
    pub fn css(name: &str, parts: &[&str]) -> Self {
        Self::new(name, "css", "text/css; charset=utf-8", parts.join("\n"))
    }

    /// A script.
    #[must_use]
    pub fn script(name: &str, text: &str) -> Self {
        Self::new(name, "js", "text/javascript; charset=utf-8", text.to_owned())
    }

    /// An image.
    #[must_use]
    pub fn svg(name: &str, text: &str) -> Self {
        Self::new(name, "svg", "image/svg+xml", text.to_owned())
    }

    fn new(name: &str, ending: &str, content_type: &'static str, text: String) -> Self {
        let digest = Digest::of(text.as_bytes()).to_string();
        let path = format!("{name}.{}.{ending}", &digest[..DIGEST_DIGITS]);
        Self { path, content_type, body: text.into() }
    }

    /// Where it is served, for the page that needs it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The answer to a request for it.
    #[must_use]
    pub fn answer(&self) -> axum::response::Response {
        let headers = [(CONTENT_TYPE, self.content_type), (CACHE_CONTROL, KEEP)];
        axum::response::IntoResponse::into_response((headers, self.body.clone()))
    }

    /// The routes with this one added.
    pub fn mount<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let asset = self.clone();
        routes.route(&self.path, get(async move || asset.answer()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_has_another_name() {
        let (one, two) = (Asset::css("/p/page", &["a", "b"]), Asset::css("/p/page", &["a", "c"]));
        assert_ne!(one.path(), two.path());
        assert_eq!(one, Asset::css("/p/page", &["a\nb"]));
        let digits = one.path().strip_prefix("/p/page.").and_then(|rest| rest.strip_suffix(".css"));
        assert!(digits.is_some_and(|digits| digits.len() == DIGEST_DIGITS), "{}", one.path());
    }
}
