//! What must never happen: another browser's visit, another site's form, a secret in a page.

use std::time::Duration;

use http::{Method, StatusCode};
use issuer::{app::clear_ended, records::Visit, repository::Repository};

use super::{
    bank::{Bank, LIN},
    world::{Card, PAN, settle_down},
};

#[tokio::test]
async fn a_visit_is_its_own_browsers() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    for mut other in [bank.browser(), {
        let mut known = bank.browser();
        known.bring(&order).await;
        known
    }] {
        for page in ["", "/sign-in", "/step-up", "/cards", "/credentials", "/activate"] {
            let page = other.get(&format!("{visit}{page}")).await;
            assert_eq!((page.status, page.kind()), (StatusCode::NOT_FOUND, "problem"));
            assert!(!page.has("Bookshop") && page.has("href=\"/\""));
        }
        for (page, fields) in [("card", vec![("card", Card::First.id().to_string())]), ("sign-out", vec![])] {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let page = other.post(&format!("{visit}/{page}"), &fields).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(other.post(&confirm, &[]).await.status, StatusCode::NOT_FOUND);
    }
    settle_down().await;
    assert!(bank.world.acquirer.received().is_empty());
    for id in ["x", &"a".repeat(26), "aaaaaaaaaaaaaaaaaaaaaaaaa!", &"a".repeat(500)] {
        let page = browser.get(&format!("/v/{id}/cards")).await;
        assert_eq!((page.status, page.kind()), (StatusCode::NOT_FOUND, "problem"), "{id}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let own = format!("http://{}", bank.address);
    for (site, origin) in [("cross-site", own.as_str()), ("same-site", &own), ("", ""), ("", "https://evil.example")] {
        let mut forged = browser.clone().with("sec-fetch-site", site).with("origin", origin);
        for path in [confirm.as_str(), &format!("{visit}/sign-out"), &format!("{visit}/card"), "/pay", "/start"] {
            let page = forged.post(path, &[("card", Card::First.id().as_str())]).await;
            assert_eq!((page.status, page.kind()), (StatusCode::FORBIDDEN, "problem"), "{path} {site} {origin}");
        }
    }
    settle_down().await;
    assert!(bank.world.acquirer.received().is_empty());
    let mut older = browser.clone().with("sec-fetch-site", "").with("origin", &own);
    assert_eq!(older.post(&confirm, &[]).await.status, StatusCode::SEE_OTHER, "an older browser names the origin");
    let wrong = browser.send(Method::PUT, &confirm, String::new()).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        browser.send(Method::GET, &format!("{visit}/card"), String::new()).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn no_secret_stands_in_a_page_or_an_address() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let token = browser.cookies.iter().find(|(name, _)| name.starts_with("__Host-session-")).unwrap().1.clone();
    let secret = browser.cookies["__Host-browser"].clone();
    browser.get(&format!("{visit}/credentials")).await;
    let confirm = browser.pick(&visit, Card::First).await;
    browser.get(&confirm).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
    browser.get("/").await;
    let decode = |text: &str| {
        let once = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        String::from_utf8(once).unwrap()
    };
    let (inside, secret_inside) = (decode(&token), decode(&secret));
    for seen in &browser.seen {
        for hidden in [PAN, LIN[0], LIN[1], LIN[2], &token, &inside, &secret, &secret_inside, "123\""] {
            assert!(!seen.contains(hidden), "{hidden} in {seen}");
        }
    }
}

#[tokio::test]
async fn a_malformed_form_is_a_page_and_nothing_else() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let cases: [(String, Vec<(&str, &str)>); 8] = [
        ("/pay".into(), vec![("link", "hello")]),
        ("/pay".into(), vec![("link", "https://app.bank.example/pay#o=!!!")]),
        ("/pay".into(), vec![("link", "#c=ABC")]),
        (format!("{visit}/card"), vec![("card", "4000000000000002")]),
        (format!("{visit}/card"), vec![]),
        (confirm.clone(), vec![("consent", "!"), ("signature", "!")]),
        (format!("{visit}/step-up"), vec![("proof", "pin")]),
        (format!("{visit}/remove"), vec![("id", "!")]),
    ];
    for (path, fields) in cases {
        let page = browser.post(&path, &fields).await;
        assert_eq!((page.status, page.kind()), (StatusCode::BAD_REQUEST, "problem"), "{path} {fields:?}");
        assert!(page.has("href=\"/\""), "there is a way on");
    }
    let waits_for_nothing = browser.post("/pay", &[("link", "#d=AAAA")]).await;
    assert_eq!((waits_for_nothing.status, waits_for_nothing.kind()), (StatusCode::CONFLICT, "problem"));
    let mut forged = order.signed.to_pb();
    forged.signature = vec![0; 64].into();
    let link = proto::link::payment_link(&"https://app.bank.example/pay".parse().unwrap(), &forged);
    let page = browser.post("/pay", &[("link", &link)]).await;
    assert!(page.has("Do not pay this order"), "{}", page.html);
}

#[tokio::test]
async fn a_visit_that_has_ended_is_cleared_away() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let (old, second) = (bank.order(), Duration::from_secs(1));
    bank.world.clock.advance(Duration::from_secs(900 + 24 * 3600) - second);
    assert_eq!(clear_ended(&bank.run.ctx).await.unwrap(), 0);
    assert_eq!(browser.get(&visit).await.status, StatusCode::GONE, "the order's time is over, and it says so");
    bank.world.clock.advance(second);
    assert_eq!(browser.get(&visit).await.status, StatusCode::NOT_FOUND);
    bank.world.clock.advance(Duration::from_millis(1));
    assert_eq!(clear_ended(&bank.run.ctx).await.unwrap(), 1);
    let durable = Repository::new(std::sync::Arc::clone(&bank.world.disk) as std::sync::Arc<_>);
    let id = visit.strip_prefix("/v/").unwrap();
    assert!(durable.load(&Visit::at(id)).await.unwrap().is_none());
    let link = proto::link::payment_link(&"https://app.bank.example/pay".parse().unwrap(), &old.signed.to_pb());
    let page = browser.post("/pay", &[("link", &link)]).await;
    assert_eq!((page.status, page.kind()), (StatusCode::GONE, "problem"));
}
