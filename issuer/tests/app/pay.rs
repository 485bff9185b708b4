//! Paying: from the link to the result, and that nothing is ever charged twice.

use http::StatusCode;
use issuer::domain::charge::State;
use proto::authorization::DeclineReason;

use super::{
    acquirer::Reply,
    bank::{Bank, LIN, WU},
    world::{Card, policy, settle_down},
};

#[tokio::test]
async fn a_customer_pays_without_any_script() {
    let bank = Bank::open().await;
    let order = bank.order();
    let mut browser = bank.browser();
    let visit = browser.bring(&order).await;

    let open = browser.get(&visit).await;
    assert_eq!((open.status, open.kind()), (StatusCode::OK, "open"));
    for shown in ["Bookshop", "books.example", "NT$300", "王**, 台北市", "https://books.example/thanks"] {
        assert!(open.has(shown), "{shown}: {}", open.html);
    }
    let sign_in = browser.get(&format!("{visit}/sign-in")).await;
    assert_eq!(sign_in.kind(), "sign-in");
    for proof in ["knowledge", "possession", "inherence", "passkey"] {
        assert!(sign_in.has(&format!("data-proof=\"{proof}\"")), "{proof}");
    }
    let page = browser.sign_in(&visit, LIN).await;
    let cards = browser.follow(page).await;
    assert_eq!(cards.kind(), "cards");
    for (kind, reason) in
        [("credit", "blocked"), ("credit", "expired"), ("credit", "other-currency"), ("debit", "insufficient-funds")]
    {
        assert!(cards.has(&format!("data-kind=\"{kind}\" data-unusable=\"{reason}\" disabled")), "{reason}");
    }
    let confirm = browser.pick(&visit, Card::First).await;
    let page = browser.get(&confirm).await;
    assert_eq!(page.kind(), "confirm");
    for shown in ["Bookshop", "books.example", "NT$300", "王**, 台北市", "First", "0002"] {
        assert!(page.has(shown), "{shown}");
    }
    let charge = browser.post(&confirm, &[]).await.leads_to();
    let paid = browser.until(&charge, &["approved"]).await;
    assert!(paid.has("A1B2C3") && paid.has("back-to-shop") && !paid.has("other-card"), "{}", paid.html);
    assert_eq!(bank.world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn whatever_is_sent_again_is_the_same_charge() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    assert_eq!(browser.pick(&visit, Card::First).await, confirm, "picked again before it was confirmed");

    // A double click, and a second tab.
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(one.post(&confirm, &[]), two.post(&confirm, &[]));
    let charge = first.leads_to();
    assert_eq!(second.leads_to(), charge);
    browser.until(&charge, &["approved"]).await;

    // A reload of the form, the back button, the link once more, and the cards.
    assert_eq!(browser.post(&confirm, &[]).await.leads_to(), charge);
    assert_eq!(browser.get(&confirm).await.leads_to(), charge);
    assert_eq!(browser.bring(&order).await, visit);
    assert_eq!(browser.get(&format!("{visit}/cards")).await.leads_to(), charge);
    let again = browser.post(&format!("{visit}/card"), &[("card", Card::Second.id().as_str())]).await;
    assert_eq!(again.leads_to(), charge);
    settle_down().await;
    assert_eq!(bank.world.acquirer.received().len(), 1);
    assert_eq!(bank.world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn two_tabs_with_two_cards_end_at_one_charge() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let first = browser.pick(&visit, Card::First).await;
    let second = browser.pick(&visit, Card::Second).await;
    assert_ne!(first, second);
    bank.world.acquirer.then(Reply::Silence);
    let charge = browser.post(&first, &[]).await.leads_to();
    assert_eq!(browser.post(&second, &[]).await.leads_to(), charge, "the one that is under way");

    // Another browser of the same customer is led there, too; another customer is told no more than that.
    let (mut other, visit) = bank.paying(&order, LIN).await;
    let confirm = other.pick(&visit, Card::First).await;
    let led = other.post(&confirm, &[]).await.leads_to();
    assert_eq!(led.rsplit('/').next(), charge.rsplit('/').next());
    assert_eq!(other.get(&led).await.kind(), "charge");
    let (mut stranger, visit) = bank.paying(&order, WU).await;
    let confirm = stranger.pick(&visit, Card::OfWu).await;
    let refused = stranger.post(&confirm, &[]).await;
    assert_eq!((refused.status, refused.kind()), (StatusCode::CONFLICT, "problem"));
    assert!(refused.has("back-to-shop"));
    let foreign = format!("{visit}/charge/{}", charge.rsplit('/').next().unwrap());
    let hidden = stranger.get(&foreign).await;
    assert_eq!((hidden.status, hidden.kind()), (StatusCode::NOT_FOUND, "problem"));
    assert!(!hidden.has("NT$300"));
}

#[tokio::test]
async fn a_decline_says_why_and_another_card_may_pay() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    bank.world.acquirer.then(Reply::Decline(DeclineReason::SuspectedFraud));
    let confirm = browser.pick(&visit, Card::First).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    let declined = browser.until(&charge, &["declined"]).await;
    assert!(declined.has("was not approved") && declined.has("other-card") && declined.has("back-to-shop"));
    assert_eq!(browser.get(&confirm).await.leads_to(), charge, "the back button leads to the result");

    assert_eq!(browser.get(&format!("{visit}/cards")).await.status, StatusCode::OK);
    let same = browser.pick(&visit, Card::First).await;
    assert_ne!(same, confirm, "the same card again is another try");
    let confirm = browser.pick(&visit, Card::Second).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
    assert_eq!(bank.world.account("credit-lin").await, (70_000, 0, 30_000));

    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    bank.world.acquirer.then(Reply::Decline(DeclineReason::OrderCancelled));
    let confirm = browser.pick(&visit, Card::First).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    let over = browser.until(&charge, &["declined"]).await;
    assert!(over.has("cancelled") && !over.has("other-card"), "{}", over.html);
}

#[tokio::test]
async fn an_unknown_result_is_followed_live_and_after_the_session() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    bank.world.acquirer.then(Reply::ApproveUnheard);
    let confirm = browser.pick(&visit, Card::First).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    let unknown = browser.until(&charge, &["unknown"]).await;
    assert!(unknown.has("You can close this page") && unknown.has("http-equiv=\"refresh\""), "{}", unknown.html);
    assert!(unknown.has(&format!("data-events=\"{charge}/events\"")));

    // The stream tells each state, and ends with the final one.
    let mut watching = browser.clone();
    let events = format!("{charge}/events");
    let stream = tokio::spawn(async move { watching.get(&events).await });
    settle_down().await;
    bank.world.clock.advance(std::time::Duration::from_secs(1000));
    bank.run.ask();
    let id = charge.rsplit('/').next().unwrap().parse().unwrap();
    super::world::within_patience(async {
        loop {
            let charge = issuer::charges::load(&bank.run.ctx, &"lin".parse().unwrap(), &id).await.unwrap();
            if matches!(charge.state, State::Approved { .. }) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let told = stream.await.unwrap();
    assert!(told.html.contains("data: unknown"), "{}", told.html);

    // By now the session is over, and so is the order's time: the customer signs in to look.
    let ended = browser.get(&charge).await;
    assert_eq!(ended.leads_to(), format!("{visit}/sign-in?n=ended"));
    let page = browser.follow(ended).await;
    assert!(page.has("data-notice=\"ended\""), "{}", page.html);
    let page = browser.sign_in(&visit, LIN).await;
    let page = browser.follow(page).await;
    assert_eq!((page.kind(), page.state()), ("charge", "approved"));
    assert_eq!(bank.world.acquirer.received().len(), 1);
}

#[tokio::test]
async fn a_session_that_has_ended_leads_back_to_the_same_payment() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    bank.world.clock.advance(std::time::Duration::from_secs(301));
    let ended = browser.post(&confirm, &[]).await;
    assert_eq!(ended.leads_to(), format!("{visit}/sign-in?n=ended"));
    assert_eq!(browser.cookies.len(), 1, "the session's cookie is gone");
    let back = browser.sign_in(&visit, LIN).await;
    assert_eq!(back.leads_to(), confirm, "the very charge that was about to be confirmed");
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
}

#[tokio::test]
async fn one_more_proof_is_asked_for_before_the_payment() {
    let bank = Bank::with_policy(policy("profile = \"two_of_three\"")).await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    assert_eq!(browser.get(&confirm).await.leads_to(), format!("{visit}/step-up?n=step"));
    let page = browser.get(&format!("{visit}/step-up?n=step")).await;
    assert_eq!(page.kind(), "step-up");
    assert!(!page.has("data-proof=\"knowledge\"") && page.has("data-proof=\"possession\""), "{}", page.html);
    assert!(page.has(&format!("{visit}/activate")), "who has no device yet is not left alone");
    // Whoever posts past the page meets the same.
    assert_eq!(browser.post(&confirm, &[]).await.leads_to(), format!("{visit}/step-up?n=step"));
    settle_down().await;
    assert!(bank.world.acquirer.received().is_empty());
}

#[tokio::test]
async fn a_card_that_cannot_pay_leads_back_to_the_cards() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    for (card, notice) in [(Card::Blocked, "card"), (Card::Debit, "funds"), (Card::OfWu, "card")] {
        let confirm = browser.pick(&visit, card).await;
        assert_eq!(browser.get(&confirm).await.leads_to(), format!("{visit}/cards?n=card"), "{card:?}");
        assert_eq!(browser.post(&confirm, &[]).await.leads_to(), format!("{visit}/cards?n={notice}"), "{card:?}");
    }
    assert!(bank.world.claim(&order).await.is_none());
}

#[tokio::test]
async fn cards_that_can_pay_stand_first_and_without_one_the_page_says_so() {
    let bank = Bank::open().await;
    let (mut browser, visit) = bank.paying(&bank.order(), LIN).await;
    let cards = browser.get(&format!("{visit}/cards")).await;
    let (usable, unusable) = cards.html.split_once("data-unusable").unwrap();
    assert!(usable.contains("0002") && !unusable.contains("Available"), "{}", cards.html);
    assert!(!cards.has("none-can-pay"));

    let order = bank.world.acquirer.order_with("EUR", 1_000, |_| ());
    let (mut browser, visit) = bank.paying(&order, WU).await;
    let cards = browser.get(&format!("{visit}/cards")).await;
    assert!(
        cards.has("none-can-pay") && cards.has("back-to-shop") && cards.has("In another currency"),
        "{}",
        cards.html
    );
}
