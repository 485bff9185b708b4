//! Signing in: wrong secrets, several proofs, and a device whose key a script would keep.

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use prost::Message as _;
use proto::{
    device::{bind_device_bytes, enroll_features_bytes, inherence_bytes, possession_bytes},
    digest::Digest,
    order::SignedOrder,
    pb,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::{
    bank::{Bank, LIN, WU},
    browser::{Browser, Page},
    world::{Card, policy},
};

/// What a page's script keeps: a key, and the id under which the bank knows it.
struct Device {
    key: Ed25519KeyPair,
    id: String,
}

impl Device {
    fn fresh() -> Self {
        Self { key: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap(), id: String::new() }
    }

    fn sign(&self, bytes: &[u8]) -> String {
        BASE64URL_NOPAD.encode(self.key.sign(bytes).as_ref())
    }

    /// Has this device bound, by a code or in the session; returns what the script is told.
    async fn bind(&mut self, browser: &mut Browser, visit: &str, code: &str, signed: &[u8]) -> serde_json::Value {
        let key = BASE64URL_NOPAD.encode(self.key.public_key().as_ref());
        let signature = self.sign(&bind_device_bytes(signed));
        let fields = [("code", code), ("key", &key), ("name", "My browser"), ("signature", &signature)];
        let page = browser.post(&format!("{visit}/bind"), &fields).await;
        let answer: serde_json::Value = serde_json::from_str(&page.html).unwrap();
        self.id = answer["device_id"].as_str().unwrap_or_default().to_owned();
        answer
    }

    async fn prove(&self, browser: &mut Browser, visit: &str, purpose: &str, order: Option<&SignedOrder>) -> Page {
        let challenge = challenge(browser, visit, purpose).await;
        let bytes = BASE64URL_NOPAD.decode(challenge["challenge"].as_str().unwrap().as_bytes()).unwrap();
        let signed = possession_bytes(&bytes.try_into().unwrap(), order.map(|order| &order.digest));
        let fields = [
            ("proof", "possession"),
            ("challenge_id", challenge["challenge_id"].as_str().unwrap()),
            ("device_id", &self.id),
            ("signature", &self.sign(&signed)),
        ];
        browser.post(&format!("{visit}/{purpose}"), &fields).await
    }
}

async fn challenge(browser: &mut Browser, visit: &str, purpose: &str) -> serde_json::Value {
    let page = browser.post(&format!("{visit}/challenge"), &[("for", purpose)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    serde_json::from_str(&page.html).unwrap()
}

fn consent_to(browser_page: &Page, order: &SignedOrder, card: Card, bank: &Bank) -> Vec<u8> {
    let attribute = |name: &str| browser_page.html.split_once(name).unwrap().1.split('"').next().unwrap().to_owned();
    let challenge = BASE64URL_NOPAD.decode(attribute("data-challenge=\"").as_bytes()).unwrap();
    let consent = pb::Consent {
        order_digest: order.digest.to_bytes(),
        amount: Some(order.order.amount.to_pb()),
        payee: order.order.merchant.display_name.clone(),
        card_option_id: card.id().to_string(),
        charge_id: attribute("data-charge=\""),
        challenge: challenge.into(),
        signed_at: Some(proto::time::to_pb(bank.run.ctx.clock.now())),
    };
    consent.encode_to_vec()
}

#[tokio::test]
async fn a_wrong_secret_is_told_and_the_next_try_may_be_right() {
    let bank = Bank::open().await;
    let mut browser = bank.browser();
    let visit = browser.bring(&bank.order()).await;
    for (who, notice) in [
        ([LIN[0], LIN[1], "wrong horse battery"], "wrong"),
        ([WU[0], LIN[1], LIN[2]], "wrong"),
        (["A123456780", LIN[1], LIN[2]], "form"),
        ([LIN[0], LIN[1], "short"], "form"),
    ] {
        let page = browser.sign_in(&visit, who).await;
        assert_eq!(page.leads_to(), format!("{visit}/sign-in?n={notice}"));
        let page = browser.follow(page).await;
        assert!(page.has("role=\"alert\"") && page.has(&format!("data-notice=\"{notice}\"")));
    }
    let page = browser.sign_in(&visit, [" a123456789 ", LIN[1], LIN[2]]).await;
    assert_eq!(page.leads_to(), format!("{visit}/cards"));
    let again = browser.get(&format!("{visit}/sign-in")).await;
    assert_eq!(again.leads_to(), format!("{visit}/cards"), "who is signed in need not do it again");
}

#[tokio::test]
async fn two_proofs_are_given_one_after_the_other() {
    let bank = Bank::with_policy(policy("sign_in = { kinds = 2 }")).await;
    let order = bank.order();
    let mut browser = bank.browser();
    let visit = browser.bring(&order).await;
    let mut device = Device::fresh();
    let code = "7K3M-9PQR-10TV";
    let bound = device.bind(&mut browser, &visit, code, code.as_bytes()).await;
    assert_eq!(bound["next"], format!("{visit}/sign-in?n=bound"), "{bound}");

    let first = browser.sign_in(&visit, LIN).await;
    assert_eq!(first.leads_to(), format!("{visit}/sign-in?n=more"));
    let page = browser.follow(first).await;
    assert!(!page.has("data-proof=\"knowledge\"") && page.has("data-proof=\"possession\""), "{}", page.html);
    let second = device.prove(&mut browser, &visit, "sign-in", Some(&order)).await;
    assert_eq!(second.leads_to(), format!("{visit}/cards"));

    // The device owes its consent, and what it signed is judged.
    let confirm = browser.pick(&visit, Card::First).await;
    let page = browser.get(&confirm).await;
    assert!(page.has(&format!("data-device=\"{}\"", device.id)), "{}", page.html);
    assert_eq!(browser.post(&confirm, &[]).await.leads_to(), format!("{confirm}?n=consent"));
    let body = consent_to(&page, &order, Card::First, &bank);
    let signature = device.sign(&[b"bankside.v1/Consent\0".as_slice(), &body].concat());
    let consent = BASE64URL_NOPAD.encode(&body);
    let wrong = consent_to(&page, &order, Card::Second, &bank);
    let forged = BASE64URL_NOPAD.encode(&wrong);
    let fields = |consent| [("device_id", device.id.as_str()), ("consent", consent), ("signature", signature.as_str())];
    let refused = browser.post(&confirm, &fields(&forged)).await;
    assert_eq!((refused.status, refused.kind()), (StatusCode::CONFLICT, "problem"));
    let charge = browser.post(&confirm, &fields(&consent)).await.leads_to();
    browser.until(&charge, &["approved"]).await;
}

/// What a device measures anew signs in; returns where that leads.
async fn measured_signs_in(bank: &Bank, device: &Device, features: &[f32]) -> String {
    let mut other = bank.browser();
    let begun = other.post("/start", &[("to", "sign-in")]).await.leads_to();
    let home = begun.strip_suffix("/sign-in").unwrap();
    let given = challenge(&mut other, home, "sign-in").await;
    let measured: Vec<f32> = features.iter().map(|value| value + 0.25).collect();
    let bytes = BASE64URL_NOPAD.decode(given["challenge"].as_str().unwrap().as_bytes()).unwrap();
    let signed = inherence_bytes(&bytes.try_into().unwrap(), &measured, None);
    let written = BASE64URL_NOPAD.encode(&measured.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>());
    let fields = [
        ("proof", "inherence"),
        ("challenge_id", given["challenge_id"].as_str().unwrap()),
        ("device_id", &device.id),
        ("features", &written),
        ("signature", &device.sign(&signed)),
    ];
    other.post(&begun, &fields).await.leads_to()
}

#[tokio::test]
async fn a_device_is_bound_in_a_session_and_measures_for_it() {
    let bank = Bank::open().await;
    let mut browser = bank.browser();
    let begun = browser.post("/start", &[("to", "sign-in")]).await;
    let visit = begun.leads_to().strip_suffix("/sign-in").unwrap().to_owned();
    assert_eq!(browser.sign_in(&visit, LIN).await.leads_to(), "/");
    let home = browser.get("/").await;
    assert!(home.has("my-cards") && home.has("sign-out"), "{}", home.html);

    // One kind of proof is too little: the way leads to one more.
    let page = browser.get(&format!("{visit}/credentials")).await;
    let session = page.html.split_once("data-session=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let digest = BASE64URL_NOPAD.decode(session.as_bytes()).unwrap();
    let mut device = Device::fresh();
    let refused = device.bind(&mut browser, &visit, "", &digest).await;
    assert_eq!(refused, serde_json::json!({ "next": format!("{visit}/step-up?n=step"), "first": true }));

    // The activation code binds the first device, which is the second kind.
    let code = "7K3M-9PQR-10TV";
    device.bind(&mut browser, &visit, code, code.as_bytes()).await;
    let proved = device.prove(&mut browser, &visit, "step-up", None).await;
    assert_eq!(proved.leads_to(), format!("{visit}/credentials"));
    let mut second = Device { key: Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap(), id: String::new() };
    let bound = second.bind(&mut browser, &visit, "", &digest).await;
    assert_eq!(bound["next"], format!("{visit}/credentials?n=bound"), "{bound}");
    let other = Digest::of(b"another token");
    let mut third = Device { key: Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(), id: String::new() };
    let refused = third.bind(&mut browser, &visit, "", other.as_bytes()).await;
    assert!(refused["problem"].as_str().unwrap().contains("signature"), "{refused}");

    let features: Vec<f32> = (0..128u8).map(|place| f32::from(place) - 60.5).collect();
    let given = challenge(&mut browser, &visit, "register").await;
    let bytes = BASE64URL_NOPAD.decode(given["challenge"].as_str().unwrap().as_bytes()).unwrap();
    let signed = enroll_features_bytes(&bytes.try_into().unwrap(), &features);
    let written = BASE64URL_NOPAD.encode(&features.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>());
    let fields = [
        ("challenge_id", given["challenge_id"].as_str().unwrap()),
        ("device_id", &device.id),
        ("features", &written),
        ("signature", &device.sign(&signed)),
    ];
    let enrolled = browser.post(&format!("{visit}/features"), &fields).await;
    assert_eq!(enrolled.html, format!("{{\"next\":\"{visit}/credentials?n=enrolled\"}}"));
    let page = browser.get(&format!("{visit}/credentials")).await;
    assert!(page.has("Features enrolled") && page.has(&device.id), "{}", page.html);

    assert_eq!(measured_signs_in(&bank, &device, &features).await, "/");

    // Forgotten, the device proves nothing any more, and its session is over.
    let gone = browser.post(&format!("{visit}/unbind"), &[("id", &second.id)]).await;
    assert_eq!(gone.leads_to(), format!("{visit}/credentials?n=removed"));
    let gone = browser.post(&format!("{visit}/unbind"), &[("id", &device.id)]).await;
    assert_eq!(gone.leads_to(), format!("{visit}/credentials?n=removed"));
    assert_eq!(browser.get(&format!("{visit}/credentials")).await.leads_to(), format!("{visit}/sign-in?n=ended"));
}

#[tokio::test]
async fn who_signs_out_is_out() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let kept = browser.clone();
    let out = browser.post(&format!("{visit}/sign-out"), &[]).await;
    assert_eq!(out.leads_to(), format!("{visit}?n=out"));
    assert_eq!(browser.get(&format!("{visit}/cards")).await.leads_to(), format!("{visit}/sign-in"));
    let mut stolen = kept;
    assert!(stolen.get(&format!("{visit}/cards")).await.leads_to().starts_with(&format!("{visit}/sign-in")));
}

#[tokio::test]
async fn a_challenge_that_is_over_is_begun_anew() {
    let bank = Bank::open().await;
    let order = bank.order();
    let mut browser = bank.browser();
    let visit = browser.bring(&order).await;
    let mut device = Device::fresh();
    device.bind(&mut browser, &visit, "7K3M-9PQR-10TV", b"7K3M-9PQR-10TV").await;
    let first = challenge(&mut browser, &visit, "sign-in").await;
    assert_eq!(challenge(&mut browser, &visit, "sign-in").await["challenge_id"], first["challenge_id"]);
    bank.world.clock.advance(std::time::Duration::from_secs(121));
    let fields = [
        ("proof", "possession"),
        ("challenge_id", first["challenge_id"].as_str().unwrap()),
        ("device_id", &device.id),
        ("signature", "AAAA"),
    ];
    let late = browser.post(&format!("{visit}/sign-in"), &fields).await;
    assert_eq!(late.leads_to(), format!("{visit}/sign-in?n=late"));
    let proved = device.prove(&mut browser, &visit, "sign-in", Some(&order)).await;
    assert_eq!(proved.leads_to(), format!("{visit}/cards"));
}

#[tokio::test]
async fn a_visit_has_one_session_and_the_one_before_is_over() {
    let bank = Bank::open().await;
    let order = bank.order();
    let (mut browser, visit) = bank.paying(&order, LIN).await;
    let mut before = browser.clone();
    assert_eq!(browser.sign_in(&visit, WU).await.leads_to(), format!("{visit}/cards"));
    assert_eq!(browser.get(&format!("{visit}/cards")).await.kind(), "cards");
    assert_eq!(before.get(&format!("{visit}/cards")).await.leads_to(), format!("{visit}/sign-in?n=ended"));
}
