//! A payment above the configured amount comes from the device that opened the payment page, or not at all.

use acquirer::{page, records::KeptOrder};
use axum::body::Body;
use http::{
    HeaderMap, Request, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use mesh::clock::Clock as _;
use proto::{
    authorization::DeclineReason,
    confirmation::{DeviceConfirmation, check_address, parse_token},
    event::OrderState,
    ids::IssuerId,
    pb,
};
use tower::ServiceExt as _;

use super::bank::{Bank, IssuerBank, PAN, Sent, approved, card, declined, shop, twd};

/// Above this a device is checked.
const LIMIT: i64 = 500;

/// A browser on the payment page, which holds at most one cookie.
struct Browser<'b> {
    bank: &'b Bank,
    cookie: Option<String>,
}

impl<'b> Browser<'b> {
    /// A browser that was led to the page by the shop.
    async fn on_page(bank: &'b Bank, order: &KeptOrder) -> Self {
        let mut browser = Self { bank, cookie: None };
        let path = format!("/pay/{}", order.id());
        let (mut status, headers) = browser.get(&path).await;
        let cookie = headers.get(SET_COOKIE).map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned());
        browser.cookie = cookie;
        // A browser that holds nothing is led on, and comes back with its cookie.
        let mut next = headers.get(LOCATION).cloned();
        while let Some(location) = next {
            let (following, headers) = browser.get(location.to_str().unwrap()).await;
            (status, next) = (following, headers.get(LOCATION).cloned());
        }
        assert_eq!(status, StatusCode::OK);
        browser
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap) {
        let router =
            page::router(page::Parts::of(&self.bank.context, "https://app.example/pay".parse().unwrap(), None));
        let request = Request::builder().uri(path);
        let request = request.header("sec-fetch-dest", "document").header("sec-fetch-mode", "navigate");
        let request = self.cookie.iter().fold(request, |request, cookie| request.header(COOKIE, cookie));
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (answer.status(), answer.headers().clone())
    }

    /// The device check as the app of a bank begins it: where it leads, if it leads anywhere.
    async fn check(&self, order: &KeptOrder, bank: &IssuerId, state: [u8; 32]) -> Result<String, StatusCode> {
        let url = order.signed.order.device_check_url.as_ref().expect("the device is checked");
        let address = check_address(url, bank, &state);
        let (status, headers) = self.get(address.strip_prefix("https://pay.example").unwrap()).await;
        match headers.get(LOCATION) {
            Some(location) => Ok(location.to_str().unwrap().to_owned()),
            None => Err(status),
        }
    }

    /// What an app has after a check that went well.
    async fn confirm(&self, order: &KeptOrder, bank: &IssuerBank, state: [u8; 32]) -> DeviceConfirmation {
        let link = self.check(order, &bank.id, state).await.unwrap();
        let (app, token) = link.split_once("#d=").unwrap();
        assert_eq!(app, format!("https://app.{}.example/pay", bank.id));
        DeviceConfirmation { state, token: parse_token(token).unwrap() }
    }
}

fn request(
    bank: &Bank,
    issuer: &IssuerBank,
    order: &KeptOrder,
    number: u8,
    confirmation: Option<DeviceConfirmation>,
) -> Sent {
    issuer.request_with(order, number, bank.clock.now(), &card(PAN), |request| {
        request.device_confirmation = confirmation;
    })
}

fn checking() -> Bank {
    Bank::checking_devices(vec![twd(LIMIT)])
}

async fn refused(bank: &Bank, sent: &Sent) -> bool {
    let result = bank.authorize(sent).await.unwrap();
    assert_eq!(bank.network.asked().len(), 0, "no card network was asked");
    declined(&result) == Some(DeclineReason::DeviceNotConfirmed)
}

#[tokio::test]
async fn at_the_amount_and_below_nothing_is_needed() {
    let bank = checking();
    for (number, units) in [(1, LIMIT - 1), (2, LIMIT)] {
        let order = bank.order(&format!("R-{number}"), units).await;
        assert_eq!(order.signed.order.device_check_url, None);
        assert!(approved(&bank.authorize(&request(&bank, &bank.a, &order, number, None)).await.unwrap()), "{units}");
    }
    let above = bank.order("R-3", LIMIT + 1).await;
    let url = above.signed.order.device_check_url.as_ref().map(ToString::to_string);
    assert_eq!(url, Some(format!("https://pay.example/pay/{}/device-check", above.id())));
}

#[tokio::test]
async fn the_browser_that_opened_the_page_confirms_the_payment_of_its_own_app() {
    let bank = checking();
    let order = bank.order("R-1", LIMIT + 1).await;
    let shopper = Browser::on_page(&bank, &order).await;
    let confirmation = shopper.confirm(&order, &bank.a, [1; 32]).await;
    let paid = bank.authorize(&request(&bank, &bank.a, &order, 1, Some(confirmation))).await.unwrap();
    assert!(approved(&paid));
}

