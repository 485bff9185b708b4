//! With a platform: where the directory comes from while it is there and while it is away, who may relay,
//! and how an order is published.

use std::{fs, time::SystemTime};

use acquirer::checkout::{ChoiceError, OrderPublisher as _, PlatformPublisher};
use certs::authority::{Crl, DAY, LeafRequest, Reason};
use mesh::{
    channel::{MeshChannel, within},
    directory::follow::channel_to,
    identity::Role,
    signing::SigningTrust,
    status::reason_of,
};
use proto::{
    authorization::{AuthorizationResult, Carried, Decision, DeclineReason, Question, Request, Route},
    ids::AuthorizationId,
    order::SignedOrder,
    pb::{self, authorization_client::AuthorizationClient, resolve_authorization_response::Outcome},
    signed::SignedBody,
};
use tonic::Code;

use super::{
    hub::Place,
    site::{Running, Site, WAIT, wish},
};

/// The sample's file with its platform in.
fn configure(site: &Site, place: &Place, with_file: bool, wait: &str) {
    let opened = |line: &str| match line.strip_prefix('#') {
        Some(text) if text.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => text.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    let text = site.config().lines().map(opened).collect::<Vec<_>>().join("\n");
    // The sample's own port was taken out before.
    let text = text.replace("https://hub.pay.example:0", &place.address).replace("\"10s\"", &format!("\"{wait}\""));
    let file = "[directory]\nfile = \"directory.binpb\"\n";
    assert!(text.contains(file) && text.contains(&place.address));
    site.configure(&if with_file { text } else { text.replace(file, "") });
}

/// A new order, as the shop gets it.
pub(super) async fn order(acquirer: &Running, site: &Site) -> SignedOrder {
    let made = acquirer.orders(site, "shop-books").create_order(within(wish(), WAIT)).await.unwrap().into_inner();
    SignedOrder::parse(made.signed_order.unwrap()).unwrap()
}

fn sign<M: SignedBody>(site: &Site, message: &M) -> pb::Signed {
    let body = message.encode_to_vec();
    pb::Signed {
        key_id: site.bank.key_id().to_string(),
        signature: site.bank.sign(M::NAME, &body).to_vec().into(),
        body: body.into(),
    }
}

/// An authorization request of bank-a. Its card can't be opened, which is judged last.
pub(super) fn request(site: &Site, order: &SignedOrder, number: u8) -> pb::AuthorizeRequest {
    let request = Request {
        id: AuthorizationId::from_random([number; 16]),
        issuer: "bank-a".parse().unwrap(),
        acquirer: "acquirer-one".parse().unwrap(),
        amount: order.order.amount,
        order: order.clone(),
        sealed_card: vec![1; 64].into(),
        signed_at: SystemTime::now(),
        factors: Vec::new(),
        consent_digest: None,
        device_confirmation: None,
    };
    let route = Route {
        issuer: request.issuer.clone(),
        acquirer: request.acquirer.clone(),
        authorization: request.id.clone(),
        order_digest: order.digest,
        amount: request.amount,
        ticket: bytes::Bytes::from_static(b"the platform has seen it"),
    };
    pb::AuthorizeRequest { route: Some(route.to_pb()), request: Some(sign(site, &request.to_pb())) }
}

/// Asks what became of a request, and expects the acquirer's word that it was never received.
async fn assert_never_received(channel: MeshChannel, site: &Site, request: &pb::AuthorizeRequest) {
    let asked = Carried::<Request>::parse(request.request.clone().unwrap()).unwrap();
    let question = Question {
        authorization: asked.says.id,
        issuer: asked.says.issuer,
        acquirer: asked.says.acquirer,
        request_digest: asked.signed.digest(),
        order_digest: asked.says.order.digest,
        amount: asked.says.amount,
        request_signed_at: asked.says.signed_at,
        signed_at: SystemTime::now(),
    };
    let request = Some(sign(site, &question.to_pb()));
    let route = Some(Route::parse(request_route(&question)).unwrap().to_pb());
    let message = pb::ResolveAuthorizationRequest { route, request };
    let answer = AuthorizationClient::new(channel).resolve_authorization(within(message, WAIT)).await.unwrap();
    let Some(Outcome::Result(result)) = answer.into_inner().outcome else { panic!("no result") };
    let result = Carried::<AuthorizationResult>::parse(result).unwrap().says;
    assert_eq!(result.decision, Decision::Declined(DeclineReason::NeverReceived));
}

fn request_route(question: &Question) -> pb::AuthorizationRoute {
    pb::AuthorizationRoute {
        issuer_id: question.issuer.to_string(),
        acquirer_id: question.acquirer.to_string(),
        authorization_id: question.authorization.to_string(),
        order_digest: question.order_digest.to_bytes(),
        amount: Some(question.amount.to_pb()),
        ticket: bytes::Bytes::new(),
    }
}

/// The reason of a refused request, or why it was declined.
pub(super) async fn authorize(channel: MeshChannel, request: &pb::AuthorizeRequest) -> String {
    match AuthorizationClient::new(channel).authorize(within(request.clone(), WAIT)).await {
        Err(status) => reason_of(&status).unwrap(),
        Ok(answer) => {
            let result = Carried::<AuthorizationResult>::parse(answer.into_inner().result.unwrap()).unwrap();
            format!("{:?}", result.says.decision)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_directory_is_the_platforms_and_its_copy_serves_without_it() {
    let site = Site::new();
    let place = Place::new().await;
    configure(&site, &place, false, "30s");
    // The acquirer starts first, and waits for it.
    let acquirer = Running::start(&site).await;
    let hub = place.open(&site, "hub");
    let first = order(&acquirer, &site).await;
    let asked = request(&site, &first, 1);
    let unreadable = format!("{:?}", Decision::Declined(DeclineReason::CardUnreadable));
    assert_eq!(authorize(acquirer.channel(&site, "bank-a"), &asked).await, unreadable);
    acquirer.stop().await;
    hub.close().await;

    // With the platform away the copy is in force, and as fresh as its head.
    let acquirer = Running::start(&site).await;
    let channel = acquirer.channel(&site, "bank-a");
    assert_eq!(authorize(channel.clone(), &asked).await, unreadable, "the recorded result");
    assert_eq!(authorize(channel, &request(&site, &first, 2)).await, unreadable, "and a new one");
    acquirer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_file_alone_answers_questions_and_starts_nothing() {
    let site = Site::new();
    configure(&site, &Place::new().await, true, "30s");
    let acquirer = Running::start(&site).await;
    let order = order(&acquirer, &site).await;
    let asked = request(&site, &order, 1);
    assert_eq!(authorize(acquirer.channel(&site, "bank-a"), &asked).await, "DIRECTORY_STALE");
    assert_never_received(acquirer.channel(&site, "bank-a"), &site, &asked).await;
    acquirer.stop().await;
    assert!(!site.path().join("directory.copy").exists(), "only what a platform vouched for is a copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_any_directory_says_what_is_missing() {
    let site = Site::new();
    let place = Place::new().await;
    configure(&site, &place, false, "200ms");
    let failure = Running::start(&site).await.role.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 64);
    let text = failure.to_string();
    for named in [place.address.as_str(), "directory.copy", "`directory.file`", "200ms"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    // A file that is named and needed must be there, and must count.
    configure_file(&site, b"no directory");
    let failure = Running::start(&site).await.role.await.unwrap().unwrap_err();
    assert!(failure.code() == 64 && failure.to_string().contains("`directory.file`"), "{failure}");
}

fn configure_file(site: &Site, content: &[u8]) {
    fs::write(site.path().join("directory.binpb"), content).unwrap();
    site.configure(&format!("{}\n[directory]\nfile = \"directory.binpb\"\n", site.config()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_platform_relays_and_issuers_may_still_call_themselves() {
    let site = Site::new();
    let place = Place::new().await;
    configure(&site, &place, true, "30s");
    let hub = place.open(&site, "hub");
    for id in ["hub", "hub-two"] {
        let certificate = LeafRequest::client(Role::Platform, id.parse().unwrap());
        let folder = site.path().join(format!("{id}-calls"));
        site.authority.issue(&certificate, SystemTime::now()).unwrap().save(&folder).unwrap();
    }
    let acquirer = Running::start(&site).await;
    let order = order(&acquirer, &site).await;
    let asked = request(&site, &order, 1);
    let unreadable = format!("{:?}", Decision::Declined(DeclineReason::CardUnreadable));
    let other = authorize(acquirer.channel(&site, "hub-two-calls"), &asked).await;
    assert_eq!(other, "ISSUER_MISMATCH");
    // The head may come a moment after the start, which began with the operator's file.
    let relay = acquirer.channel(&site, "hub-calls");
    let until_fresh = async {
        loop {
            match authorize(relay.clone(), &asked).await {
                stale if stale == "DIRECTORY_STALE" => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    };
    assert_eq!(tokio::time::timeout(WAIT, until_fresh).await.expect("a fresh directory"), unreadable);
    assert_eq!(authorize(acquirer.channel(&site, "bank-a"), &asked).await, unreadable, "byte for byte the same");
    acquirer.stop().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_published_byte_for_byte_and_to_the_configured_platform_alone() {
    let site = Site::new();
    let (place, other, nobody) = (Place::new().await, Place::new().await, Place::new().await);
    let acquirer = Running::start(&site).await;
    let order = order(&acquirer, &site).await;
    let publisher = |place: &Place| {
        let identity = site.identity_from(&site.path().join("certs"), "server");
        PlatformPublisher::new(channel_to(&place.config(&site), identity).unwrap())
    };
    let (ours, theirs, away) = (publisher(&place), publisher(&other), publisher(&nobody));
    let hub = place.open(&site, "hub");
    assert_eq!(
        ours.publish(&order, "https://pay.acquirer-one.example/pay").await.unwrap(),
        "https://pay.network.example/c/chk_abc"
    );
    let published = hub.published.lock().unwrap().clone();
    assert_eq!(published, [("spiffe://pay.example/acquirer/acquirer-one".to_owned(), order.signed.to_pb())]);
    hub.close().await;

    // Another platform of the same network answers in its place.
    let hub = other.open(&site, "hub-two");
    let refused = theirs.publish(&order, "https://pay.acquirer-one.example/pay").await;
    assert!(matches!(refused, Err(ChoiceError::Refused { code: Code::Unavailable, .. })), "{refused:?}");
    assert!(hub.published.lock().unwrap().is_empty());
    hub.close().await;

    drop(nobody);
    let refused = away.publish(&order, "https://pay.acquirer-one.example/pay").await;
    assert!(matches!(refused, Err(ChoiceError::Refused { code: Code::Unavailable, .. })), "{refused:?}");
    acquirer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_meanwhile_signs_nothing_any_more_even_while_the_platform_is_away() {
    let mut site = Site::new();
    configure(&site, &Place::new().await, true, "30s");
    let acquirer = Running::start(&site).await;
    let order = order(&acquirer, &site).await;
    let (channel, asked) = (acquirer.channel(&site, "bank-a"), request(&site, &order, 1));
    assert_eq!(authorize(channel.clone(), &asked).await, "DIRECTORY_STALE", "the signature counts");
    let trust = SigningTrust::new([site.authority.certificate().clone()]).unwrap();
    let stolen = trust.certificate(site.bank.certificate_der()).unwrap().serial().clone();
    let now = SystemTime::now();
    site.authority.revoke(&stolen, Reason::KeyCompromise, Some(now - DAY), now).unwrap();
    let certs = site.path().join("certs");
    site.authority.save_revocations(&certs, now, Crl::LIFETIME).unwrap();
    let noticed = async {
        while authorize(channel.clone(), &asked).await != "SIGNATURE_INVALID" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT, noticed).await.expect("the new list is noticed");
    acquirer.stop().await;
}
