//! Damage of every sort is noticed and named, and nothing else is harmed.

use std::sync::Arc;

use issuer::{
    records::{Card, Credential, Entity},
    repository::{Changes, Outcome, Repository},
    vault::check::Summary,
};
use mesh::store::{Change, Record, RecordId, Store, Write, memory::MemoryStore};

use super::bank::{LOOKUP, PAN, customer, fill, option, put, records, report, vault};

const CUSTOMERS: u8 = 4;
const RECORDS: usize = 9;

async fn bank() -> Arc<dyn Store> {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    fill(&store, &vault(&[1]), CUSTOMERS).await;
    store
}

async fn change<T: Entity>(store: &Arc<dyn Store>, key: issuer::records::Key<T>, change: impl FnOnce(&mut T)) {
    let repository = Repository::new(Arc::clone(store));
    let mut stored = repository.load(&key).await.unwrap().unwrap();
    change(&mut stored.value);
    let changes = Changes::new().replace(stored.version, &stored.value);
    assert_eq!(repository.commit(changes).await.unwrap(), Outcome::Committed);
}

async fn raw(store: &Arc<dyn Store>, id: &RecordId) -> Record {
    store.get(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_whole_vault_is_whole_and_the_check_writes_nothing() {
    let store = bank().await;
    let before = *store.watch().borrow();
    let (lines, summary) = report(&store, &vault(&[1])).await;
    assert_eq!((lines, summary), (vec![], Summary { records: RECORDS, damaged: 0 }));
    assert_eq!(summary.to_string(), "vault: 9 records, 0 damaged");
    assert_eq!(*store.watch().borrow(), before);
}

#[tokio::test]
async fn a_flipped_bit_or_a_cut_anywhere_in_a_record_is_noticed() {
    let (_, _, sound) = records(&vault(&[1]), 2);
    let store = bank().await;
    let length = sound.sealed_data.len();
    let flips = (0..length).map(|at| {
        let mut bytes = sound.sealed_data.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let cuts = (0..length).map(|at| sound.sealed_data[..at].to_vec());
    for bytes in flips.chain(cuts).chain([[&sound.sealed_data[..], b"\0"].concat()]) {
        change(&store, Card::at(&option(2)), |card| card.sealed_data = bytes.into()).await;
        let (lines, summary) = report(&store, &vault(&[1])).await;
        assert_eq!(summary, Summary { records: RECORDS, damaged: 1 }, "{lines:?}");
        assert!(lines[0].starts_with(&format!("card {}: ", option(2))), "{lines:?}");
        assert!(!lines[0].contains(PAN));
    }
    change(&store, Card::at(&option(2)), |card| *card = sound).await;
    assert_eq!(report(&store, &vault(&[1])).await.1.damaged, 0);
}

#[tokio::test]
async fn swapped_cards_are_both_named() {
    let store = bank().await;
    let load = async |number| {
        Repository::new(Arc::clone(&store)).load(&Card::at(&option(number))).await.unwrap().unwrap().value.sealed_data
    };
    let (one, other) = (load(1).await, load(2).await);
    change(&store, Card::at(&option(1)), |card| card.sealed_data = other).await;
    change(&store, Card::at(&option(2)), |card| card.sealed_data = one).await;
    let (lines, summary) = report(&store, &vault(&[1])).await;
    let line = |number| format!("card {}: the record cannot be decrypted", option(number));
    let mut expected = vec![line(1), line(2)];
    expected.sort();
    assert_eq!((lines, summary), (expected, Summary { records: RECORDS, damaged: 2 }));
}

#[tokio::test]
async fn swapped_password_hashes_are_both_named() {
    let store = bank().await;
    let load = async |number| {
        let stored = Repository::new(Arc::clone(&store)).load(&Credential::at(&customer(number))).await;
        stored.unwrap().unwrap().value.sealed_password_hash
    };
    let (one, other) = (load(1).await, load(3).await);
    change(&store, Credential::at(&customer(1)), |record| record.sealed_password_hash = other).await;
    change(&store, Credential::at(&customer(3)), |record| record.sealed_password_hash = one).await;
    let (lines, _) = report(&store, &vault(&[1])).await;
    let line = |number| format!("password hash {}: the record cannot be decrypted", customer(number));
    assert_eq!(lines, [line(1), line(3)]);
}

#[tokio::test]
async fn whole_records_in_each_others_place_are_named() {
    let store = bank().await;
    let ids = [1, 2].map(|number| RecordId::new(Card::KIND, option(number).as_str()));
    let (one, other) = (raw(&store, &ids[0]).await, raw(&store, &ids[1]).await);
    for (id, expected, foreign) in [(&ids[0], &one, &other), (&ids[1], &other, &one)] {
        let card = <Card as prost::Message>::decode(foreign.body.clone()).unwrap();
        let put_there = Change::Put { body: foreign.body.clone(), indexes: card.indexes() };
        put(&store, Write { id: id.clone(), expected: expected.version, change: put_there }).await;
    }
    let (lines, _) = report(&store, &vault(&[1])).await;
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.ends_with("another record stands in its place")), "{lines:?}");
}

#[tokio::test]
async fn a_card_that_was_given_to_another_customer_is_named() {
    let store = bank().await;
    change(&store, Card::at(&option(1)), |card| card.customer_id = customer(2).to_string()).await;
    let (lines, _) = report(&store, &vault(&[1])).await;
    assert_eq!(lines, [format!("card {}: the record cannot be decrypted", option(1))]);
}

#[tokio::test]
async fn a_record_whose_body_is_cut_is_named_with_the_look_up_key() {
    let store = bank().await;
    for (kind, key) in [(Card::KIND, option(1).to_string()), (LOOKUP, "lookup".to_owned())] {
        let id = RecordId::new(kind, key);
        let record = raw(&store, &id).await;
        let indexes = vec![mesh::store::IndexEntry::new(issuer::vault::sealed::INDEX_KEY_VERSION, [0, 0, 0, 1])];
        let body = record.body.slice(..record.body.len() - 5);
        put(&store, Write { id, expected: record.version, change: Change::Put { body, indexes } }).await;
    }
    let (lines, summary) = report(&store, &vault(&[1])).await;
    assert_eq!(summary.damaged, 2);
    assert_eq!(
        lines,
        [
            format!("card {}: the record around it cannot be read", option(1)),
            "key of the look-up hashes lookup: the record around it cannot be read".to_owned()
        ]
    );
}

#[tokio::test]
async fn contents_of_another_sort_are_named() {
    let store = bank().await;
    let keys = vault(&[1]);
    let sealed = issuer::vault::seal_password_hash(&keys, &customer(1), "no hash at all").unwrap();
    change(&store, Credential::at(&customer(1)), |record| record.sealed_password_hash = sealed.into()).await;
    let (lines, _) = report(&store, &keys).await;
    assert_eq!(lines, ["password hash customer-1: it opens, and is not what belongs there"]);
}
