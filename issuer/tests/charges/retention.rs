//! What is removed after its period, and what is said of it then.

use std::{sync::Arc, time::Duration};

use issuer::{
    audit::Audit,
    charges::Charge,
    domain::{charge::State, retention::Periods},
    error::Error,
    records::{self, RetentionMark},
    repository::{Changes, Outcome, Repository},
    tasks::retention::{Removed, Retention},
};
use mesh::{audit::Options, clock::Clock as _};
use proptest::prelude::*;
use proto::{authorization::DeclineReason, digest::Digest, order::SignedOrder};

use super::{
    acquirer::{Reply, start},
    faults::Fault,
    world::{Card, Run, World, charge_id},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PERIODS: Periods =
    Periods { charges: Duration::from_secs(5 * 86_400), consents: Duration::from_secs(20 * 86_400) };

fn retention(run: &Run) -> Retention {
    Retention::new(Arc::clone(&run.ctx), PERIODS, None)
}

async fn sweep(run: &Run) -> Removed {
    retention(run).run_once(Duration::ZERO).await.unwrap()
}

async fn days(world: &World, run: &Run, count: u32) -> Removed {
    let mut removed = Removed::default();
    for _ in 0..count {
        world.clock.advance(DAY);
        removed += sweep(run).await;
    }
    removed
}

async fn prepared() -> (World, Run) {
    let (world, run) = World::new().await;
    retention(&run).prepare().await.unwrap();
    (world, run)
}

/// A charge that has come to its end.
async fn ended(world: &World, run: &Run, number: u8, reply: Reply) -> (SignedOrder, Charge) {
    let order = world.acquirer.order("TWD", 1_000);
    world.acquirer.then(reply);
    run.submit(number, &order, Card::First).await.unwrap();
    let charge = run.until_final(number).await;
    (order, charge)
}

/// Puts a consent beside a charge, as its submission with one does.
async fn consented(world: &World, charge: &Charge) {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    let signed = proto::pb::Signed { body: b"consent".as_slice().into(), ..Default::default() };
    let consent = records::Consent {
        customer_id: charge.customer.to_string(),
        charge_id: charge.id.to_string(),
        signed: Some(signed),
        ..Default::default()
    };
    let stored = durable.load(&records::Charge::at(&charge.customer, &charge.id)).await.unwrap().unwrap();
    let with = Charge { consent: Some(Digest::of(b"consent")), ..charge.clone() }.to_record();
    let changes = Changes::new().create(&consent).replace(stored.version, &with);
    assert_eq!(durable.commit(changes).await.unwrap(), Outcome::Committed);
}

async fn is_kept(world: &World, charge: &Charge) -> bool {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    durable.load(&records::Charge::at(&charge.customer, &charge.id)).await.unwrap().is_some()
}

async fn consent_is_kept(world: &World, charge: &Charge) -> bool {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    durable.load(&records::Consent::at(&charge.customer, &charge.id)).await.unwrap().is_some()
}

/// The lines of the audit trail about removed records.
async fn told(world: &World) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    let options = Options::new(folder.path(), "issuer/bank-aurora");
    let mut audit = Audit::open(durable, options, start()).await.unwrap().audit;
    while audit.carry().await.unwrap() > 0 {}
    let text = std::fs::read_to_string(folder.path().join("audit-00000000000000000001.jsonl")).unwrap();
    text.lines().filter(|line| line.contains("records_removed")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_paid_order_stays_claimed_as_long_as_it_could_be_paid() {
    let (world, run) = prepared().await;
    let (order, charge) = ended(&world, &run, 1, Reply::Approve).await;
    let spent = world.account("credit-lin").await;
    let again = run.submit(2, &order, Card::Second).await;
    assert!(matches!(again, Err(Error::OrderAlreadyCharged(_))), "{again:?}");
    assert_eq!(days(&world, &run, 5).await, Removed::default());
    assert_eq!(run.submit(1, &order, Card::First).await.unwrap(), charge, "the same charge as long as it is kept");
    assert_eq!(days(&world, &run, 1).await, Removed { charges: 1, claims: 1, ..Removed::default() });
    assert!(!is_kept(&world, &charge).await && world.claim(&order).await.is_none());
    assert!(matches!(issuer::charges::load(&run.ctx, &charge.customer, &charge.id).await, Err(Error::ChargeNotFound)));
    // The order's own time was over long before, and that is what the same submission hears now.
    for (number, card) in [(1, Card::First), (2, Card::Second)] {
        let late = run.submit(number, &order, card).await;
        assert!(matches!(late, Err(Error::OrderExpired)), "{late:?}");
    }
    assert_eq!(world.account("credit-lin").await, spent, "what was paid stays paid");
    let told = told(&world).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| line.contains("\"count\":\"1\"")), "{told:?}");
    assert!(told[0].contains("\"record\":\"charge\"") && told[1].contains("\"record\":\"claim\""), "{told:?}");
}

