//! What the client makes of an acquirer's answers, and whom it takes for the acquirer.

use std::{sync::Arc, time::Duration};

use issuer::client::{Answer, AuthorizationClient, Call, DirectClient, Unanswered};
use mesh::{directory::DirectoryHandle, identity::Role, signing::Signer};
use prost::Message as _;
use proto::{
    authorization::{Factor, Request, Route},
    digest::Digest,
    ids::{AuthorizationId, OrderId},
    money::Money,
    order::{Merchant, Order, SignedOrder},
    signed::Signed,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    acquirer::{Acquirer, Manner, listen},
    pki::{Pki, sign},
};

const WAIT: Duration = Duration::from_secs(10);

struct Stage {
    client: DirectClient,
    call: Call,
    acquirer: Acquirer,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An acquirer of this manner that shows the certificate of `shown`, and a client that expects
/// bank-borealis there.
async fn stage(manner: Manner, shown: &str) -> Stage {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    pki.member(Role::Acquirer, "bank-corona");
    let (listener, address) = listen().await;
    let directory = pki.parsed(&pki.directory(&issuer, &acquirer, address));
    let client = DirectClient::new(pki.identity("bank-aurora"), Arc::new(DirectoryHandle::new(directory)));
    let (served, stop) = (Acquirer::new(acquirer.clone(), manner), CancellationToken::new());
    tokio::spawn(served.clone().serve(listener, pki.identity(shown), stop.clone()));
    Stage { client, call: call(&issuer, &acquirer), acquirer: served, stop }
}

pub(super) fn call(issuer: &Signer, acquirer: &Signer) -> Call {
    let now = std::time::SystemTime::now();
    let order = Order {
        id: OrderId::from_random([1; 16]),
        acquirer: "bank-borealis".parse().unwrap(),
        merchant: Merchant {
            id: "bookshop".parse().unwrap(),
            display_name: "Bookshop".into(),
            domain: "books.example".into(),
            category: "5942".parse().unwrap(),
        },
        amount: Money::new("TWD".parse().unwrap(), 100).unwrap(),
        lines_digest: Digest::of(b"lines"),
        created_at: now,
        expires_at: now + Duration::from_secs(900),
        return_url: "https://books.example/".parse().unwrap(),
        sealing_key: [9; 32],
        delivery_hint: String::new(),
        device_check_url: None,
    };
    let order = SignedOrder::parse(sign(acquirer, &order.to_pb()).to_pb()).unwrap();
    let request = Request {
        id: AuthorizationId::from_random([2; 16]),
        issuer: "bank-aurora".parse().unwrap(),
        acquirer: "bank-borealis".parse().unwrap(),
        amount: order.order.amount,
        order,
        sealed_card: vec![1; 64].into(),
        signed_at: now,
        factors: vec![Factor::Knowledge],
        consent_digest: None,
        device_confirmation: None,
    };
    let route = Route {
        issuer: request.issuer.clone(),
        acquirer: request.acquirer.clone(),
        authorization: request.id.clone(),
        order_digest: request.order.digest,
        amount: request.amount,
        ticket: bytes::Bytes::new(),
    };
    Call { route, signed: sign(issuer, &request.to_pb()) }
}

async fn authorize(stage: &Stage) -> Result<Signed, Unanswered> {
    stage.client.authorize(&stage.call, WAIT).await
}

#[tokio::test]
async fn a_result_comes_back_and_the_acquirer_sees_the_issuers_certificate() {
    let stage = stage(Manner::Approve, "bank-borealis").await;
    let result = authorize(&stage).await.unwrap();
    assert!(result.decode::<proto::pb::AuthorizationResult>().unwrap().encoded_len() > 0);
    let callers = stage.acquirer.callers.lock().unwrap().clone();
    assert_eq!(callers, ["spiffe://bankside.example/issuer/bank-aurora"]);
}

#[tokio::test]
async fn another_acquirers_server_gets_nothing() {
    let stage = stage(Manner::Approve, "bank-corona").await;
    let unanswered = authorize(&stage).await.unwrap_err();
    assert!(matches!(unanswered, Unanswered::Connection(_)), "{unanswered}");
    assert!(stage.acquirer.callers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn answers_that_say_nothing_are_told_apart() {
    let other = authorize(&stage(Manner::NameAnother, "bank-borealis").await).await;
    assert_eq!(other, Err(Unanswered::OtherAuthorization));
    let nothing = authorize(&stage(Manner::SayNothing, "bank-borealis").await).await;
    assert!(matches!(nothing, Err(Unanswered::Malformed(_))), "{nothing:?}");
    let refused = authorize(&stage(Manner::Refuse, "bank-borealis").await).await;
    let expected = Unanswered::Refused { code: Code::PermissionDenied, reason: "MEMBER_SUSPENDED".into() };
    assert_eq!(refused, Err(expected));
}

#[tokio::test]
async fn silence_ends_in_time() {
    let stage = stage(Manner::Silent, "bank-borealis").await;
    let unanswered = stage.client.authorize(&stage.call, Duration::from_millis(300)).await;
    assert_eq!(unanswered, Err(Unanswered::TooLate));
}

#[tokio::test]
async fn nobody_at_the_address_and_no_entry_at_all() {
    let mut stage = stage(Manner::Approve, "bank-borealis").await;
    stage.call.route.acquirer = "bank-nowhere".parse().unwrap();
    let no_way = authorize(&stage).await;
    assert!(matches!(no_way, Err(Unanswered::NoWay(_))), "{no_way:?}");

    let pki = Pki::new();
    let (issuer, acquirer) = (pki.member(Role::Issuer, "bank-aurora"), pki.member(Role::Acquirer, "bank-borealis"));
    let (listener, address) = listen().await;
    drop(listener);
    let directory = Arc::new(DirectoryHandle::new(pki.parsed(&pki.directory(&issuer, &acquirer, address))));
    let client = DirectClient::new(pki.identity("bank-aurora"), directory);
    let nobody = client.authorize(&call(&issuer, &acquirer), WAIT).await;
    assert!(matches!(nobody, Err(Unanswered::Connection(_))), "{nobody:?}");
}

#[tokio::test]
async fn an_acquirer_that_is_still_deciding_says_when_to_come_back() {
    let pending = stage(Manner::Pending, "bank-borealis").await;
    let answer = pending.client.resolve(&pending.call, WAIT).await;
    assert_eq!(answer, Ok(Answer::Pending { retry_after: Duration::from_millis(700) }));
    let nothing = stage(Manner::SayNothing, "bank-borealis").await;
    let answer = nothing.client.resolve(&nothing.call, WAIT).await;
    assert!(matches!(answer, Err(Unanswered::Malformed(_))), "{answer:?}");
}
