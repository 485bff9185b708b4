#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use bytes::Bytes;
use http::{
    Request,
    header::{ACCEPT_LANGUAGE, CACHE_CONTROL, SET_COOKIE},
};
use mesh::{
    clock::{ManualClock, SystemEntropy},
    directory::Directory,
    store::{Store as _, memory::MemoryStore},
};
use prost::Message as _;
use proto::{
    authorization::{Decision, DeclineReason},
    digest::Digest,
    event::Outcome,
    ids::AuthorizationId,
    money::Money,
    order::{Merchant, Order, OrderLine, SignedOrder, lines_digest},
    signed::Signed,
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    domain::{
        attempt::AttemptId,
        order::{Course, State, Underway},
    },
    records::Lines,
    repository::Changes,
};

fn created() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn money(units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), units).unwrap()
}

fn lines() -> Vec<OrderLine> {
    vec![OrderLine { description: "Paper <lantern> & \"wick\"".into(), quantity: 3, unit_price: money(43_300) }]
}

/// A well-formed order. Nothing on the page verifies its signature: it comes from our own store.
pub(super) fn signed_order() -> SignedOrder {
    let order = Order {
        id: OrderId::from_random([7; 16]),
        acquirer: "bank-harbor".parse().unwrap(),
        merchant: Merchant {
            id: "shop-lantern".parse().unwrap(),
            display_name: "燈籠 <script>alert(1)</script>".into(),
            domain: "lantern.example".into(),
            category: "5947".parse().unwrap(),
        },
        amount: money(129_900),
        lines_digest: lines_digest(&lines()),
        created_at: created(),
        expires_at: created() + Duration::from_secs(900),
        return_url: "https://lantern.example/paid?a=1&b=2".parse().unwrap(),
        sealing_key: [9; 32],
        delivery_hint: "W*** L** · Taipei".into(),
        device_check_url: None,
    };
    let body = Bytes::from(order.to_pb().encode_to_vec());
    let signed = Signed { body, key_id: "0".repeat(32).parse().unwrap(), signature: [1; 64] };
    SignedOrder { digest: Digest::of(&signed.body), signed, order }
}

fn course(declines: u32) -> Course {
    let last = Outcome {
        authorization: AuthorizationId::from_random([1; 16]),
        issuer: "bank-aurora".parse().unwrap(),
        decision: Decision::Declined(DeclineReason::DoNotHonor),
    };
    Course {
        expires_at: created() + Duration::from_secs(900),
        declines,
        position: declines,
        last: (declines > 0).then_some(last),
    }
}

fn authorizing() -> State {
    let attempt =
        AttemptId { issuer: "bank-aurora".parse().unwrap(), authorization: AuthorizationId::from_random([2; 16]) };
    State::Authorizing(course(0), Underway { attempt, cancel_requested: false, taken_from: None })
}

struct Bench {
    store: Arc<MemoryStore>,
    repository: Repository,
    clock: Arc<ManualClock>,
    router: Router,
    path: String,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Bench {
    async fn with(state: State) -> Self {
        Self::choosing(state, None).await
    }

    async fn choosing(state: State, choice: Option<BankChoice>) -> Self {
        Self::of(signed_order(), state, choice).await
    }

    async fn of(signed: SignedOrder, state: State, choice: Option<BankChoice>) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = Repository::new(store.clone());
        let path = format!("/pay/{}", signed.order.id);
        let kept_lines = Lines { order: signed.order.id.clone(), lines: lines() };
        let kept = KeptOrder { signed, reference: "R-1".parse().unwrap(), sealing_key: None, state };
        let outcome = repository.commit(Changes::new().create(&kept).create(&kept_lines)).await.unwrap();
        assert!(matches!(outcome, repository::Outcome::Committed(_)));
        let clock = Arc::new(ManualClock::new(created()));
        let router = router(Parts {
            repository: repository.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
            directory: Arc::new(DirectoryHandle::new(Directory::new([], None).unwrap())),
            tokens: DeviceTokens::new(&[1; 32]),
            public_url: "https://pay.bankside.example".parse().unwrap(),
            link: "https://app.bankside.example/pay".parse().unwrap(),
            choice,
        });
        Self { store, repository, clock, router, path }
    }

