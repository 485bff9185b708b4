//! The pages as a browser gets them.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    body::{Body, to_bytes},
    http::{
        Method, Request, StatusCode,
        header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
    },
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    checkouts,
    domain::checkout::Health,
    testing::{Network, next},
};

mod binding;
mod landing;
mod picking;

const PAYMENT_PAGE: &str = "https://pay.acq-1.example/pay/ord_1";

/// What a browser says of a page that somebody opens.
const WINDOW: [(&str, &str); 2] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];

struct World {
    network: Network,
    context: Arc<Context>,
}

/// One browser with its cookies.
struct Browser<'w> {
    world: &'w World,
    cookies: Mutex<BTreeMap<String, String>>,
    language: &'static str,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl World {
    async fn new() -> Self {
        let network = Network::new();
        let mut with_logo = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
        with_logo.logo_svg = "<svg xmlns='http://www.w3.org/2000/svg'/>".to_owned();
        with_logo.name_en = "Aurora \"& Sons\" <i>".to_owned();
        let members = [with_logo, network.bank("bank-b", &[(52_000_000, 52_000_099)]), network.acquirer("acq-1")];
        let context = network.platform(&members).await;
        Self { network, context }
    }

    /// What the acquirer does when its shopper wants to choose a bank.
    async fn publish(&self) -> String {
        let (acquirer, page) = ("acq-1".parse().unwrap(), Some(PAYMENT_PAGE.parse().unwrap()));
        let order = self.network.order("acq-1", 1);
        checkouts::publish(&self.context, &acquirer, order, page).await.unwrap().id.to_string()
    }

    fn browser(&self) -> Browser<'_> {
        Browser { world: self, cookies: Mutex::default(), language: "zh-TW" }
    }

    fn say(&self, bank: &str, health: Health) {
        let bank = bank.parse().unwrap();
        self.context.health.keep([&bank]);
        self.context.health.note(&bank, health);
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", "same-origin").await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, form, "same-origin").await
    }

    async fn send(&self, method: Method, path: &str, form: &str, from: &str) -> Answer {
        self.send_with(method, path, form, &[("sec-fetch-site", from), WINDOW[0], WINDOW[1]]).await
    }

    async fn send_with(&self, method: Method, path: &str, form: &str, says: &[(&str, &str)]) -> Answer {
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT_LANGUAGE, self.language)
            .header(COOKIE, cookies.join("; "));
        let request = says.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(form.to_owned())).unwrap();
        let response = routes(Arc::clone(&self.world.context)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(SET_COOKIE) {
            let text = set.to_str().unwrap();
            assert!(text.starts_with("__Host-") && text.contains("; Secure; HttpOnly; SameSite=Lax"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.ends_with("; Max-Age=0") {
                self.cookies.lock().unwrap().remove(name);
            } else {
                self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
            }
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

impl Answer {
    fn leads_to(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers[LOCATION].to_str().unwrap()
    }
}

#[tokio::test]
async fn every_answer_keeps_itself_to_itself() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    browser.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await;
    for path in [format!("/c/{checkout}"), format!("/c/{checkout}/app"), "/pay".to_owned(), "/nowhere".to_owned()] {
        let answer = browser.get(&path).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(policy.contains("form-action 'self';") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(!answer.body.contains("style=") && !answer.body.contains("onclick"), "{path}");
    }
    for asset in [STYLE.path(), HANDOFF_SCRIPT.path(), ICON.path()] {
        let answer = browser.get(asset).await;
        assert_eq!(answer.status, StatusCode::OK, "{asset}");
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"), "{asset}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_picks_nothing() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    browser.get(&format!("/c/{checkout}")).await;
    let path = format!("/c/{checkout}/bank");
    let forged = browser.send(Method::POST, &path, "bank=bank-a", "cross-site").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(!forged.headers.contains_key(SET_COOKIE) && !forged.headers.contains_key(LOCATION));
    assert_eq!(browser.post(&path, "bank=bank-a").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_checkout_that_is_not_there_or_over_is_told_apart() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    for unknown in ["/c/cko_aaaaaaaaaaaaaaaaaaaaaaaaaa", "/c/x", "/c/%ff", "/", "/c/x/app", "/c/x/bank"] {
        assert_eq!(browser.get(unknown).await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
    world.network.clock.advance(std::time::Duration::from_secs(17 * 60));
    let over = [
        browser.get(&format!("/c/{checkout}")).await,
        browser.get(&format!("/c/{checkout}/app")).await,
        browser.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await,
    ];
    for answer in over {
        assert_eq!(answer.status, StatusCode::GONE);
        assert!(answer.body.contains("付款期限已過"), "{}", answer.body);
        assert!(answer.body.contains("href=\"https://books.example/paid\""), "there is a way on: {}", answer.body);
    }
}
