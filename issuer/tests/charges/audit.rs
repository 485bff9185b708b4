//! What the audit trail tells of a charge: each act once, in its order, whatever dies in between.

use std::{fs::File, io, sync::Arc, time::Duration};

use issuer::{
    audit::{Act, Audit, Entry, note},
    config::AuditConfig,
    domain::charge::State,
    repository::Repository,
    service::issuer_auth::IssuerAuthService,
    tasks::{audit::Carrier, recovery::recover},
};
use mesh::{
    audit::{Disk, LocalDisk, Options},
    clock::Clock,
    status::reason_of,
    store::{Seq, Store as _, Topic},
};
use proto::{
    authorization::DeclineReason,
    pb::{
        BindDeviceRequest, StartAuthenticationRequest, bind_device_request::Authorization,
        issuer_auth_server::IssuerAuth as _,
    },
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::{
    acquirer::{Reply, start},
    faults::Fault,
    world::{Card, Run, World, charge_id, settle_down},
};

/// A line of the trail: the act, the outcome and its reason.
fn brief(line: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
        rest.split('"').next()
    };
    [field("act"), field("outcome"), field("why")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Every line that is about the first charge, as the trail has it once everything was carried.
async fn told(world: &World) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<_>);
    let options = Options::new(folder.path(), "issuer/bank-aurora");
    let mut audit = Audit::open(durable, options, start()).await.unwrap().audit;
    while audit.carry().await.unwrap() > 0 {}
    let text = std::fs::read_to_string(folder.path().join("audit-00000000000000000001.jsonl")).unwrap();
    text.lines().filter(|line| line.contains(charge_id(1).as_str())).map(str::to_owned).collect()
}

async fn briefly(world: &World) -> Vec<String> {
    told(world).await.iter().map(|line| brief(line)).collect()
}

#[tokio::test]
async fn a_charge_is_told_from_its_submission_to_its_end() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.unwrap();
    run.until_final(1).await;
    // The same content again is no act.
    run.submit(1, &order, Card::First).await.unwrap();
    let lines = told(&world).await;
    let briefs: Vec<String> = lines.iter().map(|line| brief(line)).collect();
    assert_eq!(briefs, ["charge_submitted", "card_opened", "charge_ended approved"]);
    for line in &lines {
        let digest = order.digest.to_string();
        for part in ["\"customer\":\"lin\"", Card::First.id().as_str(), digest.as_str()] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains(super::world::PAN), "{line}");
    }
    assert!(lines[0].contains("\"actor\":\"192.0.2.1\"") && lines[0].contains("\"session\":\""), "{}", lines[0]);
    assert!(lines[1].contains("\"actor\":\"issuer\""), "{}", lines[1]);
}

#[tokio::test]
async fn a_decline_is_told_with_its_reason() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Decline(DeclineReason::DoNotHonor));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    run.until_final(1).await;
    assert_eq!(briefly(&world).await, ["charge_submitted", "card_opened", "charge_ended declined DO_NOT_HONOR"]);
}

async fn live(world: &World, run: &Run) {
    for _ in 0..20 {
        settle_down().await;
        if run.store.is_dead() {
            return;
        }
        world.clock.advance(Duration::from_secs(1));
    }
}

/// The acts are exactly those of the states that the charge has come through.
#[tokio::test]
async fn a_death_at_any_commit_leaves_each_act_told_once() {
    for after in 0..4 {
        for fault in [Fault::DieBefore, Fault::DieAfter, Fault::LostAfter, Fault::LostBefore, Fault::Conflict] {
            let (world, run) = World::new().await;
            world.acquirer.then(Reply::ApproveUnheard);
            run.store.fail(after, fault);
            let order = world.acquirer.order("TWD", 30_000);
            let submitting = {
                let ctx = Arc::clone(&run.ctx);
                let submission = super::world::submission("lin", 1, &order, Card::First);
                tokio::spawn(async move { issuer::charges::submit(&ctx, submission).await })
            };
            run.ask();
            live(&world, &run).await;
            submitting.abort();
            let next = world.start(2).await;
            recover(&next.ctx).await.unwrap();
            next.ask();
            live(&world, &next).await;
            let charge = issuer::charges::load(&next.ctx, &"lin".parse().unwrap(), &charge_id(1)).await;
            let expected: &[&str] = match charge.map(|charge| charge.state) {
                Err(_) => &[],
                Ok(State::Abandoned) => &["charge_submitted", "charge_ended abandoned"],
                Ok(State::Approved { .. }) => &["charge_submitted", "card_opened", "charge_ended approved"],
                // The request was durable, and died before its first byte.
                Ok(State::Declined { .. }) => {
                    &["charge_submitted", "card_opened", "charge_ended declined NEVER_RECEIVED"]
                }
                Ok(other) => panic!("after {after}, {fault:?}: {other:?}"),
            };
            assert_eq!(briefly(&world).await, expected, "after {after}, {fault:?}");
        }
    }
}

/// A disk on which there is room for a trail's first line, and for no second one.
struct FullDisk;

impl Disk for FullDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if file.metadata()?.len() > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        LocalDisk.append(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        LocalDisk.sync(file)
    }
}

/// Nobody signs in unaudited; who has signed in pays.
#[tokio::test]
async fn a_trail_that_cannot_be_written_stops_sign_ins_and_no_payment() {
    let (world, run) = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path(), "issuer/bank-aurora").disk(Arc::new(FullDisk));
    let audit = Audit::open(run.ctx.repository.clone(), options, start()).await.unwrap().audit;
    let service = IssuerAuthService::new(Arc::clone(&run.ctx));
    let begin = || service.start_authentication(tonic::Request::new(StartAuthenticationRequest::default()));
    begin().await.unwrap();
    note(&run.ctx.repository, &Entry::new(start(), Act::VaultRotated)).await.unwrap();
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let (standing, config) = (run.ctx.audit.clone(), AuditConfig::default());
    Carrier::new(audit, standing, clock, &run.ctx.metrics, &config).start().await;
    assert_eq!(reason_of(&begin().await.unwrap_err()).as_deref(), Some("OVERLOADED"));
    let waiting = async || world.disk.events(&Topic::new("audit").unwrap(), Seq::new(0), 64).await.unwrap().len();
    let before = waiting().await;
    let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let bind = service.bind_device(tonic::Request::new(BindDeviceRequest {
        authorization: Some(Authorization::ActivationCode("7K3M-9PQR-10TV".into())),
        public_key: key.public_key().as_ref().to_vec().into(),
        display_name: "Phone".into(),
        signature: vec![0; 64].into(),
        session_use: None,
    }));
    assert_eq!(reason_of(&bind.await.unwrap_err()).as_deref(), Some("OVERLOADED"));
    assert_eq!(waiting().await, before, "who needs no session adds nothing to what waits");
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}
