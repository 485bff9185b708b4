//! What a page may do, and what may be done to it.

use super::{Asset, Language, Words};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::{Router, http};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use proto::link::WebAddress;
use std::sync::Arc;

/// The rules of one role's pages: nothing is allowed but what is named here.
#[derive(Clone, Debug)]
pub struct Policy {
    own: String,
    is_secure: bool,
    style: String,
    forms: String,
    scripts: bool,
    camera: bool,
}

impl Policy {
    /// Pages under this address, by which browsers reach them, in this style. They load images and styles of
    /// their own, send forms to themselves, and run no script.
    #[must_use]
    pub fn new(own: &WebAddress, style: &Asset) -> Self {
        Self {
            own: origin(own.as_str()).unwrap_or_default(),
            is_secure: own.as_str().starts_with("https:"),
            style: style.path().to_owned(),
            forms: "'self'".to_owned(),
            scripts: false,
            camera: false,
        }
    }

    /// The pages run scripts of their own, which may talk to their own server.
    #[must_use]
    pub fn scripts(mut self) -> Self {
        self.scripts = true;
        self
    }

    /// A page's script may ask for the camera.
    #[must_use]
    pub fn camera(mut self) -> Self {
        self.camera = true;
        self
    }

    /// A form may lead there too: to an origin, `https://host`. Browsers hold a form to its policy across
    /// redirects. What can't stand in the header is left out.
    #[must_use]
    pub fn forms_to(mut self, origin: &str) -> Self {
        if origin.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b',') {
            self.forms = format!("{} {origin}", self.forms);
        }
        self
    }

    fn header(&self) -> HeaderValue {
        let scripts = if self.scripts { "script-src 'self'; connect-src 'self'; " } else { "" };
        let text = format!(
            "default-src 'none'; {scripts}style-src 'self'; img-src 'self'; base-uri 'none'; form-action {}; \
             frame-ancestors 'none'",
            self.forms
        );
        HeaderValue::from_str(&text).expect("invariant: what is not graphic ASCII was left out")
    }

    /// Whether a request comes from our own pages, as far as it may change something.
    ///
    /// Every browser of today says where a request comes from (Fetch Metadata), and no page can make it lie;
    /// the older ones name the origin. A caller that says neither is no browser with our page open.
    fn is_own(&self, method: &Method, headers: &HeaderMap) -> bool {
        if matches!(*method, Method::GET | Method::HEAD) {
            return true;
        }
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match text(&HeaderName::from_static("sec-fetch-site")) {
            // "none" is the person at the browser: a reload.
            Some(site) => matches!(site, "same-origin" | "none"),
            None => text(&ORIGIN).is_some_and(|found| !self.own.is_empty() && found == self.own),
        }
    }
}

/// Wraps all routes of a port: every answer carries the policy and stays out of caches unless it says
/// otherwise, and what another site sends is refused (403) before a handler sees it.
pub fn protect<S: Clone + Send + Sync + 'static>(routes: Router<S>, policy: Policy) -> Router<S> {
    let guard = Arc::new(Guard { header: policy.header(), policy });
    routes.layer(middleware::from_fn_with_state(guard, pass))
}

struct Guard {
    header: HeaderValue,
    policy: Policy,
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let policy = &guard.policy;
    let mut response = if policy.is_own(request.method(), request.headers()) {
        next.run(request).await
    } else {
        // The path would name an order or a checkout, which only their own pages know.
        tracing::info!(method = %request.method(), "a request from another site is refused");
        refused(&policy.style, Language::preferred(request.headers()))
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let camera = if policy.camera { CAMERA } else { NO_CAMERA };
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(camera));
    if policy.is_secure {
        let always = HeaderValue::from_static("max-age=31536000");
        headers.insert(HeaderName::from_static("strict-transport-security"), always);
    }
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|found| found.as_bytes().starts_with(b"text/html"));
    let rules = if is_page { guard.header.clone() } else { HeaderValue::from_static(NO_PAGE) };
    headers.insert(CONTENT_SECURITY_POLICY, rules);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The referrer stays with ourselves and is not dropped altogether: without one an older browser names no origin
/// in its forms either, and couldn't be told from another site.
const HEADERS: [(&str, &str); 6] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "same-origin"),
    ("vary", "accept-language"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];
/// What isn't a page is none by itself either: a bank's logo that somebody opens directly is a document of ours, in
/// which nothing runs, loads, is sent or is led to.
const NO_PAGE: &str = "default-src 'none'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const CAMERA: &str = "camera=(self), geolocation=(), microphone=()";
const NO_CAMERA: &str = "camera=(), geolocation=(), microphone=()";

const REFUSED: Words = Words { zh_tw: "已拒絕這個請求", en: "This request was refused" };
const REFUSED_HINT: Words = Words {
    zh_tw: "這個表單不是從本網站送出的，為了保護您，我們沒有執行任何動作。請回到上一頁再試一次。",
    en: "The form was not sent from this site. To protect you, nothing was done. Please go back and try again.",
};

fn refused(style: &str, language: Language) -> Response {
    let (tag, title, hint) = (language.tag(), REFUSED.of(language), REFUSED_HINT.of(language));
    let html = format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{style}\">\n</head>\n<body data-page=\"problem\">\n<main>\n\
         <section class=\"banner bad\" role=\"alert\"><h1>{title}</h1><p>{hint}</p></section>\n</main>\n</body>\n</html>\n"
    );
    (StatusCode::FORBIDDEN, Html(html)).into_response()
}

/// The origin of an address as browsers write it (RFC 6454, section 6.2): in lower case, without a port that is
/// its scheme's own.
fn origin(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let port = uri.port_u16().filter(|port| *port != usual);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

#[cfg(test)]
mod tests;
