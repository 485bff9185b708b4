//! `CardSelection` as a device sees it: sessions, card options, and the statuses of refusals.

use std::{sync::Arc, time::Duration};

use issuer::{
    records,
    repository::{Changes, Outcome},
    service::card_selection::CardSelectionService,
};
use mesh::{clock::Clock, status};
use proto::{
    digest::Digest,
    order::SignedOrder,
    pb::{self, card_selection_server::CardSelection},
    reason::Reason,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{
    acquirer::Reply,
    world::{Card, Run, World, charge_id, policy, within_patience},
};

/// A session's token; each test session has its own.
fn token(number: u8) -> Vec<u8> {
    vec![number; 32]
}

/// Signs a customer in, for an order or for none.
async fn sign_in(world: &World, run: &Run, number: u8, customer: &str, order: Option<&SignedOrder>) -> Vec<u8> {
    let token = token(number);
    let millis = |time| records::millis_of(time);
    let now = world.clock.now();
    let session = records::Session {
        token_digest: Digest::of(&token).to_bytes(),
        customer_id: customer.into(),
        order_digest: order.map(|order| order.digest.to_bytes()).unwrap_or_default(),
        order_amount: order.map(|order| order.order.amount.to_pb()),
        factors: vec![pb::AuthenticationFactor::Knowledge.into()],
        challenge: vec![0; 32].into(),
        created_at_ms: millis(now),
        used_at_ms: millis(now),
        expires_at_ms: millis(now + Duration::from_secs(900)),
        order_category: order.map(|order| order.order.merchant.category.to_string()).unwrap_or_default(),
        ..Default::default()
    };
    let committed = run.ctx.repository.commit(Changes::new().create(&session)).await.unwrap();
    assert_eq!(committed, Outcome::Committed);
    token
}

fn service(run: &Run) -> CardSelectionService {
    CardSelectionService::new(Arc::clone(&run.ctx))
}

fn charge_request(token: &[u8], charge: u8, order: &SignedOrder, card: Card) -> pb::SubmitChargeRequest {
    pb::SubmitChargeRequest {
        session_token: token.to_vec().into(),
        charge_id: charge_id(charge).to_string(),
        order: Some(order.signed.to_pb()),
        card_option_id: card.id().to_string(),
        ..Default::default()
    }
}

async fn submit(run: &Run, request: pb::SubmitChargeRequest) -> Result<pb::Charge, Status> {
    let response = service(run).submit_charge(Request::new(request)).await?;
    Ok(response.into_inner().charge.unwrap())
}

async fn get(run: &Run, token: &[u8], charge: u8) -> Result<pb::Charge, Status> {
    let request = pb::GetChargeRequest {
        session_token: token.to_vec().into(),
        charge_id: charge_id(charge).to_string(),
        ..Default::default()
    };
    Ok(service(run).get_charge(Request::new(request)).await?.into_inner().charge.unwrap())
}

fn refused(outcome: Result<pb::Charge, Status>) -> (Code, String) {
    let status = outcome.expect_err("this must be refused");
    (status.code(), status::reason_of(&status).unwrap_or_default())
}

fn expected(code: Code, reason: Reason) -> (Code, String) {
    (code, reason.as_wire().to_owned())
}

#[tokio::test]
async fn a_device_pays_and_watches() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let held = submit(&run, charge_request(&token, 1, &order, Card::First)).await.unwrap();
    assert_eq!((held.state(), held.payee.as_str()), (pb::ChargeState::Held, "Bookshop"));
    assert_eq!(held.amount, Some(order.order.amount.to_pb()));

    let request = pb::WatchChargeRequest {
        session_token: token.clone().into(),
        charge_id: held.charge_id.clone(),
        ..Default::default()
    };
    let stream = service(&run).watch_charge(Request::new(request)).await.unwrap().into_inner();
    let seen: Vec<_> = within_patience(stream.collect()).await;
    let last = seen.last().unwrap().as_ref().unwrap().charge.clone().unwrap();
    assert_eq!((last.state(), last.approval_code.as_str()), (pb::ChargeState::Approved, "A1B2C3"));
    assert_eq!(last.authorization_id, held.authorization_id);
    assert_eq!(get(&run, &token, 1).await.unwrap(), last);
}

