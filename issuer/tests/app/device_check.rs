//! An order that is paid on the device that opened the payment page: the way over the acquirer, and what travels.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use proto::order::SignedOrder;

use super::{
    bank::{Bank, LIN},
    browser::Browser,
    world::{Card, settle_down},
};

fn checked(bank: &Bank) -> SignedOrder {
    let url = "https://pay.acquirer.example/device".parse().unwrap();
    bank.world.acquirer.order_with("TWD", 50_000, |order| order.device_check_url = Some(url))
}

/// The address to which the page leads.
async fn address(browser: &mut Browser, confirm: &str) -> String {
    let page = browser.get(confirm).await;
    assert_eq!(page.kind(), "device-check", "{}", page.html);
    let (_, rest) = page.html.split_once("device-check\" href=\"").unwrap();
    rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&")
}

fn state(address: &str) -> Vec<u8> {
    let text = address.strip_prefix("https://pay.acquirer.example/device?bank=bank-aurora&state=").unwrap();
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn the_device_is_checked_before_the_confirmation_and_the_proof_travels() {
    let bank = Bank::open().await;
    let order = checked(&bank);
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let led = address(&mut browser, &confirm).await;
    assert_eq!(address(&mut browser, &confirm).await, led, "a reload and a second tab have the same state");
    // Whoever skips the check is sent there.
    assert_eq!(browser.post(&confirm, &[]).await.leads_to(), confirm);

    let led = address(&mut browser, &confirm).await;
    let back = browser.post("/pay", &[("link", "#d=dG9rZW4")]).await;
    assert_eq!(back.leads_to(), format!("{confirm}?n=confirmed"));
    assert_eq!(browser.get(&confirm).await.kind(), "confirm");
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
    let received = bank.world.acquirer.received();
    let (request, _) = received.first().unwrap();
    let confirmation = request.device_confirmation.as_ref().unwrap();
    assert_eq!((confirmation.state.to_vec(), confirmation.token.clone()), (state(&led), Bytes::from_static(b"token")));
}

#[tokio::test]
async fn a_confirmation_of_another_browser_or_of_yesterday_is_none() {
    let bank = Bank::open().await;
    let order = checked(&bank);
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let first = address(&mut browser, &confirm).await;

    // The victim of a relayed link has no check under way.
    let mut victim = bank.browser();
    victim.bring(&order).await;
    let refused = victim.post("/pay", &[("link", "#d=dG9rZW4")]).await;
    assert_eq!(refused.kind(), "problem");

    // One that comes after another card was picked confirms nothing, and the way leads back to the payment.
    let other = browser.pick(&visit, Card::Second).await;
    let late = browser.post("/pay", &[("link", "#d=dG9rZW4")]).await;
    assert!(late.kind() == "problem" && late.has(&format!("href=\"{visit}\"")), "{}", late.html);
    address(&mut browser, &other).await;

    browser.post("/pay", &[("link", "#d=dG9rZW4")]).await;
    bank.world.clock.advance(Duration::from_secs(240));
    let again = address(&mut browser, &confirm).await;
    assert_ne!(state(&first), state(&again), "another check has another state");
    settle_down().await;
    assert!(bank.world.acquirer.received().is_empty());
}
