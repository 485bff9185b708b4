//! The picker as a browser gets it.
#![allow(clippy::unwrap_used)]

use axum::body::{Body, to_bytes};
use http::{Method, Request};
use tower::ServiceExt as _;

use super::*;
use crate::{
    domain::checkout::Health,
    testing::{Network, next},
};

struct Browser {
    network: Network,
    context: Arc<Context>,
}

impl Browser {
    async fn new() -> Self {
        let network = Network::new();
        let mut with_logo = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
        with_logo.logo_svg = "<svg xmlns='http://www.w3.org/2000/svg'/>".to_owned();
        with_logo.name_en = "Aurora \"& Sons\" <i>".to_owned();
        let members = [with_logo, network.bank("bank-b", &[(52_000_000, 52_000_099)]), network.acquirer("acq-1")];
        let context = network.platform(&members).await;
        Self { network, context }
    }

    async fn checkout(&self) -> String {
        let order = self.network.order("acq-1", 1);
        checkouts::publish(&self.context, &"acq-1".parse().unwrap(), order).await.unwrap().id.to_string()
    }

    async fn send(&self, method: Method, path: &str, form: &str) -> (Response, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        let response = routes(Arc::clone(&self.context)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        (Response::from_parts(parts, Body::empty()), text)
    }

    fn say(&self, bank: &str, health: Health) {
        let bank = bank.parse().unwrap();
        self.context.health.keep([&bank]);
        self.context.health.note(&bank, health);
    }
}

#[tokio::test]
async fn the_picker_shows_the_shop_the_amount_and_the_banks() {
    let browser = Browser::new().await;
    let checkout = browser.checkout().await;
    browser.say("bank-b", Health::Unreachable);
    let (response, page) = browser.send(Method::GET, &format!("/c/{checkout}"), "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(page.contains("books.example"), "{page}");
    assert!(page.contains("1499.00"), "{page}");
    assert!(page.contains(&format!("action=\"/c/{checkout}/bank\"")), "{page}");
    assert!(page.contains("value=\"bank-a\">") && page.contains("value=\"bank-b\" disabled>"), "{page}");
    assert!(page.contains("連線中斷") && page.contains("data:image/svg+xml;base64,"), "{page}");
    // What others wrote is text here, never markup.
    assert!(!page.contains("<b>More") && !page.contains("<i>") && !page.contains("<svg"), "{page}");
}

#[tokio::test]
async fn every_answer_keeps_itself_to_itself() {
    let browser = Browser::new().await;
    let checkout = browser.checkout().await;
    for (method, path, form) in [
        (Method::GET, format!("/c/{checkout}"), ""),
        (Method::POST, format!("/c/{checkout}/bank"), "bank=bank-a"),
        (Method::GET, "/c/page.css".to_owned(), ""),
        (Method::GET, "/nowhere".to_owned(), ""),
    ] {
        let (response, _) = browser.send(method, &path, form).await;
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{path}");
    }
}

#[tokio::test]
async fn picking_leads_into_the_banks_app() {
    let browser = Browser::new().await;
    let checkout = browser.checkout().await;
    let (response, _) = browser.send(Method::POST, &format!("/c/{checkout}/bank"), "bank=bank-a").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let link = response.headers().get(LOCATION).unwrap().to_str().unwrap();
    let code = link.strip_prefix("https://app.bank-a.example/pay#c=").unwrap();
    assert!(checkouts::redeem(&browser.context, code, &[1; 16]).await.is_ok());
}

#[tokio::test]
async fn a_bank_that_cannot_be_picked_leads_back_to_the_picker() {
    let browser = Browser::new().await;
    let checkout = browser.checkout().await;
    browser.say("bank-b", Health::Unreachable);
    for form in ["bank=bank-b", "bank=bank-z", "bank=", "", "other=1"] {
        let (response, page) = browser.send(Method::POST, &format!("/c/{checkout}/bank"), form).await;
        assert_eq!(response.status(), StatusCode::CONFLICT, "{form}");
        assert!(page.contains("請選擇另一家") && page.contains("value=\"bank-a\""), "{form}: {page}");
    }
}

#[tokio::test]
async fn a_checkout_that_is_not_there_or_over_is_told_apart() {
    let browser = Browser::new().await;
    let checkout = browser.checkout().await;
    for unknown in ["/c/cko_aaaaaaaaaaaaaaaaaaaaaaaaaa", "/c/x", "/c/%ff", "/"] {
        assert_eq!(browser.send(Method::GET, unknown, "").await.0.status(), StatusCode::NOT_FOUND, "{unknown}");
    }
    browser.network.clock.advance(std::time::Duration::from_secs(17 * 60));
    for (method, path) in [(Method::GET, format!("/c/{checkout}")), (Method::POST, format!("/c/{checkout}/bank"))] {
        let (response, page) = browser.send(method, &path, "bank=bank-a").await;
        assert_eq!(response.status(), StatusCode::GONE);
        assert!(page.contains("付款期限已過"), "{page}");
    }
}

#[tokio::test]
async fn a_network_without_banks_says_so() {
    let network = Network::new();
    let left = next(&network.bank("bank-a", &[(40_000_000, 40_000_000)]), |entry| {
        entry.status = proto::directory::MemberStatus::Removed;
    });
    let context = network.platform(&[left, network.acquirer("acq-1")]).await;
    let browser = Browser { network, context };
    let checkout = browser.checkout().await;
    let (_, page) = browser.send(Method::GET, &format!("/c/{checkout}"), "").await;
    assert!(page.contains("目前沒有可用的銀行") && !page.contains("<form"), "{page}");
}
