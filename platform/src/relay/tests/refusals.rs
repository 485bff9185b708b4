//! Each refusal as an issuer sees it, with its counter; nothing of it reaches the acquirer.

use std::time::Duration;

use mesh::identity::Role;
use mesh::status::{retry_after_of, violations_of};
use proto::authorization::Route;
use proto::digest::Digest;
use proto::pb::MemberStatus;
use proto::reason::Reason;
use tonic::Code;

use super::acquirer::Acquirer;
use super::network::{AURORA, BOREALIS, HARBOR, Network, Terms, assert_refused, authorize, money, resolve};
use crate::relay::RelayLimits;

#[tokio::test]
async fn a_request_that_breaks_a_rule_goes_no_further() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let relaying = network
        .relay(
            network.directory(&[
                (AURORA, Terms::issuer()),
                (BOREALIS, Terms { status: MemberStatus::Suspended, ..Terms::issuer() }),
                (HARBOR, Terms::acquirer(acquirer.address)),
                ("acq-asleep", Terms { status: MemberStatus::Suspended, ..Terms::acquirer(acquirer.address) }),
            ]),
            RelayLimits::default(),
        )
        .await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let borealis = network.caller(&relaying, Role::Issuer, BOREALIS);
    let stranger = network.caller(&relaying, Role::Issuer, "bank-nowhere");
    let good = network.route();
    let with = |change: &dyn Fn(&mut Route)| {
        let mut route = good.clone();
        change(&mut route);
        route
    };
    let cases = [
        (&stranger, good.clone(), Code::PermissionDenied, Reason::MemberUnknown),
        (&borealis, good.clone(), Code::PermissionDenied, Reason::MemberSuspended),
        (&aurora, with(&|r| r.issuer = BOREALIS.parse().unwrap()), Code::PermissionDenied, Reason::IssuerMismatch),
        (&aurora, with(&|r| r.acquirer = "acq-nowhere".parse().unwrap()), Code::NotFound, Reason::AcquirerUnknown),
        (
            &aurora,
            with(&|r| r.acquirer = "acq-asleep".parse().unwrap()),
            Code::FailedPrecondition,
            Reason::AcquirerSuspended,
        ),
        (&aurora, with(&|r| r.ticket = Default::default()), Code::PermissionDenied, Reason::TicketMissing),
        (&aurora, with(&|r| r.ticket = vec![1; 100].into()), Code::PermissionDenied, Reason::TicketInvalid),
        (&aurora, with(&|r| r.ticket = network.ticket(BOREALIS)), Code::PermissionDenied, Reason::TicketOfOtherBank),
        (
            &aurora,
            with(&|r| r.order_digest = Digest::of(b"another")),
            Code::PermissionDenied,
            Reason::TicketOfOtherOrder,
        ),
        (&aurora, with(&|r| r.amount = money(1_000_001)), Code::FailedPrecondition, Reason::AmountLimit),
    ];
    for (caller, route, code, reason) in cases {
        assert_refused(authorize(caller, &route).await, code, reason);
        assert_eq!(relaying.count(reason), 1, "{reason:?}");
    }
    relaying.clock.advance(Duration::from_secs(3_661));
    assert_refused(authorize(&aurora, &good).await, Code::PermissionDenied, Reason::TicketExpired);
    assert!(acquirer.canned.received().is_empty(), "{:?}", acquirer.canned.received());
}

#[tokio::test]
async fn only_issuers_may_call() {
    let network = Network::new();
    let relaying = network.relay(network.directory(&[(AURORA, Terms::issuer())]), RelayLimits::default()).await;
    for (role, id) in [(Role::Merchant, AURORA), (Role::Acquirer, HARBOR), (Role::Platform, "hub-two")] {
        let caller = network.caller(&relaying, role, id);
        assert_refused(authorize(&caller, &network.route()).await, Code::PermissionDenied, Reason::RoleNotAllowed);
        assert_refused(resolve(&caller, &network.route()).await, Code::PermissionDenied, Reason::RoleNotAllowed);
    }
}

