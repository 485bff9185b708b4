//! A checkout belongs to the browsers that were led to it.

use super::*;

async fn opens(browser: &Browser<'_>, checkout: &str) -> bool {
    let answer = browser.get(&format!("/c/{checkout}")).await;
    match answer.status {
        StatusCode::OK => true,
        StatusCode::FORBIDDEN => {
            assert!(answer.body.contains("data-page=\"other-browser\""), "{}", answer.body);
            assert!(!answer.body.contains("<form") && !answer.body.contains("books.example"), "{}", answer.body);
            false
        }
        other => panic!("{other}: {}", answer.body),
    }
}

#[tokio::test]
async fn the_first_browser_keeps_it() {
    let world = World::new().await;
    let (own, other, checkout) = (world.browser(), world.browser(), world.publish().await);
    let head = own.send(Method::HEAD, &format!("/c/{checkout}"), "", "cross-site").await;
    assert!(head.status.is_success() && !head.headers.contains_key(SET_COOKIE), "a look at the head opens nothing");
    for _ in 0..2 {
        assert!(opens(&own, &checkout).await);
        assert!(!opens(&other, &checkout).await);
    }
    let picked = other.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await;
    assert_eq!(picked.status, StatusCode::FORBIDDEN, "nor does it pick a bank");
    assert_eq!(other.get(&format!("/c/{checkout}/app")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(own.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn two_at_once_are_one_too_many() {
    let world = World::new().await;
    let (a, b, checkout) = (world.browser(), world.browser(), world.publish().await);
    let (a, b) = tokio::join!(opens(&a, &checkout), opens(&b, &checkout));
    assert!(a != b, "{a} {b}");
}

#[tokio::test]
async fn each_click_on_the_payment_page_lets_one_more_browser_in() {
    let world = World::new().await;
    let (laptop, tablet, stranger) = (world.browser(), world.browser(), world.browser());
    let checkout = world.publish().await;
    assert!(opens(&laptop, &checkout).await);
    assert_eq!(world.publish().await, checkout);
    assert!(opens(&laptop, &checkout).await, "its own shopper clicked again");
    assert!(!opens(&stranger, &checkout).await, "which lets nobody else in");
    world.publish().await;
    assert!(opens(&tablet, &checkout).await && opens(&laptop, &checkout).await);
    assert!(!opens(&stranger, &checkout).await);
}

#[tokio::test]
async fn a_preview_or_a_page_loaded_ahead_takes_nobodys_place() {
    let world = World::new().await;
    let (own, later, checkout) = (world.browser(), world.browser(), world.publish().await);
    let path = format!("/c/{checkout}");
    let ahead = [WINDOW[0], WINDOW[1], ("sec-purpose", "prefetch;prerender")];
    let frame = [("sec-fetch-dest", "iframe"), WINDOW[1]];
    for says in [&[][..], &ahead, &frame] {
        let answer = world.browser().send_with(Method::GET, &path, "", says).await;
        assert_eq!(answer.status, StatusCode::OK, "{says:?}");
        world.browser().send_with(Method::GET, &format!("{path}/app"), "", says).await;
    }
    assert!(opens(&own, &checkout).await && !opens(&later, &checkout).await);
    let looked = world.browser().send_with(Method::GET, &path, "", &[]).await;
    assert_eq!(looked.status, StatusCode::FORBIDDEN, "nor does it see what is another browser's");
}

#[tokio::test]
async fn a_browser_that_cannot_say_what_it_does_opens_it_by_its_form() {
    let world = World::new().await;
    let (older, later, checkout) = (world.browser(), world.browser(), world.publish().await);
    let path = format!("/c/{checkout}");
    assert_eq!(older.send_with(Method::GET, &path, "", &[]).await.status, StatusCode::OK);
    let own = [("origin", world.context.public_url.as_str())];
    let picked = older.send_with(Method::POST, &format!("{path}/bank"), "bank=bank-a", &own).await;
    let handoff = older.send_with(Method::GET, picked.leads_to(), "", &[]).await;
    assert!(handoff.status == StatusCode::OK && handoff.body.contains("open-app"), "{}", handoff.body);
    assert!(!opens(&later, &checkout).await);
}
