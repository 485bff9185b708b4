//! Every page in both languages, with its policy, and small.

use http::StatusCode;

use super::{
    bank::{Bank, LIN},
    browser::{Browser, Page},
    world::Card,
};

/// What a page may weigh, with everything that it loads.
const BYTES_MAX: usize = 100 * 1024;

fn check(page: &Page, kind: &str, language: &str) {
    assert_eq!((page.status, page.kind()), (StatusCode::OK, kind), "{}", page.html);
    assert!(page.has(&format!("<html lang=\"{language}\">")), "{kind}");
    let has_chinese = page.html.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c) && !"王台北市".contains(c));
    assert_eq!(has_chinese, language == "zh-TW", "{kind} {language}: {}", page.html);
    assert!(page.html.len() < 40_000, "{kind}: {}", page.html.len());
    // A policy without inline code is kept only by pages without inline code.
    for inline in [" style=", " onclick=", "javascript:", "<style"] {
        assert!(!page.has(inline), "{kind}: {inline}");
    }
    for script in page.html.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/app/page."), "{kind}: {script}");
    }
    for address in page.html.split("src=\"").skip(1).chain(page.html.split("<link ").skip(1)) {
        assert!(!address.starts_with("http"), "{kind} loads nothing of others");
    }
    policy(page, kind);
}

fn policy(page: &Page, what: &str) {
    keeps(page, what, &["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]);
}

/// What a page loads runs nothing and sends nothing where somebody opens it by itself.
fn file_policy(file: &Page, what: &str) {
    keeps(file, what, &["default-src 'none'", "sandbox", "frame-ancestors 'none'", "form-action 'none'"]);
    assert!(!file.headers["content-security-policy"].to_str().unwrap().contains("script-src"), "{what}");
}

fn keeps(page: &Page, what: &str, parts: &[&str]) {
    let said = page.headers["content-security-policy"].to_str().unwrap();
    for part in parts {
        assert!(said.contains(part), "{what}: {said}");
    }
    assert!(!said.contains("unsafe") && !said.contains("http"), "{what}: {said}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff", "{what}");
    assert_eq!(page.headers["x-frame-options"], "DENY", "{what}");
}

async fn walk(bank: &Bank, language: &str) {
    let order = bank.order();
    let mut browser = bank.browser().with("accept-language", language);
    check(&browser.get("/").await, "home", language);
    check(&browser.get("/pay").await, "open", language);
    let visit = browser.bring(&order).await;
    check(&browser.get(&visit).await, "open", language);
    check(&browser.get(&format!("{visit}/sign-in?n=wrong")).await, "sign-in", language);
    check(&browser.get(&format!("{visit}/activate")).await, "activate", language);
    browser.sign_in(&visit, LIN).await;
    check(&browser.get(&format!("{visit}/cards?n=funds")).await, "cards", language);
    check(&browser.get(&format!("{visit}/credentials")).await, "credentials", language);
    let confirm = browser.pick(&visit, Card::First).await;
    check(&browser.get(&confirm).await, "confirm", language);
    let charge = browser.post(&confirm, &[]).await.leads_to();
    check(&browser.until(&charge, &["approved"]).await, "charge", language);
    let problem = browser.get("/nowhere").await;
    assert_eq!((problem.status, problem.kind()), (StatusCode::NOT_FOUND, "problem"));
    policy(&problem, "problem");
}

#[tokio::test]
async fn every_page_speaks_both_languages_and_keeps_its_policy() {
    let bank = Bank::open().await;
    for language in ["zh-TW", "en"] {
        walk(&bank, language).await;
    }
}

#[tokio::test]
async fn a_page_with_all_that_it_loads_is_small_and_kept() {
    let bank = Bank::open().await;
    let mut browser = bank.browser();
    let page = browser.get("/").await;
    assert_eq!(page.headers["cache-control"], "no-store");
    let mut bytes = page.html.len();
    for address in addresses(&page) {
        let file = browser.get(&address).await;
        assert_eq!(file.status, StatusCode::OK, "{address}");
        file_policy(&file, &address);
        bytes += file.html.len();
        if address.starts_with("/app/page.") {
            assert!(file.headers["cache-control"].to_str().unwrap().contains("immutable"), "{address}");
        }
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn nothing_is_told_to_whoever_has_no_visit() {
    let bank = Bank::open().await;
    let mut browser: Browser = bank.browser();
    let home = browser.get("/").await;
    assert!(browser.cookies.is_empty(), "looking leaves no cookie");
    assert!(home.has("name=\"link\"") && !home.has("my-cards"));
}

fn addresses(page: &Page) -> Vec<String> {
    let all = page.html.split("src=\"").skip(1).chain(page.html.split("stylesheet\" href=\"").skip(1));
    all.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}
