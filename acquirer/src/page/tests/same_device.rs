//! The page of an order whose device is checked.

use super::*;

fn checked() -> SignedOrder {
    let plain = signed_order();
    let address = format!("https://pay.bankside.example/pay/{}/device-check", plain.order.id);
    let order = Order { device_check_url: Some(address.parse().unwrap()), ..plain.order };
    let body = Bytes::from(order.to_pb().encode_to_vec());
    let signed = Signed { body, ..plain.signed };
    SignedOrder { digest: Digest::of(&signed.body), signed, order }
}

async fn bench(state: State) -> Bench {
    Bench::of(checked(), state, None).await
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie(answer: &Answer) -> Option<String> {
    let header = answer.headers.get(SET_COOKIE)?.to_str().unwrap();
    assert!(header.starts_with("__Host-bankside-page-"), "{header}");
    assert!(header.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{header}");
    Some(header.split(';').next().unwrap().to_owned())
}

fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    answer.headers[LOCATION].to_str().unwrap()
}

impl Bench {
    /// Somebody opens an address in a window.
    async fn navigate(&self, path: &str, cookies: &str) -> Answer {
        let headers = [
            ("cookie", cookies),
            ("accept-language", "en"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
        ];
        self.send_as("GET", path, &headers).await
    }

    /// A browser that holds nothing is led to the page, and holds this cookie then.
    async fn led_to(&self) -> String {
        let first = self.navigate(&self.path, "").await;
        let cookie = cookie(&first).unwrap();
        assert_eq!(leads_to(&first), self.opening());
        assert_eq!(leads_to(&self.navigate(&self.opening(), &cookie).await), self.path);
        cookie
    }

    fn opening(&self) -> String {
        format!("{}/open", self.path)
    }

    async fn may_pay(&self, cookies: &str) -> bool {
        let page = self.navigate(&self.path, cookies).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.headers.contains_key(SET_COOKIE), "what it holds will do");
        let is_others = page.body.contains("Please pay on the device where you started");
        assert_ne!(page.body.contains("#o="), is_others, "{}", page.body);
        !is_others
    }
}

#[tokio::test]
async fn only_ways_on_this_device_are_offered() {
    let bench = bench(State::Open(course(0))).await;
    let own = bench.led_to().await;
    let page = bench.navigate(&bench.path, &own).await;
    assert!(!page.body.contains("<figure") && page.body.contains("please pay on this device"), "{}", page.body);
    assert!(page.body.contains("class=\"button open-here\""), "{}", page.body);
    assert_eq!(bench.qr().await.status, StatusCode::GONE);
    let plain = Bench::with(State::Open(course(0))).await;
    let answer = plain.navigate(&plain.path, "").await;
    assert_eq!((answer.status, cookie(&answer)), (StatusCode::OK, None), "no cookie where none is needed");
}

#[tokio::test]
async fn the_first_browser_keeps_the_page_and_another_is_told_why_not() {
    let bench = bench(State::Open(course(0))).await;
    let own = bench.led_to().await;
    assert!(bench.may_pay(&own).await);
    // A stranger gets no cookie, which could be of no use.
    let other = bench.navigate(&bench.path, "").await;
    assert!(!other.body.contains("open-here") && !other.body.contains("#o="), "{}", other.body);
    assert!(other.body.contains("Please pay on the device where you started"), "{}", other.body);
    assert_eq!(cookie(&other), None);
    assert!(!bench.may_pay("__Host-bankside-page-a=QUFB").await && bench.may_pay(&own).await);
    // What became of the order may be known to whoever has its address, as ever.
    bench.clock.advance(Duration::from_secs(901));
    assert!(bench.navigate(&bench.path, "").await.body.contains("The time to pay is over"));
}

#[tokio::test]
async fn nobody_but_a_person_opens_the_page() {
    let bench = bench(State::Open(course(0))).await;
    let ahead = |purpose| [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"), ("sec-purpose", purpose)];
    let (prefetch, prerender) = (ahead("prefetch"), ahead("prefetch;prerender"));
    let frame = [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")];
    let stranger = "__Host-bankside-page-a=QUFB";
    for (method, headers) in [
        ("GET", &[][..]),
        ("GET", &prefetch),
        ("GET", &prerender),
        ("GET", &frame),
        ("HEAD", &[]),
        ("HEAD", &frame[1..]),
    ] {
        for cookies in ["", stranger] {
            let headers = [headers, &[("cookie", cookies), ("accept-language", "en")]].concat();
            let answer = bench.send_as(method, &bench.path, &headers).await;
            assert_eq!(answer.status, StatusCode::OK, "{method} {headers:?}");
            assert!(!answer.body.contains("#o="), "no way to pay: {}", answer.body);
            bench.send_as(method, &bench.opening(), &headers).await;
        }
    }
    // Nor does a form of another site.
    let forged = [("cookie", stranger), ("sec-fetch-site", "cross-site")];
    assert_eq!(bench.send_as("POST", &bench.opening(), &forged).await.status, StatusCode::FORBIDDEN);
    let own = bench.led_to().await;
    assert!(bench.may_pay(&own).await && !bench.may_pay(stranger).await, "the person who comes later is the first");
}

#[tokio::test]
async fn a_browser_that_cannot_say_what_it_does_opens_the_page_by_its_button() {
    let bench = bench(State::Open(course(0))).await;
    let page = bench.page().await;
    let form = format!("<form class=\"open-page\" method=\"post\" action=\"{}\">", bench.opening());
    assert!(page.body.contains(&form) && page.body.contains("If somebody sent you this link"), "{}", page.body);
    let own = cookie(&page).unwrap();
    let older = [("cookie", own.as_str()), ("accept-language", "en"), ("origin", "https://pay.bankside.example")];
    assert_eq!(leads_to(&bench.send_as("POST", &bench.opening(), &older).await), bench.path);
    let opened = bench.send_as("GET", &bench.path, &older[..2]).await;
    assert!(opened.body.contains("open-here") && !opened.body.contains(&form), "{}", opened.body);
    assert!(!bench.may_pay("__Host-bankside-page-a=QUFB").await);
}

#[tokio::test]
async fn an_answer_that_never_arrived_keeps_nobody_out() {
    let bench = bench(State::Open(course(0))).await;
    // A double click: the browser never hears the first answers, and comes again with nothing.
    for _ in 0..3 {
        assert_eq!(leads_to(&bench.navigate(&bench.path, "").await), bench.opening());
    }
    let own = bench.led_to().await;
    assert!(bench.may_pay(&own).await);
}

#[tokio::test]
async fn two_tabs_at_once_are_one_browser() {
    let bench = bench(State::Open(course(0))).await;
    let (one, two) = (bench.navigate(&bench.path, "").await, bench.navigate(&bench.path, "").await);
    let (one, two) = (cookie(&one).unwrap(), cookie(&two).unwrap());
    assert_ne!(one.split('=').next(), two.split('=').next(), "neither takes the other's place");
    // The first tab is through before the second one's answer arrives.
    assert!(bench.may_pay(&one).await);
    for held in [format!("{one}; {two}"), format!("{two}; {one}")] {
        assert!(bench.may_pay(&held).await, "{held}");
    }
    assert!(!bench.may_pay(&two).await, "by itself it is another browser's");
}

#[tokio::test]
async fn a_browser_without_cookies_is_told_so_and_not_led_in_circles() {
    let bench = bench(State::Open(course(0))).await;
    assert_eq!(leads_to(&bench.navigate(&bench.path, "").await), bench.opening());
    let answer = bench.navigate(&bench.opening(), "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("allow cookies") && answer.body.contains("Back to the payment page"));
    bench.clock.advance(Duration::from_secs(901));
    assert_eq!(leads_to(&bench.navigate(&bench.opening(), "").await), bench.path, "it says what became of the order");
}

#[tokio::test]
async fn a_check_that_makes_no_sense_gives_out_nothing() {
    let good = format!("bank=bank-aurora&state={}", "A".repeat(43));
    let plain = Bench::with(State::Open(course(0))).await;
    let path = format!("{}/device-check?{good}", plain.path);
    assert_eq!(plain.send("GET", &path, "en").await.status, StatusCode::BAD_REQUEST, "nothing is checked here");
    let bench = bench(State::Open(course(0))).await;
    let own = bench.led_to().await;
    assert!(bench.may_pay(&own).await);
    let check = async |query: &str, cookie: &str| {
        let path = format!("{}/device-check?{query}", bench.path);
        bench.send_as("GET", &path, &[("cookie", cookie), ("accept-language", "en")]).await
    };
    for bad in ["", "bank=bank-aurora", "bank=A&state=A", "bank=bank-aurora&state=AAAA", "bank=&state="] {
        let answer = check(bad, &own).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.body.contains("Back to the payment page"), "{}", answer.body);
    }
    for other in ["", "__Host-bankside-page-a=QUFB"] {
        let answer = check(&good, other).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.body.contains("not the device that opened") && !answer.headers.contains_key(LOCATION));
    }
    // The directory of this test has no banks at all.
    assert_eq!(check(&good, &own).await.status, StatusCode::CONFLICT);
    bench.clock.advance(Duration::from_secs(901));
    let over = check(&good, &own).await;
    assert_eq!((over.status, &over.headers[LOCATION]), (StatusCode::SEE_OTHER, &bench.path.parse().unwrap()));
}