#[tokio::test]
async fn a_relayed_link_is_refused() {
    let bank = checking();
    let order = bank.order("R-1", LIMIT + 1).await;
    // The attacker opens the page and sends the link on. The victim's browser is another one.
    let attacker = Browser::on_page(&bank, &order).await;
    let victim = Browser { bank: &bank, cookie: None };
    let states = ([1; 32], [2; 32]);
    assert_eq!(victim.check(&order, &bank.a.id, states.1).await, Err(StatusCode::FORBIDDEN));
    // Opening the page does not help the victim: it is the attacker's.
    let victim = Browser::on_page(&bank, &order).await;
    assert_ne!(victim.cookie, attacker.cookie);
    assert_eq!(victim.check(&order, &bank.a.id, states.1).await, Err(StatusCode::FORBIDDEN));
    // Nor does the attacker's own token help the victim's app, which has another state.
    let own = attacker.confirm(&order, &bank.a, states.0).await;
    let relayed = DeviceConfirmation { state: states.1, ..own };
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 1, Some(relayed))).await);
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 2, None)).await, "and none at all least");
}

#[tokio::test]
async fn a_token_of_another_order_or_bank_or_time_is_refused() {
    let bank = checking();
    let (order, other) = (bank.order("R-1", LIMIT + 1).await, bank.order("R-2", LIMIT + 1).await);
    let shopper = Browser::on_page(&bank, &order).await;
    let on_other = Browser::on_page(&bank, &other).await;
    let foreign = on_other.confirm(&other, &bank.a, [1; 32]).await;
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 1, Some(foreign))).await, "another order's");
    let for_b = shopper.confirm(&order, &bank.b, [1; 32]).await;
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 2, Some(for_b))).await, "another bank's");
    let forged = DeviceConfirmation { state: [1; 32], token: vec![1; 41].into() };
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 3, Some(forged))).await, "nobody's");
    let late = shopper.confirm(&order, &bank.a, [1; 32]).await;
    bank.clock.advance(acquirer::device_check::TOKEN_LIFE + std::time::Duration::from_millis(1));
    assert!(refused(&bank, &request(&bank, &bank.a, &order, 4, Some(late))).await, "five minutes ago");
    let again = shopper.confirm(&order, &bank.a, [1; 32]).await;
    assert!(approved(&bank.authorize(&request(&bank, &bank.a, &order, 5, Some(again))).await.unwrap()));
}

#[tokio::test]
async fn a_refusal_is_told_to_the_shop_and_not_counted_and_final_for_its_id() {
    let bank = checking();
    let order = bank.order("R-1", LIMIT + 1).await;
    let first = request(&bank, &bank.a, &order, 1, None);
    assert!(refused(&bank, &first).await);
    for number in 2..=7 {
        assert!(refused(&bank, &request(&bank, &bank.a, &order, number, None)).await);
    }
    let state = bank.state(&order).await;
    assert_eq!((state.name(), state.course().declines), (OrderState::Open, 0), "more than five, and still open");
    let events = bank.events(&shop()).await;
    assert_eq!(events.len(), 7);
    assert!(events.iter().all(|event| event.state == OrderState::Open && event.authorization.is_some()));
    let shopper = Browser::on_page(&bank, &order).await;
    let confirmation = shopper.confirm(&order, &bank.a, [1; 32]).await;
    assert!(approved(&bank.authorize(&request(&bank, &bank.a, &order, 8, Some(confirmation))).await.unwrap()));
    let repeated = bank.restarted().authorize(&first).await.unwrap();
    assert_eq!(declined(&repeated), Some(DeclineReason::DeviceNotConfirmed), "the recorded result");
}

#[tokio::test]
async fn a_bank_that_takes_no_payments_is_not_led_to() {
    let bank = checking();
    let order = bank.order("R-1", LIMIT + 1).await;
    let shopper = Browser::on_page(&bank, &order).await;
    assert_eq!(shopper.check(&order, &"bank-z".parse().unwrap(), [1; 32]).await, Err(StatusCode::CONFLICT));
    bank.set_status_of_a(pb::MemberStatus::Suspended);
    assert_eq!(shopper.check(&order, &bank.a.id, [1; 32]).await, Err(StatusCode::CONFLICT));
    assert!(shopper.check(&order, &bank.b.id, [1; 32]).await.is_ok());
}

#[tokio::test]
async fn the_confirmation_outlives_a_restart() {
    let bank = checking();
    let order = bank.order("R-1", LIMIT + 1).await;
    let confirmation = Browser::on_page(&bank, &order).await.confirm(&order, &bank.a, [1; 32]).await;
    let sent = request(&bank, &bank.a, &order, 1, Some(confirmation));
    assert!(approved(&bank.restarted().authorize(&sent).await.unwrap()));
}
