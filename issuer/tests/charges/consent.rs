//! The cardholder's consent: demanded, checked in every part, kept as evidence.

use std::{sync::Arc, time::Duration};

use issuer::{
    auth::SignedIn,
    charges::{self, Charge, Submission},
    domain::charge::State,
    error::Error,
    records,
    repository::{Changes, Outcome, Repository},
};
use mesh::clock::Clock;
use prost::Message as _;
use proto::{
    authorization::Factor::{self, Knowledge, Possession},
    device::{Consent, DeviceSigned, SIGNED_CONSENT_BYTES_MAX},
    ids::DeviceId,
    money::Money,
    order::SignedOrder,
    pb,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::world::{CHALLENGE, Card, Run, World, charge_id, policy, session, submission};

/// A customer's phone.
struct Phone {
    id: DeviceId,
    key: Ed25519KeyPair,
}

impl Phone {
    fn new(number: u8) -> Self {
        let id = DeviceId::from_random([number; 16]);
        Self { id, key: Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap() }
    }

    /// A phone that is bound to a customer.
    async fn bound(run: &Run, number: u8, customer: &str) -> Self {
        let phone = Self::new(number);
        let record = records::Device {
            device_id: phone.id.to_string(),
            customer_id: customer.into(),
            public_key: bytes::Bytes::copy_from_slice(phone.key.public_key().as_ref()),
            ..Default::default()
        };
        assert_eq!(run.ctx.repository.commit(Changes::new().create(&record)).await.unwrap(), Outcome::Committed);
        phone
    }

    fn sign(&self, consent: &Consent) -> DeviceSigned {
        self.sign_body(consent.to_pb().encode_to_vec())
    }

    fn sign_body(&self, body: Vec<u8>) -> DeviceSigned {
        let signature = self.key.sign(&DeviceSigned::signed_bytes::<pb::Consent>(&body));
        let signature = signature.as_ref().try_into().unwrap();
        DeviceSigned { body: body.into(), device: self.id.clone(), signature }
    }
}

fn consent(world: &World, order: &SignedOrder, charge: u8) -> Consent {
    Consent {
        order_digest: order.digest,
        amount: order.order.amount,
        payee: "Bookshop".into(),
        card: Card::First.id(),
        charge: charge_id(charge),
        challenge: CHALLENGE,
        signed_at: world.clock.now(),
    }
}

/// A session that this device proved.
fn proved_by(phone: &Phone, order: &SignedOrder, factors: &[Factor]) -> SignedIn {
    SignedIn { device: Some(phone.id.clone()), ..session("lin", order, factors) }
}

async fn submit(
    run: &Run,
    session: SignedIn,
    order: &SignedOrder,
    signed: Option<DeviceSigned>,
) -> Result<Charge, Error> {
    let submission = Submission { session, consent: signed, ..submission("lin", 1, order, Card::First) };
    charges::submit(&run.ctx, submission).await
}

async fn evidence(world: &World) -> Option<records::Consent> {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    let key = records::Consent::at(&"lin".parse().unwrap(), &charge_id(1));
    durable.load(&key).await.unwrap().map(|stored| stored.value)
}

#[tokio::test]
async fn what_the_device_signed_is_kept_and_its_digest_travels() {
    let (world, run) = World::new().await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order("TWD", 30_000);
    let signed = phone.sign(&consent(&world, &order, 1));
    let factors = [Knowledge, Possession];
    submit(&run, proved_by(&phone, &order, &factors), &order, Some(signed.clone())).await.unwrap();
    let paid = run.until_final(1).await;
    assert!(matches!(paid.state, State::Approved { .. }));
    assert_eq!(paid.consent, Some(signed.digest()));
    let [(request, _)] = world.acquirer.received().try_into().unwrap();
    assert_eq!((request.factors.as_slice(), request.consent_digest), (factors.as_slice(), Some(signed.digest())));

    // The device is forgotten, and the process begins again: the evidence stays, with the key that verifies it.
    let device = run.ctx.repository.load(&records::Device::at(&phone.id)).await.unwrap().unwrap();
    assert_eq!(run.ctx.repository.commit(Changes::new().remove(&device)).await.unwrap(), Outcome::Committed);
    drop(run);
    let kept = evidence(&world).await.unwrap();
    let kept_signed = DeviceSigned::parse(kept.signed.unwrap(), SIGNED_CONSENT_BYTES_MAX).unwrap();
    assert_eq!(kept_signed, signed, "byte for byte");
    let key = proto::device::DeviceKey::from_bytes(kept.device_public_key.as_ref().try_into().unwrap());
    assert!(kept_signed.is_by::<pb::Consent>(&key));
    assert_eq!((kept.customer_id.as_str(), kept.charge_id), ("lin", charge_id(1).to_string()));
    assert_eq!(kept.factors, factors.map(|factor| i32::from(factor.to_pb())));
    assert_eq!(kept.received_at_ms, records::millis_of(paid.created_at));
}

#[tokio::test]
async fn a_session_that_a_device_proved_owes_its_consent() {
    let (world, run) = World::new().await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order("TWD", 30_000);
    let commits = run.store.commits();
    let refused = submit(&run, proved_by(&phone, &order, &[Possession]), &order, None).await;
    assert!(matches!(refused, Err(Error::ConsentRequired)), "{refused:?}");
    assert_eq!((run.store.commits(), evidence(&world).await), (commits, None));
    let signed = phone.sign(&consent(&world, &order, 1));
    submit(&run, proved_by(&phone, &order, &[Possession]), &order, Some(signed)).await.unwrap();
}

#[tokio::test]
async fn a_policy_may_demand_a_consent_of_any_session() {
    let (world, run) = World::with_policy(policy("rules = [{ kinds = 1, consent = true }]")).await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order("TWD", 30_000);
    let by_password = || session("lin", &order, &[Knowledge]);
    let refused = submit(&run, by_password(), &order, None).await;
    assert!(matches!(refused, Err(Error::ConsentRequired)), "{refused:?}");
    let too_few = submit(&run, session("lin", &order, &[]), &order, None).await;
    assert!(matches!(too_few, Err(Error::FactorsInsufficient(_))), "the factors come first: {too_few:?}");
    submit(&run, by_password(), &order, Some(phone.sign(&consent(&world, &order, 1)))).await.unwrap();
    assert!(evidence(&world).await.is_some());
}

#[tokio::test]
async fn a_consent_that_nobody_asked_for_is_checked_all_the_same() {
    let (world, run) = World::new().await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order("TWD", 30_000);
    let by_password = || session("lin", &order, &[Knowledge]);
    let other = Consent { charge: charge_id(2), ..consent(&world, &order, 1) };
    let refused = submit(&run, by_password(), &order, Some(phone.sign(&other))).await;
    assert!(matches!(refused, Err(Error::ConsentInvalid(_))), "{refused:?}");
    submit(&run, by_password(), &order, Some(phone.sign(&consent(&world, &order, 1)))).await.unwrap();
    assert!(evidence(&world).await.is_some());
}

#[tokio::test]
async fn every_part_that_does_not_fit_is_named_and_nothing_moves() {
    let (world, run) = World::new().await;
    let (phone, second) = (Phone::bound(&run, 1, "lin").await, Phone::bound(&run, 2, "lin").await);
    let of_wu = Phone::bound(&run, 3, "wu").await;
    let (order, other) = (world.acquirer.order("TWD", 30_000), world.acquirer.order("TWD", 30_000));
    let right = consent(&world, &order, 1);
    let twd = |units| Money::new("TWD".parse().unwrap(), units).unwrap();
    let usd = Money::new("USD".parse().unwrap(), 30_000).unwrap();
    let (skew, instant) = (Duration::from_secs(60), Duration::from_millis(1));
    let changed = |change: &dyn Fn(&mut Consent)| {
        let mut consent = right.clone();
        change(&mut consent);
        phone.sign(&consent)
    };
    let mut flipped = phone.sign(&right);
    flipped.signature[63] ^= 1;
    let mut altered = phone.sign(&right);
    altered.body = second.sign(&Consent { amount: twd(1), ..right.clone() }).body;
    // A signature of the same device over the same body, but made for another purpose.
    let body = right.to_pb().encode_to_vec();
    let purpose = phone.key.sign(&DeviceSigned::signed_bytes::<pb::SessionUse>(&body));
    let purpose = DeviceSigned { signature: purpose.as_ref().try_into().unwrap(), ..phone.sign(&right) };
    let borrowed = DeviceSigned { device: phone.id.clone(), ..second.sign(&right) };
    let begun = right.signed_at;
    let cases = [
        (changed(&|c| c.order_digest = other.digest), "order_digest"),
        (changed(&|c| c.amount = twd(29_999)), "amount"),
        (changed(&|c| c.amount = usd), "amount"),
        (changed(&|c| c.payee = "Bookshop ".into()), "payee"),
        (changed(&|c| c.card = Card::Second.id()), "card_option_id"),
        (changed(&|c| c.charge = charge_id(2)), "charge_id"),
        (changed(&|c| c.challenge = [8; 32]), "challenge"),
        (changed(&|c| c.signed_at = begun - skew - instant), "signed_at is before"),
        (changed(&|c| c.signed_at = right.signed_at + skew + instant), "signed_at is ahead"),
        (flipped, "signature"),
        (altered, "signature"),
        (purpose, "signature"),
        (borrowed, "signature"),
        (phone.sign_body(vec![0xff; 40]), "body"),
        (phone.sign_body(pb::Consent { challenge: vec![].into(), ..right.to_pb() }.encode_to_vec()), "body"),
        (second.sign(&right), "key_id is another device"),
    ];
    let commits = run.store.commits();
    for (signed, part) in cases {
        let refused = submit(&run, proved_by(&phone, &order, &[Possession]), &order, Some(signed)).await;
        let Err(Error::ConsentInvalid(named)) = refused else { panic!("{part}: {refused:?}") };
        assert!(named.contains(part), "{part}: {named}");
    }
    // A session that no device proved may bring any device of its customer, and no other.
    for (stranger, part) in [(&of_wu, "key_id"), (&Phone::new(4), "key_id")] {
        let refused = submit(&run, session("lin", &order, &[Knowledge]), &order, Some(stranger.sign(&right))).await;
        assert!(matches!(refused, Err(Error::ConsentInvalid(named)) if named.contains(part)), "{refused:?}");
    }
    assert_eq!((run.store.commits(), world.claim(&order).await), (commits, None), "nothing was written");
    assert!(world.acquirer.received().is_empty());
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
}

#[tokio::test]
async fn a_minute_of_skew_is_allowed_either_way() {
    for ahead in [true, false] {
        let (world, run) = World::new().await;
        let phone = Phone::bound(&run, 1, "lin").await;
        let order = world.acquirer.order("TWD", 30_000);
        let skew = Duration::from_secs(60);
        let now = world.clock.now();
        let signed_at = if ahead { now + skew } else { now - skew };
        let signed = phone.sign(&Consent { signed_at, ..consent(&world, &order, 1) });
        submit(&run, proved_by(&phone, &order, &[Possession]), &order, Some(signed)).await.unwrap();
    }
}

#[tokio::test]
async fn a_repeat_needs_no_consent_and_changes_no_evidence() {
    let (world, run) = World::new().await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order("TWD", 30_000);
    let session = || proved_by(&phone, &order, &[Possession]);
    let signed = phone.sign(&consent(&world, &order, 1));
    submit(&run, session(), &order, Some(signed.clone())).await.unwrap();
    let paid = run.until_final(1).await;
    let kept = evidence(&world).await;
    let later =
        phone.sign(&Consent { signed_at: world.clock.now() + Duration::from_secs(1), ..consent(&world, &order, 1) });
    for again in [None, Some(later), Some(DeviceSigned { signature: [0; 64], ..signed })] {
        assert_eq!(submit(&run, session(), &order, again).await.unwrap(), paid);
    }
    assert_eq!(evidence(&world).await, kept);
}

#[tokio::test]
async fn a_request_with_everything_in_it_stays_small_enough() {
    let (world, run) = World::new().await;
    let phone = Phone::bound(&run, 1, "lin").await;
    let order = world.acquirer.order_with("TWD", 99_999, |order| {
        order.merchant.display_name = "B".repeat(60);
        order.delivery_hint = "W".repeat(60);
        order.return_url = format!("https://books.example/{}", "t".repeat(100)).parse().unwrap();
    });
    let all = [Factor::Knowledge, Factor::Inherence, Factor::Possession, Factor::Passkey];
    let signed = phone.sign(&Consent { payee: "B".repeat(60), ..consent(&world, &order, 1) });
    assert!(signed.to_pb().encoded_len() <= SIGNED_CONSENT_BYTES_MAX);
    let ticket = vec![7; proto::authorization::TICKET_BYTES_MAX].into();
    let session = proved_by(&phone, &order, &all);
    let first = submission("lin", 1, &order, Card::First);
    charges::submit(&run.ctx, Submission { session, consent: Some(signed), ticket, ..first }).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

/// However the two meet: once a device is unbound, nothing that it signed is charged.
#[tokio::test]
async fn a_device_that_is_unbound_meanwhile_has_agreed_to_nothing() {
    let mut outcomes = [0; 2];
    for turns in 0..40 {
        let (world, run) = World::new().await;
        let phone = Phone::bound(&run, 1, "lin").await;
        let order = world.acquirer.order("TWD", 30_000);
        let signed = phone.sign(&consent(&world, &order, 1));
        let session = proved_by(&phone, &order, &[Knowledge, Possession]);
        let submitting = {
            let (ctx, consent) = (Arc::clone(&run.ctx), Some(signed));
            let submission = Submission { session, consent, ..submission("lin", 1, &order, Card::First) };
            tokio::spawn(async move { charges::submit(&ctx, submission).await })
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        // Nothing comes between these: the store in memory never waits.
        let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
        let device = durable.load(&records::Device::at(&phone.id)).await.unwrap().unwrap();
        assert_eq!(durable.commit(Changes::new().remove(&device)).await.unwrap(), Outcome::Committed);
        let was_charged = world.claim(&order).await.is_some();

        let taken = submitting.await.unwrap();
        assert_eq!(taken.is_ok(), was_charged, "{turns}: {taken:?}");
        outcomes[usize::from(was_charged)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}: both came about");
}