#[tokio::test]
async fn a_consent_is_kept_with_its_charge_for_its_own_period() {
    let (world, run) = prepared().await;
    let (order, charge) = ended(&world, &run, 1, Reply::Approve).await;
    consented(&world, &charge).await;
    let (_, other) = ended(&world, &run, 2, Reply::Decline(DeclineReason::LostCard)).await;
    assert_eq!(days(&world, &run, 20).await, Removed { charges: 1, ..Removed::default() });
    assert!(is_kept(&world, &charge).await && consent_is_kept(&world, &charge).await && !is_kept(&world, &other).await);
    let removed = days(&world, &run, 1).await;
    assert_eq!(removed, Removed { charges: 1, claims: 1, consents: 1, ..Removed::default() });
    assert!(!consent_is_kept(&world, &charge).await && world.claim(&order).await.is_none());
}

#[tokio::test]
async fn what_has_no_result_stays_whatever_its_age() {
    let (world, run) = prepared().await;
    let order = world.acquirer.order("TWD", 1_000);
    world.acquirer.then(Reply::Fail(issuer::client::Unanswered::TooLate));
    run.submit(1, &order, Card::First).await.unwrap();
    let unknown = run.until_unknown(1).await;
    let held = world.account("credit-lin").await;
    assert_eq!(days(&world, &run, 400).await, Removed::default());
    assert_eq!(run.charge(1).await, unknown);
    assert!(world.claim(&order).await.is_some() && world.request_is_stored(&unknown).await);
    assert_eq!(world.account("credit-lin").await, held);
}

#[tokio::test]
async fn a_clock_that_jumps_removes_nothing() {
    let (world, run) = prepared().await;
    let (_, charge) = ended(&world, &run, 1, Reply::Approve).await;
    let right = world.clock.now();
    world.clock.set(right + DAY * 3650);
    for hour in 0..24 {
        let elapsed = if hour == 0 { Duration::ZERO } else { DAY / 24 };
        assert_eq!(retention(&run).run_once(elapsed).await.unwrap(), Removed::default(), "hour {hour}");
    }
    let next = world.start(2).await;
    retention(&next).prepare().await.unwrap();
    assert_eq!(sweep(&next).await, Removed::default(), "a restart does not make it believe");
    world.clock.set(right - DAY * 3650);
    assert_eq!(sweep(&next).await, Removed::default());
    world.clock.set(right + DAY);
    assert_eq!(days(&world, &next, 6).await.charges, 1, "once the clock is right it goes on");
    assert!(!is_kept(&world, &charge).await);
    let mark = next.ctx.repository.load(&RetentionMark::at()).await.unwrap().unwrap();
    assert_eq!(records::time_of(mark.value.trusted_ms), right + DAY * 7);
}

