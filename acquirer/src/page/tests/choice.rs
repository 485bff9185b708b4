//! Beside the QR code: choosing a bank at the platform.

use std::sync::Mutex;

use async_trait::async_trait;
use tonic::Code;

use super::*;
use crate::checkout::OrderPublisher;

const PICKER: &str = "https://pay.network.example/c/chk_abc";

/// A platform that answers what the test says, and keeps what it was asked to publish.
#[derive(Debug)]
struct Platform {
    answer: Result<String, ChoiceError>,
    published: Mutex<Vec<SignedOrder>>,
}

#[async_trait]
impl OrderPublisher for Platform {
    async fn publish(&self, order: &SignedOrder, payment_url: &str) -> Result<String, ChoiceError> {
        assert_eq!(payment_url, format!("https://pay.bankside.example/pay/{}", order.order.id));
        self.published.lock().unwrap().push(order.clone());
        self.answer.clone()
    }
}

async fn bench(state: State, answer: Result<&str, ChoiceError>) -> (Bench, Arc<Platform>) {
    let platform = Arc::new(Platform { answer: answer.map(str::to_owned), published: Mutex::default() });
    let pages = "https://pay.network.example".parse().unwrap();
    let choice = BankChoice::new(Arc::clone(&platform) as Arc<_>, pages);
    (Bench::choosing(state, Some(choice)).await, platform)
}

impl Bench {
    async fn choose(&self) -> Answer {
        self.send("POST", &format!("{}/bank", self.path), "en").await
    }
}

#[tokio::test]
async fn a_click_publishes_the_order_and_leads_to_its_picker() {
    let (bench, platform) = bench(State::Open(course(0)), Ok(PICKER)).await;
    let page = bench.page().await;
    let form = format!("<form class=\"choose-bank\" method=\"post\" action=\"{}/bank\">", bench.path);
    assert!(page.body.contains(&form) && page.body.contains("Choose my bank"), "{}", page.body);
    assert!(page.body.contains("<figure class=\"qr\">"), "the QR code is still there");
    assert!(platform.published.lock().unwrap().is_empty(), "looking publishes nothing");
    for _ in 0..2 {
        let answer = bench.choose().await;
        assert_eq!((answer.status, &answer.headers["location"]), (StatusCode::SEE_OTHER, &PICKER.parse().unwrap()));
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers["referrer-policy"], "same-origin", "the order's address stays with us");
    }
    let published = platform.published.lock().unwrap().clone();
    assert_eq!(published, [signed_order(), signed_order()], "the order as it was signed");
}

#[tokio::test]
async fn the_form_may_lead_to_the_platform_and_nowhere_else() {
    let policy = async |bench: &Bench| bench.page().await.headers["content-security-policy"].clone();
    let (with, _) = bench(State::Open(course(0)), Ok(PICKER)).await;
    let with = policy(&with).await;
    let with = with.to_str().unwrap();
    assert!(with.contains("form-action 'self' https://pay.network.example;"), "{with}");
    assert!(with.contains("default-src 'none'") && with.contains("frame-ancestors 'none'"), "{with}");
    let without = policy(&Bench::with(State::Open(course(0))).await).await;
    assert!(without.to_str().unwrap().contains("form-action 'self';"), "{without:?}");
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_not_followed() {
    for hostile in [
        "https://evil.example/c/chk_abc",
        "https://pay.network.example.evil.example/c/chk_abc",
        "https://pay.network.example@evil.example/",
        "http://pay.network.example/c/chk_abc",
        "javascript:alert(1)",
        "https://pay.network.example/\r\nlocation: https://evil.example/",
        "",
    ] {
        let (bench, _) = bench(State::Open(course(0)), Ok(hostile)).await;
        let answer = bench.choose().await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{hostile}");
        assert!(!answer.headers.contains_key("location") && !answer.body.contains("evil"), "{hostile}");
        assert!(answer.body.contains("Back to the payment page"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_platform_that_is_away_leaves_the_shopper_the_qr_code() {
    let refused = ChoiceError::Refused { code: Code::Unavailable, reason: String::new() };
    for error in [refused, ChoiceError::Late] {
        let (bench, _) = bench(State::Open(course(0)), Err(error)).await;
        let answer = bench.choose().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains("be shown now"), "{}", answer.body);
        assert!(answer.body.contains(&format!("href=\"{}\"", bench.path)), "{}", answer.body);
        let chinese = bench.send("POST", &format!("{}/bank", bench.path), "zh-TW").await;
        assert!(chinese.body.contains("暫時無法選擇銀行"), "{}", chinese.body);
        assert_eq!(bench.page().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_paid_now_is_not_published() {
    for state in [authorizing(), State::Approved(course(0)), State::Failed(course(5)), State::Cancelled(course(0))] {
        let (bench, platform) = bench(state, Ok(PICKER)).await;
        assert!(!bench.page().await.body.contains("<form"));
        let answer = bench.choose().await;
        assert_eq!((answer.status, &answer.headers["location"]), (StatusCode::SEE_OTHER, &bench.path.parse().unwrap()));
        assert!(platform.published.lock().unwrap().is_empty());
    }
    let (bench, platform) = bench(State::Open(course(0)), Ok(PICKER)).await;
    bench.clock.advance(Duration::from_millis(900_001));
    assert_eq!(bench.choose().await.headers["location"], bench.path.as_str());
    assert!(platform.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_names_no_order_leads_nowhere() {
    let (choosing, platform) = bench(State::Open(course(0)), Ok(PICKER)).await;
    let other = format!("/pay/{}/bank", OrderId::from_random([8; 16]));
    for (method, path) in [("POST", other.as_str()), ("GET", &other), ("POST", "/pay/x/bank")] {
        assert_eq!(choosing.send(method, path, "en").await.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    assert!(platform.published.lock().unwrap().is_empty());
    // Coming back to the form's address leads to the page itself.
    let back = choosing.send("GET", &format!("{}/bank", choosing.path), "en").await;
    assert_eq!((back.status, &back.headers["location"]), (StatusCode::SEE_OTHER, &choosing.path.parse().unwrap()));
    // Without a platform there is no such address, and no form that leads there.
    let direct = Bench::with(State::Open(course(0))).await;
    assert_eq!(direct.choose().await.status, StatusCode::NOT_FOUND);
    assert!(!direct.page().await.body.contains("<form"));
}
