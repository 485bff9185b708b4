//! A phone's camera that has read the QR code.

use proto::link::payment_link;

use super::*;

/// What the landing page's script posts.
fn form(link: &str) -> String {
    format!("order={}", link.split_once("#o=").unwrap().1)
}

fn order(world: &World, number: u8) -> String {
    let order = world.network.order("acq-1", number).signed.to_pb();
    form(&payment_link(&"https://pay.network.example/pay".parse().unwrap(), &order))
}

#[tokio::test]
async fn the_order_opens_its_checkout_in_this_browser() {
    let world = World::new().await;
    let phone = world.browser();
    let landing = phone.get("/pay").await;
    assert_eq!(landing.status, StatusCode::OK);
    assert!(landing.body.contains("data-page=\"landing\"") && landing.body.contains("<noscript>"), "{}", landing.body);
    let opened = phone.post("/pay", &order(&world, 1)).await;
    let picker = phone.get(opened.leads_to()).await;
    assert_eq!(picker.status, StatusCode::OK);
    assert!(picker.body.contains("href=\"https://books.example/paid\""), "the shop is the only known way back");
    assert_eq!(phone.post("/pay", &order(&world, 1)).await.leads_to(), opened.leads_to(), "scanned again");
    assert_eq!(world.browser().get(opened.leads_to()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_phone_and_the_shoppers_computer_do_not_lock_each_other_out() {
    let world = World::new().await;
    let (phone, laptop, stranger) = (world.browser(), world.browser(), world.browser());
    let opened = phone.post("/pay", &order(&world, 1)).await;
    let checkout = world.publish().await;
    assert_eq!(opened.leads_to(), format!("/c/{checkout}"));
    assert_eq!(laptop.get(opened.leads_to()).await.status, StatusCode::OK);
    assert_eq!(phone.get(opened.leads_to()).await.status, StatusCode::OK);
    assert_eq!(stranger.get(opened.leads_to()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_checkout_takes_so_many_browsers_and_no_more() {
    let world = World::new().await;
    let first = world.browser();
    first.post("/pay", &order(&world, 1)).await;
    for _ in 1..8 {
        assert_eq!(world.browser().post("/pay", &order(&world, 1)).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(world.browser().post("/pay", &order(&world, 1)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(first.post("/pay", &order(&world, 1)).await.status, StatusCode::SEE_OTHER, "nobody was pushed out");
}

#[tokio::test]
async fn what_is_no_order_of_a_member_is_refused() {
    let world = World::new().await;
    let phone = world.browser();
    let foreign = Network::new();
    let strange = foreign.order("acq-1", 1).signed.to_pb();
    let unknown = world.network.order("acq-9", 1).signed.to_pb();
    let link = |order| form(&payment_link(&"https://pay.network.example/pay".parse().unwrap(), &order));
    let long = format!("order={}", "A".repeat(4_000));
    for bad in ["", "order=", "order=A", "order=%00", "o=1", &long, &link(strange), &link(unknown)] {
        let answer = phone.post("/pay", bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.body.contains("這不是有效的付款連結"), "{}", answer.body);
    }
    let late = order(&world, 1);
    world.network.clock.advance(std::time::Duration::from_secs(17 * 60));
    assert_eq!(phone.post("/pay", &late).await.status, StatusCode::GONE);
}