    async fn send(&self, method: &str, path: &str, language: &str) -> Answer {
        self.send_as(method, path, &[(ACCEPT_LANGUAGE.as_str(), language), ("sec-fetch-site", "same-origin")]).await
    }

    async fn send_as(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn page(&self) -> Answer {
        self.send("GET", &self.path, "en").await
    }

    async fn qr(&self) -> Answer {
        self.send("GET", &format!("{}/qr.svg", self.path), "en").await
    }
}

mod choice;
mod following;
mod same_device;

#[tokio::test]
async fn every_state_has_its_page_and_its_status() {
    let cases = [
        (State::Open(course(0)), 200, "open", "Pay with your bank", true),
        (State::Open(course(1)), 200, "declined", "was not approved", true),
        (authorizing(), 200, "busy", "is being processed", false),
        (State::Approved(course(0)), 200, "paid", "Paid", false),
        (State::Expired(course(0)), 410, "expired", "time to pay is over", false),
        (State::Failed(course(5)), 410, "failed", "did not succeed", false),
        (State::Cancelled(course(0)), 410, "cancelled", "was cancelled", false),
    ];
    for (state, status, class, heading, has_qr) in cases {
        let answer = Bench::with(state).await.page().await;
        assert_eq!(answer.status, status, "{class}");
        assert!(answer.body.contains(&format!("data-state=\"{class}\"")), "{}", answer.body);
        assert!(answer.body.contains(heading), "{}", answer.body);
        assert_eq!(answer.body.contains("<figure class=\"qr\">"), has_qr, "{class}");
        assert_eq!(answer.body.contains("class=\"countdown\""), has_qr, "{class}");
        assert!(answer.body.contains("NT$1,299") && answer.body.contains("lantern.example"), "{class}");
    }
}

#[tokio::test]
async fn an_open_order_past_its_deadline_is_shown_as_expired() {
    let bench = Bench::with(State::Open(course(0))).await;
    bench.clock.advance(Duration::from_secs(900));
    assert_eq!(bench.page().await.status, StatusCode::OK);
    bench.clock.advance(Duration::from_millis(1));
    let answer = bench.page().await;
    assert_eq!(answer.status, StatusCode::GONE);
    assert!(answer.body.contains("data-state=\"expired\"") && !answer.body.contains("<figure"));
    assert_eq!(bench.qr().await.status, StatusCode::GONE);
}

#[tokio::test]
async fn an_unfinished_page_reloads_itself_and_a_final_one_leads_back_to_the_shop() {
    let back = "href=\"https://lantern.example/paid?a=1&#38;b=2\"";
    for (state, unfinished) in [
        (State::Open(course(0)), true),
        (authorizing(), true),
        (State::Approved(course(0)), false),
        (State::Cancelled(course(0)), false),
    ] {
        let body = Bench::with(state).await.page().await.body;
        assert_eq!(body.contains("<noscript><meta http-equiv=\"refresh\""), unfinished, "{body}");
        assert_eq!(body.contains("data-events="), unfinished, "{body}");
        assert_eq!(body.contains("class=\"button back\""), !unfinished, "{body}");
        assert_eq!(body.contains(back), !body.contains("data-state=\"busy\""), "nobody leaves in between: {body}");
    }
}

#[tokio::test]
async fn a_decline_is_told_while_the_order_is_open() {
    let hint = "was not approved";
    // The second one is news, though it looks like the first.
    for declines in 1..=2 {
        let body = Bench::with(State::Open(course(declines))).await.page().await.body;
        assert!(body.contains(&format!("data-version=\"declined.{declines}\"")), "{body}");
    }
    assert!(!Bench::with(State::Open(course(0))).await.page().await.body.contains(hint));
    assert!(Bench::with(State::Open(course(1))).await.page().await.body.contains(hint));
    assert!(!Bench::with(State::Approved(course(1))).await.page().await.body.contains(hint));
}

#[tokio::test]
async fn the_qr_code_alone_is_the_one_on_the_page() {
    let bench = Bench::with(State::Open(course(0))).await;
    let qr = bench.qr().await;
    assert_eq!((qr.status, &qr.headers[CONTENT_TYPE]), (StatusCode::OK, &HeaderValue::from_static("image/svg+xml")));
    assert!(bench.page().await.body.contains(&qr.body));
    for (state, status) in [
        (authorizing(), StatusCode::OK),
        (State::Approved(course(0)), StatusCode::GONE),
        (State::Failed(course(5)), StatusCode::GONE),
    ] {
        assert_eq!(Bench::with(state).await.qr().await.status, status);
    }
}

#[tokio::test]
async fn what_names_no_order_is_not_found() {
    let bench = Bench::with(State::Open(course(0))).await;
    let other = format!("/pay/{}", OrderId::from_random([8; 16]));
    let other_qr = format!("{other}/qr.svg");
    let upper = bench.path.to_uppercase().replace("/PAY/ORD_", "/pay/ord_");
    for path in [
        "/",
        "/pay",
        "/pay/",
        "/pay/x",
        "/pay/%FF",
        "/pay/ord_%00",
        "/pay/..%2f",
        "/pay/x/qr.svg",
        &other,
        &other_qr,
        &upper,
    ] {
        let answer = bench.send("GET", path, "en").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.body.contains("There is no such order"), "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let bench = Bench::with(State::Open(course(0))).await;
    assert_eq!(bench.send("POST", &bench.path, "en").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let head = bench.send("HEAD", &bench.path, "en").await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn every_answer_is_kept_out_of_caches_frames_and_referrers() {
    let bench = Bench::with(State::Open(course(0))).await;
    let qr = format!("{}/qr.svg", bench.path);
    for path in [bench.path.as_str(), &qr, STYLE.path(), "/nothing"] {
        let headers = bench.send("GET", path, "en").await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let is_page = headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html");
        let (runs, is_boxed) = (policy.contains("script-src 'self';"), policy.contains("sandbox;"));
        assert!(!policy.contains("unsafe") && runs == is_page && is_boxed != is_page, "{path}: {policy}");
        assert_eq!(headers["referrer-policy"], "same-origin", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers[CACHE_CONTROL] == "no-store", path != STYLE.path(), "{path}");
    }
}

#[tokio::test]
async fn what_the_shop_wrote_is_text_and_never_markup() {
    let body = Bench::with(State::Open(course(0))).await.page().await.body;
    for raw in ["<script>", "<lantern>", "style=", "onload", "javascript:"] {
        assert!(!body.contains(raw), "{raw} in {body}");
    }
    assert!(body.contains("燈籠 &#60;script&#62;alert(1)&#60;/script&#62;"), "{body}");
    assert!(body.contains("Paper &#60;lantern&#62; &#38; &#34;wick&#34;"), "{body}");
}

#[tokio::test]
async fn the_page_speaks_the_browsers_language() {
    let bench = Bench::with(State::Open(course(0))).await;
    for (header, tag, words) in
        [("en-GB", "en", "Time left"), ("zh-TW,zh;q=0.9,en;q=0.8", "zh-TW", "剩餘時間"), ("fr", "zh-TW", "剩餘時間")]
    {
        let body = bench.send("GET", &bench.path, header).await.body;
        assert!(body.contains(&format!("<html lang=\"{tag}\">")) && body.contains(words), "{header}: {body}");
    }
    // In 15 minutes: the deadline, 2026-09-21T14:28:20Z, in the shop's own time zone.
    assert!(bench.page().await.body.contains("2026-09-21 22:28 (UTC+8)"));
    assert!(bench.page().await.body.contains("data-left=\"900\">15:00<"));
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable_and_not_an_unknown_order() {
    let bench = Bench::with(State::Open(course(0))).await;
    bench.store.close().await;
    let answer = bench.page().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER) && !answer.body.contains("closed"));
}
