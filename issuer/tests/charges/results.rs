//! Results that must not be believed, come twice, or come too late.

use std::time::Duration;

use certs::authority::{DAY, LeafRequest};
use issuer::{
    charges::{Settled, Untrusted, bring_result},
    domain::{charge::State, result::NotAnAnswer},
};
use mesh::{
    directory::SignatureError,
    identity::Role,
    signing::{Revocation, SigningError},
};
use proto::{
    authorization::{AuthorizationResult, Decision, DeclineReason},
    digest::Digest,
    ids::AuthorizationId,
    money::Money,
};

use super::{
    acquirer::{Reply, approved, sign, start},
    world::{Card, Run, World, certificate, charge_id, signer},
};

type Change = fn(&mut AuthorizationResult);

/// Submits a charge whose answer is a forged one, and checks that it changes nothing but the counter.
async fn unbelieved(world: &World, run: &Run, reply: Reply) {
    let before = run.ctx.numbers.untrusted.value();
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(reply);
    run.submit(1, &order, Card::First).await.unwrap();
    let unknown = run.until_unknown(1).await;
    assert_eq!(run.ctx.numbers.untrusted.value(), before + 1);
    assert_eq!(unknown.result, None);
    assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0));
    assert!(world.request_is_stored(&unknown).await);
    assert!(!world.claim(&order).await.unwrap().paid);
}

#[tokio::test]
async fn a_result_for_anything_else_is_not_believed_and_the_question_brings_the_truth() {
    let changes: [Change; 8] = [
        |result| result.authorization = AuthorizationId::from_random([9; 16]),
        |result| result.issuer = "bank-other".parse().unwrap(),
        |result| result.acquirer = "bank-corona".parse().unwrap(),
        |result| result.request_digest = Digest::of(b"another request"),
        |result| result.order_digest = Digest::of(b"another order"),
        |result| result.amount = Money::new("TWD".parse().unwrap(), 1).unwrap(),
        |result| result.decided_at -= Duration::from_secs(61),
        |result| result.decided_at += Duration::from_secs(61),
    ];
    for change in changes {
        let (world, run) = World::new().await;
        let key = world.acquirer.signer.clone();
        let forge = move |mut result: AuthorizationResult| {
            change(&mut result);
            sign(&key, &result.to_pb())
        };
        unbelieved(&world, &run, Reply::Forge(Box::new(forge))).await;
        // Nothing was decided there, so the question makes it a decline for ever.
        run.ask();
        world.clock.advance(Duration::from_secs(1));
        let ended = run.until_final(1).await;
        assert!(matches!(ended.state, State::Declined { reason: DeclineReason::NeverReceived, .. }));
        assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    }
}

#[tokio::test]
async fn a_result_signed_by_somebody_else_is_not_believed() {
    let (world, run) = World::new().await;
    let key = world.other.signer.clone();
    unbelieved(&world, &run, Reply::Forge(Box::new(move |result| sign(&key, &result.to_pb())))).await;
}

#[tokio::test]
async fn altered_bytes_are_not_believed() {
    let (world, run) = World::new().await;
    let key = world.acquirer.signer.clone();
    let forge = move |result: AuthorizationResult| {
        let declined =
            AuthorizationResult { decision: Decision::Declined(DeclineReason::DoNotHonor), ..result.clone() };
        let honest = sign(&key, &declined.to_pb());
        proto::signed::Signed { body: prost::Message::encode_to_vec(&result.to_pb()).into(), ..honest }
    };
    unbelieved(&world, &run, Reply::Forge(Box::new(forge))).await;
}

#[tokio::test]
async fn an_expired_key_signs_nothing_any_more() {
    let (world, run) = World::new().await;
    let request = LeafRequest::signing(Role::Acquirer, "bank-borealis".parse().unwrap()).lasting(DAY);
    let old = signer(&world.authority.issue(&request, start() - DAY * 10).unwrap());
    let der = old.certificate_der().to_vec();
    world.publish(&world.trust, |[entry, _]| entry.signing_certificates.push(der.into()));
    let forge = {
        let old = old.clone();
        move |result: AuthorizationResult| sign(&old, &result.to_pb())
    };
    unbelieved(&world, &run, Reply::Forge(Box::new(forge))).await;

    // Whoever has the old key can date a result back into the key's time. It is then older than the request.
    let asked = run.charge(1).await.asked(&run.ctx.issuer).unwrap();
    let backdated = AuthorizationResult {
        authorization: asked.authorization,
        issuer: asked.issuer,
        acquirer: asked.acquirer,
        request_digest: asked.request_digest,
        order_digest: asked.order_digest,
        amount: asked.amount,
        decision: approved(),
        decided_at: start() - DAY * 9 - DAY / 2,
    };
    let brought = bring(&run, &sign(&old, &backdated.to_pb())).await;
    assert!(matches!(brought, Settled::Untrusted(Untrusted::NotAnAnswer(NotAnAnswer::BeforeRequest))), "{brought:?}");
}

