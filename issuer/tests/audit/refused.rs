//! A trail and a store that do not belong together are refused at the start, and an operator goes on.

use std::sync::Arc;

use issuer::audit::{Act, Entry, OpenError, note, restart};
use mesh::{
    audit::{CheckOptions, Head, OpenError as TrailError, Published, Record, Trail, check},
    store::{Seq, Store as _, Topic, Transition, memory::MemoryStore},
};

use super::world::{World, carry, cut, now};

/// A world whose trail has six entries after its first line.
async fn filled() -> (World, Head) {
    let world = World::new();
    let mut audit = world.open().await.unwrap().audit;
    for from in [0, 2, 4] {
        world.note(from..from + 2).await;
        carry(&mut audit).await;
    }
    let head = audit.head();
    (world, head)
}

#[tokio::test]
async fn a_trail_that_was_cut_short_is_refused_with_both_numbers() {
    let (world, head) = filled().await;
    let good = std::fs::read(world.newest()).unwrap();
    for lines in (1..7).rev() {
        cut(&world.newest(), lines);
        let refused = world.open().await.unwrap_err();
        assert!(
            matches!(refused, OpenError::Trail(TrailError::Behind { known: 7, found }) if found == lines as u64),
            "{refused}"
        );
        let text = refused.to_string();
        assert!(text.contains("n=7") && text.contains(&format!("n={lines}")), "{text}");
    }
    std::fs::remove_file(world.newest()).unwrap();
    assert!(matches!(world.open().await, Err(OpenError::Trail(TrailError::Behind { known: 7, found: 0 }))));
    let file = world.path().join("audit-00000000000000000001.jsonl");
    std::fs::write(&file, good).unwrap();
    assert_eq!(world.open().await.unwrap().audit.head(), head);
}

#[tokio::test]
async fn a_store_that_is_older_than_the_trail_is_refused_with_both_numbers() {
    let (world, head) = filled().await;
    // A store of another life, which has come less far.
    let younger = World { disk: Arc::new(MemoryStore::new()), ..world };
    let refused = younger.open().await.unwrap_err();
    assert!(matches!(refused, OpenError::Trail(TrailError::Ahead { known: 0, .. })), "{refused}");

    // The same store as a backup has it: of the time when two entries were in the trail.
    let backup = World::new();
    let mut audit = backup.open().await.unwrap().audit;
    backup.note(0..2).await;
    carry(&mut audit).await;
    drop(audit);
    std::fs::copy(younger.newest(), backup.newest()).unwrap();
    let refused = backup.open().await.unwrap_err();
    let reached = backup.disk.watch().borrow().number();
    assert!(
        matches!(refused, OpenError::StoreBehind { n: 7, written, reached: r } if written == head.seq && r == reached),
        "{refused}"
    );
    let text = refused.to_string();
    assert!(text.contains(&head.seq.to_string()) && text.contains(&reached.to_string()), "{text}");
}

/// Whoever appends a well-made line while the issuer stands still.
#[tokio::test]
async fn a_line_that_the_store_has_not_committed_is_refused() {
    let (world, head) = filled().await;
    world.note(6..7).await;
    let waiting = world.disk.events(&Topic::new("audit").unwrap(), Seq::START, 9).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let good = std::fs::read(world.newest()).unwrap();
    for seq in [head.seq + 1, waiting[0].seq.number()] {
        let forged = Record::new(seq, now(), [("act".to_owned(), "session_ended".to_owned())]).unwrap();
        let mut trail = Trail::open(world.options(), Some(head), now()).unwrap().trail;
        trail.append(&[forged]).unwrap();
        drop(trail);
        let refused = world.open().await.unwrap_err();
        assert!(matches!(refused, OpenError::Foreign { n: 8, seq: s } if s == seq), "{refused}");
        std::fs::write(world.newest(), &good).unwrap();
    }
    let mut audit = world.open().await.unwrap().audit;
    carry(&mut audit).await;
    assert_eq!(world.customers(), [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_operator_goes_on_and_the_loss_stays_visible() {
    let (world, head) = filled().await;
    let lost = Published { n: head.n, hash: head.hash };
    cut(&world.newest(), 4);
    world.note(6..8).await;
    assert!(world.open().await.is_err());
    let restarted = restart(&world.durable(), world.options(), "disk 3 was replaced".into(), now()).await.unwrap();
    assert_eq!((restarted.before, restarted.head.n), (Some(head), 8));
    let mut audit = world.open().await.unwrap().audit;
    carry(&mut audit).await;
    world.note(8..9).await;
    carry(&mut audit).await;
    // What had waited in the store is all there; what was cut off is not, and is missed by its published head.
    assert_eq!(world.customers(), [0, 1, 2, 6, 7, 8]);
    let checked = world.check();
    assert_eq!((checked.head, checked.restarts), (audit.head(), vec![8]));
    let missed = check(&world.path(), &CheckOptions { heads: vec![lost], after: None }).unwrap_err().to_string();
    assert!(missed.contains("n=7"), "{missed}");
}

/// An event that no build can read must not keep the later ones from the trail.
#[tokio::test]
async fn an_unreadable_entry_gets_a_line_that_says_so() {
    let world = World::new();
    let mut audit = world.open().await.unwrap().audit;
    let topic = Topic::new("audit").unwrap();
    let damaged = Transition::new().event(topic, &b"\xff\xff\xff"[..]);
    assert!(matches!(world.disk.commit(damaged).await, mesh::store::Commit::Committed { .. }));
    world.note(1..2).await;
    carry(&mut audit).await;
    let text = std::fs::read_to_string(world.newest()).unwrap();
    let line = text.lines().nth(1).unwrap();
    assert!(line.contains("\"act\":\"entry_unreadable\"") && line.contains("\"evidence\":\""), "{line}");
    assert_eq!(world.customers(), [1]);
    world.check();
}

#[tokio::test]
async fn a_line_says_who_did_what_to_what() {
    use issuer::audit::{Actor, Outcome};
    use proto::{authorization::Factor, digest::Digest, ids::*};
    let world = World::new();
    let mut audit = world.open().await.unwrap().audit;
    let token = Digest::of(b"a token");
    let entry = Entry::new(now(), Act::IdentityRefused)
        .by(Actor::Source("::ffff:192.0.2.7".parse().unwrap()))
        .customer(&"customer-1".parse().unwrap())
        .session(&token)
        .card(&CardOptionId::from_random([1; 16]))
        .order(&Digest::of(b"an order"))
        .charge(&ChargeId::from_random([2; 16]))
        .device(&DeviceId::from_random([3; 16]))
        .factor(Factor::Passkey)
        .outcome(Outcome::Refused("password"));
    note(&world.durable(), &entry).await.unwrap();
    carry(&mut audit).await;
    let text = std::fs::read_to_string(world.newest()).unwrap();
    let line = text.lines().nth(1).unwrap();
    let expected = format!(
        "\"act\":\"identity_refused\",\"actor\":\"192.0.2.7\",\"customer\":\"customer-1\",\"session\":\"{}\",\
         \"card\":\"{}\",\"order\":\"{}\",\"charge\":\"{}\",\"device\":\"{}\",\"factor\":\"passkey\",\
         \"outcome\":\"refused\",\"why\":\"password\",\"prev\":",
        &token.to_string()[..16],
        CardOptionId::from_random([1; 16]),
        Digest::of(b"an order"),
        ChargeId::from_random([2; 16]),
        DeviceId::from_random([3; 16]),
    );
    assert!(line.contains(&expected), "{line}");
    assert!(!line.contains(&token.to_string()[..17]), "a session goes by a part of its digest alone");
}