#[tokio::test]
async fn a_death_at_any_commit_leaves_whole_charges() {
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        for at in 0.. {
            let (world, run) = prepared().await;
            let mut charges = Vec::new();
            for number in 1..=5 {
                let reply = if number == 2 { Reply::Decline(DeclineReason::LostCard) } else { Reply::Approve };
                let (order, charge) = ended(&world, &run, number, reply).await;
                if number > 3 {
                    consented(&world, &charge).await;
                }
                charges.push((order, charge));
            }
            // The week that is believed at once, after two of lives.
            for _ in 0..3 {
                world.clock.advance(DAY * 7);
                let mark = run.ctx.repository.load(&RetentionMark::at()).await.unwrap().unwrap();
                let moved = RetentionMark { trusted_ms: records::millis_of(world.clock.now() - DAY) };
                let changes = Changes::new().replace(mark.version, &moved);
                assert_eq!(run.ctx.repository.commit(changes).await.unwrap(), Outcome::Committed);
            }
            let next = world.start(2).await;
            next.store.fail(at, fault);
            let dying = retention(&next);
            let ended = tokio::spawn(async move { dying.run_once(Duration::ZERO).await });
            super::world::settle_down().await;
            let survived = !next.store.is_dead();
            ended.abort();
            let story = format!("{fault:?} at {at}");
            for (order, charge) in &charges {
                let kept = is_kept(&world, charge).await;
                let paid = matches!(charge.state, State::Approved { .. });
                assert_eq!(world.claim(order).await.is_some(), kept && paid, "{story}");
                let with_consent = charge.id == charge_id(4) || charge.id == charge_id(5);
                assert_eq!(consent_is_kept(&world, charge).await, kept && with_consent, "{story}");
            }
            let last = world.start(3).await;
            retention(&last).prepare().await.unwrap();
            sweep(&last).await;
            for (_, charge) in &charges {
                assert!(!is_kept(&world, charge).await, "{story}");
            }
            if survived {
                assert!(at > 3, "the run has commits to die at");
                break;
            }
        }
    }
}

/// What happens in a random history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pay(u8),
    Consent,
    Days(u32),
    ClockBack(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8).prop_map(Step::Pay),
        1 => Just(Step::Consent),
        4 => (1..7u32).prop_map(Step::Days),
        1 => (1..30u32).prop_map(Step::ClockBack),
        1 => Just(Step::Restart),
    ]
}

async fn live_through(steps: Vec<Step>) {
    let (world, mut run) = prepared().await;
    let mut charges: Vec<Charge> = Vec::new();
    for (number, step) in (1u8..).zip(steps) {
        match step {
            Step::Pay(2) => {
                let order = world.acquirer.order("TWD", 10);
                world.acquirer.then(Reply::Fail(issuer::client::Unanswered::TooLate));
                run.submit(number, &order, Card::First).await.unwrap();
                charges.push(run.until_unknown(number).await);
            }
            Step::Pay(how) => {
                let reply = if how == 0 { Reply::Approve } else { Reply::Decline(DeclineReason::LostCard) };
                charges.push(ended(&world, &run, number, reply).await.1);
            }
            Step::Consent => {
                if let Some(charge) = charges.last_mut()
                    && charge.state.is_final()
                    && charge.consent.is_none()
                    && is_kept(&world, charge).await
                {
                    consented(&world, charge).await;
                    charge.consent = Some(Digest::of(b"consent"));
                }
            }
            Step::Days(count) => {
                days(&world, &run, count).await;
            }
            Step::ClockBack(count) => {
                let now = world.clock.now();
                world.clock.set(now - DAY * count);
                sweep(&run).await;
                world.clock.set(now);
            }
            Step::Restart => {
                run = world.start(u64::from(number) + 1).await;
                retention(&run).prepare().await.unwrap();
            }
        }
        for charge in &charges {
            let period = if charge.consent.is_some() { PERIODS.consents } else { PERIODS.charges };
            let young = charge.updated_at + period > world.clock.now();
            let kept = is_kept(&world, charge).await;
            assert!(kept || (charge.state.is_final() && !young), "{charge:?} went before its time");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_unfinished_goes(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(steps));
    }
}
