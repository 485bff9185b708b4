//! Moving to a new key: interrupted anywhere, with others at the same records, and with damage in the way.

use std::sync::Arc;

use issuer::{
    records::{Card, Credential, Entity as _, INDEX_CARD_BY_CUSTOMER},
    repository::{Changes, Outcome, Repository},
    tasks::rotation::Sweep,
    vault::{open_password_hash, seal_password_hash},
};
use mesh::store::{Change, KeyRange, PageRequest, Store, Write, memory::MemoryStore};

use super::{
    bank::{customer, fill, is_whole, needed, option, put, report, sweep, vault},
    faults::{Fault, FaultyStore},
};

/// With the look-up key 41 records, which are six batches.
const CUSTOMERS: u8 = 20;
const RECORDS: usize = 41;
const COMMITS: usize = 6;

async fn bank() -> Arc<MemoryStore> {
    let disk = Arc::new(MemoryStore::new());
    fill(&(Arc::clone(&disk) as Arc<dyn Store>), &vault(&[1]), CUSTOMERS).await;
    disk
}

fn on(disk: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::clone(disk) as Arc<dyn Store>
}

#[tokio::test]
async fn every_record_moves_and_the_old_key_can_go() {
    let disk = bank().await;
    assert_eq!(needed(&on(&disk)).await, [1]);
    let faulty = Arc::new(FaultyStore::new(Arc::clone(&disk)));
    let store = Arc::clone(&faulty) as Arc<dyn Store>;
    assert_eq!(sweep(&store, &vault(&[1, 2])).await, (RECORDS, vec![]));
    assert_eq!(faulty.commits(), COMMITS);
    assert_eq!(needed(&on(&disk)).await, [2]);
    assert!(is_whole(&on(&disk), &vault(&[2]), CUSTOMERS).await);
    assert!(!is_whole(&on(&disk), &vault(&[1]), CUSTOMERS).await);
    assert_eq!(sweep(&store, &vault(&[2])).await, (0, vec![]), "there is nothing left to do");
}

#[tokio::test]
async fn nothing_but_the_wrapped_key_changes() {
    let disk = bank().await;
    let before = Repository::new(on(&disk)).load(&Card::at(&option(3))).await.unwrap().unwrap().value;
    sweep(&on(&disk), &vault(&[1, 2])).await;
    let after = Repository::new(on(&disk)).load(&Card::at(&option(3))).await.unwrap().unwrap().value;
    assert_ne!(after.sealed_data, before.sealed_data);
    // Format, version and wrapped key are in front; the nonce and the ciphertext behind stay.
    assert_eq!(after.sealed_data[65..], before.sealed_data[65..]);
    assert_eq!(Card { sealed_data: before.sealed_data.clone(), ..after }, before);
}

#[tokio::test]
async fn a_death_at_any_commit_loses_nothing_and_the_next_run_goes_on() {
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        for at in 0..COMMITS {
            let disk = bank().await;
            let both = Arc::new(vault(&[1, 2]));
            let mut lives = 0;
            // Every life dies at the same commit of its own, so that it dies in every batch in turn.
            loop {
                let faulty = Arc::new(FaultyStore::new(Arc::clone(&disk)));
                faulty.fail(at, fault);
                let store = Arc::clone(&faulty) as Arc<dyn Store>;
                let (dying, keys) = (Arc::clone(&store), Arc::clone(&both));
                let life = tokio::spawn(async move { sweep(&dying, &keys).await });
                while !faulty.is_dead() && !life.is_finished() {
                    tokio::task::yield_now().await;
                }
                let story = format!("{fault:?} at {at}, life {lives}");
                assert!(is_whole(&on(&disk), &both, CUSTOMERS).await, "{story}");
                assert!(!is_whole(&on(&disk), &vault(&[2]), CUSTOMERS).await || needed(&on(&disk)).await == [2]);
                if life.is_finished() {
                    break;
                }
                life.abort();
                lives += 1;
                if fault == Fault::DieBefore && at == 0 {
                    // Such a process never gets anything done; the one after it lives.
                    sweep(&on(&disk), &both).await;
                    break;
                }
            }
            assert_eq!(needed(&on(&disk)).await, [2], "{fault:?} at {at}");
            assert!(is_whole(&on(&disk), &vault(&[2]), CUSTOMERS).await, "{fault:?} at {at}");
        }
    }
}