#[tokio::test]
async fn a_device_watches_no_longer_than_its_session() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    let order = world.acquirer.order("TWD", 30_000);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let charge_id = submit(&run, charge_request(&token, 1, &order, Card::First)).await.unwrap().charge_id;
    run.until_unknown(1).await;
    let request = pb::WatchChargeRequest { session_token: token.into(), charge_id, ..Default::default() };
    let mut stream = service(&run).watch_charge(Request::new(request)).await.unwrap().into_inner();
    assert!(within_patience(stream.next()).await.unwrap().is_ok());
    world.clock.advance(Duration::from_secs(900));
    let ended = within_patience(stream.next()).await.unwrap().expect_err("the session is over");
    assert_eq!(
        (ended.code(), status::reason_of(&ended)),
        (Code::Unauthenticated, Some(Reason::SessionInvalid.as_wire().to_owned()))
    );
    assert!(within_patience(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_device_sees_why_it_was_declined_and_when_the_bank_asks() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    world.acquirer.then(Reply::Fail(issuer::client::Unanswered::TooLate));
    submit(&run, charge_request(&token, 1, &order, Card::First)).await.unwrap();
    let unknown = run.until_unknown(1).await;
    let shown = get(&run, &token, 1).await.unwrap();
    let next = proto::time::to_pb(unknown.updated_at + Duration::from_millis(200));
    assert_eq!((shown.state(), shown.next_inquiry_at), (pb::ChargeState::Unknown, Some(next)));
    let issuer = pb::Awaiting { party: pb::AwaitedParty::Issuer.into(), by: Some(next) };
    assert_eq!(shown.awaiting, Some(issuer), "the issuer owes the acquirer a question by then");
    assert_eq!(shown.final_by.unwrap().seconds - shown.created_at.unwrap().seconds, 110);

    run.ask();
    world.clock.advance(Duration::from_secs(1));
    run.until_final(1).await;
    let shown = get(&run, &token, 1).await.unwrap();
    assert_eq!((shown.state(), shown.decline_reason()), (pb::ChargeState::Declined, pb::DeclineReason::NeverReceived));
    assert_eq!((shown.next_inquiry_at, shown.approval_code.as_str()), (None, ""));
    assert_eq!((shown.awaiting, shown.final_by), (None, None));
}

#[tokio::test]
async fn a_session_pays_its_own_order_alone() {
    let (world, run) = World::new().await;
    let (order, other) = (world.acquirer.order("TWD", 100), world.acquirer.order("TWD", 100));
    let paying = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let reading = sign_in(&world, &run, 2, "lin", None).await;

    let unknown = submit(&run, charge_request(&token(9), 1, &order, Card::First)).await;
    assert_eq!(refused(unknown), expected(Code::Unauthenticated, Reason::SessionInvalid));
    let of_other = submit(&run, charge_request(&paying, 1, &other, Card::First)).await;
    assert_eq!(refused(of_other), expected(Code::PermissionDenied, Reason::SessionOfOtherOrder));
    let without = submit(&run, charge_request(&reading, 1, &order, Card::First)).await;
    assert_eq!(refused(without), expected(Code::PermissionDenied, Reason::SessionCannotPay));

    world.clock.advance(Duration::from_secs(300));
    let idle = submit(&run, charge_request(&paying, 1, &order, Card::First)).await;
    assert_eq!(refused(idle), expected(Code::Unauthenticated, Reason::SessionInvalid));
}

/// What a session record says after a step-up.
async fn step_up(run: &Run, token: &[u8], factors: &[pb::AuthenticationFactor]) {
    let stored = run.ctx.repository.load(&records::Session::at(&Digest::of(token))).await.unwrap().unwrap();
    let factors = factors.iter().map(|factor| i32::from(*factor)).collect();
    let stepped_up = records::Session { factors, ..stored.value };
    let committed = run.ctx.repository.commit(Changes::new().replace(stored.version, &stepped_up)).await.unwrap();
    assert_eq!(committed, Outcome::Committed);
}

#[tokio::test]
async fn a_session_is_stepped_up_in_the_middle_of_a_charge() {
    use pb::AuthenticationFactor::{Knowledge, Passkey};

    let (world, run) = World::with_policy(policy("profile = \"two_of_three\"")).await;
    let order = world.acquirer.order("TWD", 30_000);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let request = charge_request(&token, 1, &order, Card::First);
    let status = submit(&run, request.clone()).await.unwrap_err();
    assert_eq!(status::reason_of(&status).as_deref(), Some(Reason::FactorsInsufficient.as_wire()));
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("any_of").map(String::as_str), Some("POSSESSION,PASSKEY,INHERENCE"));

    step_up(&run, &token, &[Knowledge, Passkey]).await;
    let taken = submit(&run, request.clone()).await.expect("the very same request passes now");
    run.until_final(1).await;
    step_up(&run, &token, &[]).await;
    let again = submit(&run, request).await.expect("a charge that was taken is found again");
    assert_eq!((again.state(), again.authorization_id), (pb::ChargeState::Approved, taken.authorization_id));
}

#[tokio::test]
async fn a_consent_is_asked_for_by_its_reason() {
    let (world, run) = World::with_policy(policy("rules = [{ kinds = 1, consent = true }]")).await;
    let order = world.acquirer.order("TWD", 100);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let without = submit(&run, charge_request(&token, 1, &order, Card::First)).await;
    assert_eq!(refused(without), expected(Code::FailedPrecondition, Reason::ConsentRequired));
    let mut request = charge_request(&token, 1, &order, Card::First);
    request.consent = Some(signed());
    assert_eq!(refused(submit(&run, request).await), expected(Code::InvalidArgument, Reason::ConsentInvalid));
}