#[tokio::test]
async fn a_revoked_key_signs_nothing_any_more() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &order, Card::First).await.unwrap();
    let unknown = run.until_unknown(1).await;
    let signed = world.acquirer.decided(&unknown.authorization).unwrap();

    let serial = certificate(&world.trust, &world.acquirer.signer).serial().clone();
    let revoked = world.trust.clone().with_revoked([Revocation { serial, since: start() }]);
    world.publish(&revoked, |_| {});
    let brought = bring(&run, &signed).await;
    let expected = SignatureError::Signature(SigningError::Revoked);
    assert!(matches!(&brought, Settled::Untrusted(Untrusted::Signature(error)) if *error == expected), "{brought:?}");
    assert!(matches!(run.charge(1).await.state, State::Unknown { .. }));

    // A later revocation leaves what was signed before it.
    world.publish(&world.trust, |_| {});
    assert!(matches!(bring(&run, &signed).await, Settled::Final(_)));
}

#[tokio::test]
async fn an_old_decline_does_not_end_a_new_charge() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(Reply::Decline(DeclineReason::DoNotHonor));
    run.submit(1, &order, Card::First).await.unwrap();
    let declined = run.until_final(1).await;

    let replay = declined.result.unwrap();
    world.acquirer.then(Reply::Say(replay));
    run.submit(2, &order, Card::First).await.unwrap();
    run.until_unknown(2).await;
    assert_eq!(run.ctx.numbers.untrusted.value(), 1);
    assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0));
}

#[tokio::test]
async fn the_same_result_twice_moves_once_and_a_contradicting_one_moves_nothing() {
    let (world, run) = World::new().await;
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    let paid = run.until_final(1).await;
    let approval = paid.result.clone().unwrap();
    let again = bring(&run, &approval).await;
    assert!(matches!(again, Settled::Final(charge) if *charge == paid));

    let asked = paid.asked(&run.ctx.issuer).unwrap();
    let contradiction = AuthorizationResult {
        authorization: asked.authorization,
        issuer: asked.issuer,
        acquirer: asked.acquirer,
        request_digest: asked.request_digest,
        order_digest: asked.order_digest,
        amount: asked.amount,
        decision: Decision::Declined(DeclineReason::DoNotHonor),
        decided_at: start(),
    };
    let settled = bring(&run, &sign(&world.acquirer.signer, &contradiction.to_pb())).await;
    assert!(matches!(settled, Settled::Final(charge) if *charge == paid));
    assert_eq!(run.ctx.numbers.contradictions.value(), 1);
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn the_same_result_from_two_sides_at_once_moves_once() {
    // The second side comes so many steps after the first: whatever it finds half done, it ends well.
    for steps in 0..10 {
        let (world, run) = World::new().await;
        world.acquirer.then(Reply::ApproveUnheard);
        run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
        let unknown = run.until_unknown(1).await;
        let signed = world.acquirer.decided(&unknown.authorization).unwrap();
        let second = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            bring(&run, &signed).await
        };
        let (one, other) = tokio::join!(bring(&run, &signed), second);
        for side in [one, other] {
            let is_paid = matches!(&side, Settled::Final(charge) if matches!(charge.state, State::Approved { .. }));
            assert!(is_paid, "{steps}: {side:?}");
        }
        assert_eq!(run.ctx.numbers.approved.value(), 1);
        assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    }
}

#[tokio::test]
async fn a_suspended_acquirers_result_still_counts() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    run.until_unknown(1).await;
    world.publish(&world.trust, |[entry, _]| entry.status = proto::directory::MemberStatus::Suspended);
    run.ask();
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

async fn bring(run: &Run, signed: &proto::signed::Signed) -> Settled {
    bring_result(&run.ctx, &"lin".parse().unwrap(), &charge_id(1), signed).await.unwrap()
}