#[tokio::test]
async fn commits_that_conflict_or_whose_answers_are_lost_are_met_again() {
    for fault in [Fault::Conflict, Fault::LostAfter, Fault::LostBefore] {
        for at in 0..COMMITS {
            let disk = bank().await;
            let faulty = Arc::new(FaultyStore::new(Arc::clone(&disk)));
            faulty.fail(at, fault);
            let (_, stuck) = sweep(&(faulty as Arc<dyn Store>), &vault(&[1, 2])).await;
            assert!(stuck.is_empty(), "{fault:?} at {at}: {stuck:?}");
            assert!(is_whole(&on(&disk), &vault(&[2]), CUSTOMERS).await, "{fault:?} at {at}");
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_stops_the_walk_and_it_goes_on_at_the_same_place() {
    let disk = bank().await;
    let faulty = FaultyStore::new(Arc::clone(&disk));
    faulty.fail(2, Fault::Fatal);
    let keys = vault(&[1, 2]);
    let mut walk = Sweep::new(&faulty, &keys);
    let (mut moved, mut failures) = (0, 0);
    loop {
        match walk.step().await {
            Ok(Some(swept)) => moved += swept.moved,
            Ok(None) => break,
            Err(_) => failures += 1,
        }
    }
    assert_eq!((moved, failures), (RECORDS, 1));
}

#[tokio::test]
async fn others_who_write_the_same_records_lose_nothing() {
    const WRITES: usize = 30;
    let disk = bank().await;
    // Gives way at every call, so that everybody comes in between everybody.
    let store = Arc::new(FaultyStore::new(Arc::clone(&disk))) as Arc<dyn Store>;
    let keys = Arc::new(vault(&[1]));
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..CUSTOMERS {
        let (repository, keys) = (Repository::new(Arc::clone(&store)), Arc::clone(&keys));
        writers.spawn(async move {
            let mut done = 0;
            while done < WRITES {
                let card = repository.load(&Card::at(&option(number))).await.unwrap().unwrap();
                let mut changed = card.value.clone();
                changed.label = (changed.label.parse::<usize>().unwrap() + 1).to_string();
                let credential = repository.load(&Credential::at(&customer(number))).await.unwrap().unwrap();
                let hash = format!("$argon2id$renewed {done}");
                let sealed = seal_password_hash(&keys, &customer(number), &hash).unwrap().into();
                let renewed = Credential { sealed_password_hash: sealed, ..credential.value };
                let changes = Changes::new().replace(card.version, &changed).replace(credential.version, &renewed);
                if repository.commit(changes).await.unwrap() == Outcome::Committed {
                    done += 1;
                }
            }
        });
    }
    for next in 2..6 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        keys.replace(super::bank::ring(&(1..=next).collect::<Vec<_>>()));
        sweep(&store, &keys).await;
    }
    writers.join_all().await;
    sweep(&store, &keys).await;
    assert_eq!(needed(&on(&disk)).await, [5]);
    let (repository, last) = (Repository::new(on(&disk)), vault(&[5]));
    for number in 0..CUSTOMERS {
        let card = repository.load(&Card::at(&option(number))).await.unwrap().unwrap().value;
        assert_eq!(card.label, WRITES.to_string());
        let credential = repository.load(&Credential::at(&customer(number))).await.unwrap().unwrap().value;
        let hash = open_password_hash(&last, &customer(number), &credential.sealed_password_hash).unwrap();
        assert_eq!(hash.as_str(), format!("$argon2id$renewed {}", WRITES - 1));
    }
    assert!(report(&on(&disk), &last).await.0.is_empty());
}

#[tokio::test]
async fn a_damaged_record_is_named_and_holds_up_nobody() {
    let disk = bank().await;
    let repository = Repository::new(on(&disk));
    let card = repository.load(&Card::at(&option(0))).await.unwrap().unwrap();
    let mut bytes = card.value.sealed_data.to_vec();
    bytes[20] ^= 1;
    let damaged = Card { sealed_data: bytes.into(), ..card.value };
    assert_eq!(repository.commit(Changes::new().replace(card.version, &damaged)).await.unwrap(), Outcome::Committed);

    let (moved, stuck) = sweep(&on(&disk), &vault(&[1, 2])).await;
    assert_eq!(moved, RECORDS - 1);
    assert_eq!(stuck, [format!("card {}: the record cannot be decrypted", option(0))]);
    assert_eq!(needed(&on(&disk)).await, [1, 2]);
    assert_eq!(report(&on(&disk), &vault(&[1, 2])).await.0, stuck);
    let untouched = repository.load(&Card::at(&option(0))).await.unwrap().unwrap().value;
    assert_eq!(untouched, damaged);
}

/// The files of the engine are changed: one card's record stands in another's place, where the index still tells of
/// the other. To write it there anew would give it the entries of the first, and so show the card twice.
#[tokio::test]
async fn a_record_in_anothers_place_is_left_there() {
    let disk = bank().await;
    let (of_0, at_1) = (Card::at(&option(0)).record_id(), Card::at(&option(1)).record_id());
    let repository = Repository::new(on(&disk));
    let indexes = repository.load(&Card::at(&option(1))).await.unwrap().unwrap().value.indexes();
    let (foreign, own) = (disk.get(&of_0).await.unwrap().unwrap(), disk.get(&at_1).await.unwrap().unwrap());
    let change = Change::Put { body: foreign.body, indexes };
    put(&on(&disk), Write { id: at_1.clone(), expected: own.version, change }).await;
    let cards_of = async |number: u8| {
        let range = KeyRange::exactly(customer(number).as_str().as_bytes());
        let page = disk.scan(INDEX_CARD_BY_CUSTOMER, range, PageRequest::first(9)).await.unwrap();
        page.items.into_iter().map(|item| item.id).collect::<Vec<_>>()
    };
    let before = (cards_of(0).await, cards_of(1).await);
    assert_eq!(before, (vec![of_0], vec![at_1]));

    let (moved, stuck) = sweep(&on(&disk), &vault(&[1, 2])).await;
    assert_eq!(moved, RECORDS - 1);
    assert_eq!(stuck, [format!("card {}: another record stands in its place", option(1))]);
    assert_eq!((cards_of(0).await, cards_of(1).await), before);
}
