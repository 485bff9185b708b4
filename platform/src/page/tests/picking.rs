//! The picker, and what a click on a bank leads to.

use super::*;

/// The banks of a picker in their order.
fn banks(page: &str) -> Vec<&str> {
    page.split("<button name=\"bank\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The link on a handoff.
fn link(page: &str) -> &str {
    let (_, rest) = page.split_once("class=\"button open-app\" rel=\"noreferrer\" href=\"").expect("a link");
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn the_picker_shows_the_shop_the_amount_and_the_banks() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    world.say("bank-b", Health::Unreachable);
    let page = browser.get(&format!("/c/{checkout}")).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = page.body;
    assert!(page.contains("data-page=\"picker\"") && page.contains("books.example"), "{page}");
    assert!(page.contains("NT$1,499"), "{page}");
    assert!(page.contains(&format!("action=\"/c/{checkout}/bank\"")), "{page}");
    assert!(page.contains("value=\"bank-a\">") && page.contains("value=\"bank-b\" disabled>"), "{page}");
    assert!(page.contains("<span class=\"reason\">連線中斷</span>"), "{page}");
    assert!(page.contains(&format!("class=\"back-to-payment\" href=\"{PAYMENT_PAGE}\"")), "{page}");
    // What others wrote is text here, never markup.
    assert!(!page.contains("<b>More") && !page.contains("<i>") && !page.contains("xmlns='"), "{page}");
}

#[tokio::test]
async fn the_pages_speak_the_browsers_language_and_name_the_bank_in_both() {
    let world = World::new().await;
    let english = Browser { language: "en-GB", ..world.browser() };
    let page = english.get(&format!("/c/{}", world.publish().await)).await.body;
    assert!(page.contains("<html lang=\"en\">") && page.contains("Choose your bank"), "{page}");
    assert!(page.contains("Bank bank-b") && page.contains("lang=\"zh-TW\">銀行 bank-b"), "{page}");
    assert!(!page.contains("選擇付款銀行"), "one language at a time: {page}");
}

#[tokio::test]
async fn a_search_finds_banks_by_either_name_and_by_id() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    for (search, found) in [
        ("", &["bank-a", "bank-b"][..]),
        ("aurora", &["bank-a"]),
        ("%20AURORA+", &["bank-a"]),
        ("BANK-B", &["bank-b"]),
        ("%E9%8A%80%E8%A1%8C%20bank-b", &["bank-b"]),
        ("nobody", &[]),
        ("%22%3E%3Cscript%3E", &[]),
    ] {
        let page = browser.get(&format!("/c/{checkout}?q={search}")).await.body;
        assert_eq!(banks(&page), found, "{search}");
        assert_eq!(page.contains("class=\"none\" role=\"status\" hidden"), !found.is_empty(), "{search}: {page}");
        assert!(!page.contains("\"><script>"), "{page}");
    }
}

#[tokio::test]
async fn a_logo_is_an_image_under_a_name_of_its_own() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    let page = browser.get(&format!("/c/{checkout}")).await.body;
    let (_, rest) = page.split_once("<img src=\"").unwrap();
    let path = rest.split('"').next().unwrap();
    let logo = browser.get(path).await;
    assert_eq!((logo.status, &logo.headers[CONTENT_TYPE]), (StatusCode::OK, &"image/svg+xml".parse().unwrap()));
    assert_eq!(logo.body, "<svg xmlns='http://www.w3.org/2000/svg'/>");
    assert!(logo.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let policy = logo.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'; sandbox;") && !policy.contains("'self'"), "{policy}");
    for missing in ["/c/logos/bank-a.000000000000.svg", "/c/logos/bank-b.svg", "/c/logos/x", "/c/logos/bank-z.1.svg"] {
        assert_eq!(browser.get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn picking_leads_to_the_handoff_and_from_there_into_the_banks_app() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    let picked = browser.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await;
    assert_eq!(picked.leads_to(), format!("/c/{checkout}/app"));
    let handoff = browser.get(picked.leads_to()).await;
    assert_eq!(handoff.status, StatusCode::OK);
    let code = link(&handoff.body).strip_prefix("https://app.bank-a.example/pay#c=").unwrap().to_owned();
    for way in ["class=\"again\"", "class=\"button second other-bank\"", "class=\"back-to-payment\""] {
        assert!(handoff.body.contains(way), "{way}: {}", handoff.body);
    }
    // Looking again shows the same; trying again makes another code, and both open the app.
    assert_eq!(link(&browser.get(picked.leads_to()).await.body), link(&handoff.body));
    browser.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await;
    let again = browser.get(picked.leads_to()).await.body;
    assert_ne!(link(&again), link(&handoff.body));
    assert!(checkouts::redeem(&world.context, &code, &[1; 16]).await.is_ok());
    let other = browser.get(&format!("/c/{checkout}")).await.body;
    assert!(!other.contains(&code), "the code stands on the handoff alone");
}

#[tokio::test]
async fn a_handoff_without_a_code_leads_back_to_the_picker() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    let handoff = format!("/c/{checkout}/app");
    let picker = format!("/c/{checkout}");
    assert_eq!(browser.get(&handoff).await.leads_to(), picker);
    assert_eq!(browser.get(&format!("/c/{checkout}/bank")).await.leads_to(), picker);
    // A cookie that names another address than the bank's own app opens nothing.
    let name = format!("bankside-app-{checkout}");
    for forged in ["bank-a https://evil.example/pay#c=A", "bank-z https://app.bank-a.example/pay#c=A", "bank-a", ""] {
        let set = mesh::web::cookie::set(&name, forged, None);
        let value = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap().1.to_owned();
        browser.cookies.lock().unwrap().insert(format!("__Host-{name}"), value);
        assert_eq!(browser.get(&handoff).await.leads_to(), picker, "{forged}");
    }
}

#[tokio::test]
async fn the_bank_that_was_used_last_comes_first_as_long_as_it_can_be_used() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    let path = format!("/c/{checkout}");
    assert!(!browser.get(&path).await.body.contains("class=\"last\""));
    browser.post(&format!("{path}/bank"), "bank=bank-b").await;
    let page = browser.get(&path).await.body;
    assert_eq!(banks(&page), ["bank-b", "bank-a"]);
    assert!(page.contains("<span class=\"last\">上次使用</span>"), "{page}");
    world.say("bank-b", Health::Unreachable);
    assert_eq!(banks(&browser.get(&path).await.body), ["bank-a", "bank-b"]);
}

#[tokio::test]
async fn a_bank_that_cannot_be_picked_leads_back_to_the_picker() {
    let world = World::new().await;
    let (browser, checkout) = (world.browser(), world.publish().await);
    world.say("bank-b", Health::Unreachable);
    for form in ["bank=bank-b", "bank=bank-z", "bank=", "", "other=1"] {
        let answer = browser.post(&format!("/c/{checkout}/bank"), form).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{form}");
        let page = answer.body;
        assert!(page.contains("請選擇另一家") && page.contains("value=\"bank-a\""), "{form}: {page}");
    }
}

#[tokio::test]
async fn a_network_without_banks_says_so() {
    let network = Network::new();
    let left = next(&network.bank("bank-a", &[(40_000_000, 40_000_000)]), |entry| {
        entry.status = proto::directory::MemberStatus::Removed;
    });
    let context = network.platform(&[left, network.acquirer("acq-1")]).await;
    let world = World { network, context };
    let page = world.browser().get(&format!("/c/{}", world.publish().await)).await.body;
    assert!(page.contains("目前沒有可用的銀行") && !page.contains("<form"), "{page}");
    assert!(page.contains(PAYMENT_PAGE), "there is a way on: {page}");
}

#[tokio::test]
async fn a_browser_carries_a_few_codes_at_most() {
    let world = World::new().await;
    let browser = world.browser();
    // What doesn't name a checkout is never written back into a header.
    browser.cookies.lock().unwrap().insert("__Host-bankside-app-x".to_owned(), "YQ".to_owned());
    let mut handoffs = Vec::new();
    for number in 1..=9 {
        let order = world.network.order("acq-1", number);
        let checkout = checkouts::publish(&world.context, &"acq-1".parse().unwrap(), order, None).await.unwrap().id;
        browser.get(&format!("/c/{checkout}")).await;
        let picked = browser.post(&format!("/c/{checkout}/bank"), "bank=bank-a").await;
        handoffs.push(picked.leads_to().to_owned());
        let held = browser.cookies.lock().unwrap().keys().filter(|name| name.contains("-app-cko_")).count();
        assert_eq!(held, handoffs.len().min(4));
        let shown = browser.get(picked.leads_to()).await;
        assert_eq!(shown.status, StatusCode::OK, "the newest is never forgotten");
    }
}