#[tokio::test]
async fn another_customers_charge_and_card_are_not_found() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 100);
    let lin = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let wu = sign_in(&world, &run, 2, "wu", Some(&order)).await;
    let card = submit(&run, charge_request(&lin, 1, &order, Card::OfWu)).await;
    assert_eq!(refused(card), expected(Code::NotFound, Reason::CardOptionNotFound));
    submit(&run, charge_request(&lin, 1, &order, Card::First)).await.unwrap();
    assert_eq!(refused(get(&run, &wu, 1).await), expected(Code::NotFound, Reason::ChargeNotFound));
    let request =
        pb::WatchChargeRequest { session_token: wu.into(), charge_id: charge_id(1).to_string(), ..Default::default() };
    let watched = service(&run).watch_charge(Request::new(request)).await.map(|_| pb::Charge::default());
    assert_eq!(refused(watched), expected(Code::NotFound, Reason::ChargeNotFound));
}

/// Something that a device may have signed.
fn signed() -> pb::Signed {
    let device = proto::ids::DeviceId::from_random([1; 16]);
    pb::Signed { body: vec![1].into(), key_id: device.to_string(), signature: vec![0; 64].into() }
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 100);
    let token = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    type Spoil = fn(&mut pb::SubmitChargeRequest);
    let cases: [(&str, Spoil); 7] = [
        ("charge_id", |request| request.charge_id = "chg_1".into()),
        ("order", |request| request.order = None),
        ("order.signature", |request| request.order.as_mut().unwrap().signature = bytes::Bytes::new()),
        ("card_option_id", |request| request.card_option_id = "4000000000000002".into()),
        ("ticket", |request| request.ticket = vec![0; 513].into()),
        ("device_confirmation.state", |request| {
            let confirmation = pb::DeviceConfirmation { state: vec![1].into(), token: vec![1].into() };
            request.device_confirmation = Some(confirmation);
        }),
        ("consent.key_id", |request| request.consent = Some(pb::Signed { key_id: "dev_1".into(), ..signed() })),
    ];
    for (path, spoil) in cases {
        let mut request = charge_request(&token, 1, &order, Card::First);
        spoil(&mut request);
        let status = submit(&run, request).await.unwrap_err();
        assert_eq!(status::reason_of(&status).as_deref(), Some(Reason::InvalidField.as_wire()), "{path}");
        let paths: Vec<String> = status::violations_of(&status).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, [path]);
        assert!(!format!("{status:?}").contains("4000000000000002"), "what was sent is not repeated");
    }
}

#[tokio::test]
async fn card_options_are_masked_and_say_why_they_cannot_pay() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 5_001);
    let paying = sign_in(&world, &run, 1, "lin", Some(&order)).await;
    let reading = sign_in(&world, &run, 2, "lin", None).await;
    let list = async |token: &[u8]| {
        let request = pb::ListCardOptionsRequest { session_token: token.to_vec().into(), ..Default::default() };
        service(&run).list_card_options(Request::new(request)).await.unwrap().into_inner().card_options
    };
    let options = list(&paying).await;
    let reasons: Vec<_> = options.iter().map(|option| (option.label.as_str(), option.unusable_reason())).collect();
    assert_eq!(
        reasons,
        [
            ("First", pb::CardUnusableReason::Unspecified),
            ("Second", pb::CardUnusableReason::Unspecified),
            ("Debit", pb::CardUnusableReason::InsufficientFunds),
            ("Dollars", pb::CardUnusableReason::OtherCurrency),
            ("Blocked", pb::CardUnusableReason::Blocked),
            ("Expired", pb::CardUnusableReason::Expired),
        ]
    );
    let first = &options[0];
    assert_eq!((first.brand.as_str(), first.last_four.as_str()), ("Visa", "0002"));
    assert_eq!((first.kind(), options[2].kind()), (pb::CardKind::Credit, pb::CardKind::Debit));
    assert_eq!(first.available.as_ref().unwrap().minor_units, 100_000);
    assert!(!format!("{options:?}").contains("400000"), "no number is shown");

    // Without an order only the lasting reasons count.
    let usable = list(&reading).await.iter().filter(|option| option.unusable_reason == 0).count();
    assert_eq!(usable, 4);

    // A hold shows in what is left, also on the other card of the same line.
    world.acquirer.then(Reply::Silence);
    submit(&run, charge_request(&paying, 1, &order, Card::First)).await.unwrap();
    let left: Vec<_> = list(&paying).await.iter().map(|o| o.available.as_ref().unwrap().minor_units).collect();
    assert_eq!(left[..2], [94_999, 94_999]);
}