#[tokio::test]
async fn a_bank_over_its_rate_is_told_when_to_come_back_and_others_are_not_touched() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let directory = network.directory(&[
        (AURORA, Terms { rate: 2, ..Terms::issuer() }),
        (BOREALIS, Terms { rate: 2, ..Terms::issuer() }),
        (HARBOR, Terms::acquirer(acquirer.address)),
    ]);
    let relaying = network.relay(directory, RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let borealis = network.caller(&relaying, Role::Issuer, BOREALIS);
    let route = network.route();
    authorize(&aurora, &route).await.unwrap();
    authorize(&aurora, &route).await.unwrap();
    let status = assert_refused(authorize(&aurora, &route).await, Code::ResourceExhausted, Reason::RateLimit);
    assert_eq!(retry_after_of(&status), Some(Duration::from_millis(500)));
    let other = Route { issuer: BOREALIS.parse().unwrap(), ticket: network.ticket(BOREALIS), ..route.clone() };
    authorize(&borealis, &other).await.unwrap();
    // A question is free of it.
    resolve(&aurora, &route).await.unwrap();
    relaying.clock.advance(Duration::from_millis(500));
    authorize(&aurora, &route).await.unwrap();
    assert_refused(authorize(&aurora, &route).await, Code::ResourceExhausted, Reason::RateLimit);
    // A higher limit counts from the next request on, on the same connection.
    let higher = network
        .directory(&[(AURORA, Terms { rate: 1_000, ..Terms::issuer() }), (HARBOR, Terms::acquirer(acquirer.address))]);
    relaying.directory.replace(higher);
    relaying.clock.advance(Duration::from_millis(1));
    authorize(&aurora, &route).await.unwrap();
}

#[tokio::test]
async fn a_suspension_counts_from_the_next_request_on_and_leaves_questions_open() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let with = |issuer: MemberStatus, at_acquirer: MemberStatus| {
        network.directory(&[
            (AURORA, Terms::issuer().with_status(issuer)),
            (HARBOR, Terms::acquirer(acquirer.address).with_status(at_acquirer)),
        ])
    };
    let relaying = network.relay(with(MemberStatus::Active, MemberStatus::Active), RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let route = network.route();
    authorize(&aurora, &route).await.unwrap();

    relaying.directory.replace(with(MemberStatus::Suspended, MemberStatus::Active));
    assert_refused(authorize(&aurora, &route).await, Code::PermissionDenied, Reason::MemberSuspended);
    resolve(&aurora, &route).await.unwrap();

    relaying.directory.replace(with(MemberStatus::Active, MemberStatus::Suspended));
    assert_refused(authorize(&aurora, &route).await, Code::FailedPrecondition, Reason::AcquirerSuspended);
    resolve(&aurora, &route).await.unwrap();

    relaying.directory.replace(with(MemberStatus::Removed, MemberStatus::Active));
    assert_refused(resolve(&aurora, &route).await, Code::PermissionDenied, Reason::MemberSuspended);

    relaying.directory.replace(with(MemberStatus::Active, MemberStatus::Active));
    authorize(&aurora, &route).await.unwrap();
}

#[tokio::test]
async fn a_malformed_route_is_refused_field_by_field() {
    let network = Network::new();
    let acquirer = Acquirer::start(&network, HARBOR).await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(acquirer.address))]);
    let relaying = network.relay(directory, RelayLimits::default()).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    let mut client = proto::pb::authorization_client::AuthorizationClient::new(aurora);
    let route = proto::pb::AuthorizationRoute { acquirer_id: "No".to_owned(), amount: None, ..network.route().to_pb() };
    let request = proto::pb::AuthorizeRequest { route: Some(route), request: None };
    let status = assert_refused(client.authorize(request).await, Code::InvalidArgument, Reason::InvalidField);
    let fields: Vec<String> = violations_of(&status).into_iter().map(|(path, _)| path).collect();
    assert_eq!(fields, ["route.acquirer_id", "route.amount"]);
    let request = proto::pb::AuthorizeRequest::default();
    assert_refused(client.authorize(request).await, Code::InvalidArgument, Reason::InvalidField);
    assert!(acquirer.canned.received().is_empty());
}
