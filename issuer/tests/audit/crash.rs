//! The process dies, or the disk or the store fails, between any two steps of carrying.

use issuer::audit::Audit;
use mesh::audit::BATCH_MAX;
use proptest::prelude::*;

use super::world::{Fault, World, carry};

#[tokio::test]
async fn entries_come_into_the_trail_in_their_order_and_leave_the_store() {
    let world = World::new();
    world.note(0..5).await;
    let mut audit = world.open().await.unwrap().audit;
    let many = 3 * BATCH_MAX as u64 + 7;
    world.note(5..many).await;
    assert!(!world.is_drained().await);
    let mut batches = vec![];
    loop {
        let count = audit.carry().await.unwrap();
        batches.push(count);
        if count < BATCH_MAX {
            break;
        }
    }
    assert_eq!(batches, [BATCH_MAX, BATCH_MAX, BATCH_MAX, 7]);
    assert!(world.is_drained().await);
    assert_eq!(world.customers(), (0..many).collect::<Vec<_>>());
    let checked = world.check();
    assert_eq!((checked.entries, checked.head), (many + 1, audit.head()));
    assert_eq!(audit.carry().await.unwrap(), 0);
}

/// Each of the three steps fails before or after it is done, and then the process dies, or tries again.
#[tokio::test]
async fn whatever_step_fails_every_entry_is_there_once() {
    let faults = [Fault::Fails(0), Fault::Fails(7), Fault::Fails(400), Fault::LostAfter];
    for dies in [true, false] {
        for step in 0..3 {
            for fault in faults {
                let world = World::new();
                let mut audit = world.open().await.unwrap().audit;
                world.note(0..3).await;
                carry(&mut audit).await;
                world.note(3..8).await;
                world.faults.set((0..step).map(|_| Fault::Works).chain([fault]));
                let carried = audit.carry().await;
                // The store's answer can be looked up; a disk's can't.
                assert_eq!(carried.is_ok(), step == 2 && fault == Fault::LostAfter, "step {step}, {fault:?}");
                world.faults.set([]);
                if dies {
                    drop(audit);
                    audit = world.open().await.unwrap().audit;
                }
                world.note(8..10).await;
                carry(&mut audit).await;
                assert_eq!(world.customers(), (0..10).collect::<Vec<_>>(), "step {step}, {fault:?}, dies: {dies}");
                assert_eq!(world.check().head, audit.head());
                assert!(world.is_drained().await);
            }
        }
    }
}

/// A world with two entries in the trail and two more on their way.
async fn under_way() -> World {
    let world = World::new();
    let mut audit = world.open().await.unwrap().audit;
    world.note(0..2).await;
    carry(&mut audit).await;
    world.note(2..4).await;
    world
}

/// The process is killed while a batch is on its way to the disk: any number of its bytes may be there.
#[tokio::test]
async fn a_batch_of_which_any_part_is_on_the_disk_is_there_once() {
    let world = under_way().await;
    let durable = std::fs::metadata(world.newest()).unwrap().len() as usize;
    let mut audit = world.open().await.unwrap().audit;
    carry(&mut audit).await;
    let whole = std::fs::read(world.newest()).unwrap();
    let ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    for kept in (durable..whole.len()).step_by(3).chain([whole.len() - 1, whole.len()]) {
        let world = under_way().await;
        std::fs::write(world.newest(), &whole[..kept]).unwrap();
        let resumed = world.open().await;
        let resumed = resumed.unwrap_or_else(|error| panic!("{kept} bytes: {error}"));
        assert_eq!(resumed.ahead, ends(&whole[..kept]) - 3, "{kept} bytes");
        assert_eq!(resumed.repaired.is_some(), whole[kept - 1] != b'\n');
        let mut audit = resumed.audit;
        carry(&mut audit).await;
        assert_eq!(std::fs::read(world.newest()).unwrap(), whole, "the very same lines");
        assert!(world.is_drained().await);
        // Now the store knows of the lines, and none of them can go any more.
        drop(audit);
        std::fs::write(world.newest(), &whole[..kept]).unwrap();
        assert_eq!(world.open().await.is_ok(), kept == whole.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Note(u64),
    Carry(Vec<Fault>),
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        2 => Just(Fault::Works),
        1 => (0usize..900).prop_map(Fault::Fails),
        1 => Just(Fault::LostAfter),
    ];
    prop_oneof![
        3 => (1u64..90).prop_map(Step::Note),
        4 => prop::collection::vec(fault, 0..9).prop_map(Step::Carry),
        1 => Just(Step::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_there_once_whatever_happens(
        steps in prop::collection::vec(step(), 1..25),
        file_bytes in 300u64..20_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            world.file_bytes = file_bytes;
            let mut audit: Audit = world.open().await.unwrap().audit;
            let mut noted = 0;
            for step in steps {
                match step {
                    Step::Note(count) => {
                        world.note(noted..noted + count).await;
                        noted += count;
                    }
                    Step::Carry(faults) => {
                        world.faults.set(faults);
                        while audit.carry().await.is_ok_and(|count| count > 0) {}
                        world.faults.set([]);
                    }
                    Step::Die => {
                        drop(audit);
                        audit = world.open().await.unwrap().audit;
                    }
                }
            }
            carry(&mut audit).await;
            assert_eq!(world.customers(), (0..noted).collect::<Vec<_>>());
            assert_eq!(world.check().head, audit.head());
            assert!(world.is_drained().await);
        });
    }
}
