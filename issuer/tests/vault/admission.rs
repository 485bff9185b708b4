//! Keys that are missing, wrong or new, at start and when a key file changes.

use std::sync::Arc;

use issuer::{
    records::Card,
    repository::{Changes, Outcome, Repository},
    vault::{
        LookupError, LookupKeys,
        needs::{self, Unfit},
    },
};
use mesh::{
    clock::SeededEntropy,
    sealing::at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    store::{Change, RecordId, Store, Write, memory::MemoryStore},
};

use super::bank::{
    LOOKUP, STATE, customer, fill, fill_without_index, is_whole, needed, option, put, report, sweep, vault,
};

const CUSTOMERS: u8 = 5;

async fn bank() -> Arc<dyn Store> {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    fill(&store, &vault(&[1]), CUSTOMERS).await;
    store
}

fn last_commit(store: &Arc<dyn Store>) -> u64 {
    store.watch().borrow().number()
}

#[tokio::test]
async fn a_needed_key_that_is_missing_is_named_with_what_needs_it_and_nothing_is_written() {
    let store = bank().await;
    sweep_some(&store).await;
    let before = last_commit(&store);
    let refused = needs::admit(store.as_ref(), &vault(&[2])).await.unwrap_err();
    assert!(refused.is_of_the_keys());
    assert!(matches!(refused, Unfit::Missing { records: 3, .. }), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("key version 1 is missing, and 3 records need it, the first of them password hash customer-"),
        "{text}"
    );
    assert_eq!(last_commit(&store), before);
}

/// Moves one batch of eight records of the eleven to version 2.
async fn sweep_some(store: &Arc<dyn Store>) {
    let keys = vault(&[1, 2]);
    needs::admit(store.as_ref(), &keys).await.unwrap();
    let mut walk = issuer::tasks::rotation::Sweep::new(store.as_ref(), &keys);
    assert_eq!(walk.step().await.unwrap().unwrap().moved, 8);
}

#[tokio::test]
async fn a_retired_key_that_nobody_needs_may_go_and_come_back() {
    let store = bank().await;
    for keys in [&[1, 2][..], &[2], &[1, 2], &[2, 3], &[3]] {
        needs::admit(store.as_ref(), &vault(keys)).await.unwrap();
        sweep(&store, &vault(keys)).await;
    }
    assert!(is_whole(&store, &vault(&[3]), CUSTOMERS).await);
}

#[tokio::test]
async fn going_back_to_the_old_key_file_is_refused() {
    let store = bank().await;
    sweep_some(&store).await;
    let refused = needs::admit(store.as_ref(), &vault(&[1])).await.unwrap_err();
    assert!(
        matches!(refused, Unfit::Missing { version, records: 8, .. } if version == KeyVersion::new(2)),
        "{refused}"
    );
}

#[tokio::test]
async fn another_key_under_a_version_in_use_is_refused() {
    let store = bank().await;
    let other = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &[0xee; 32]).unwrap()]).unwrap();
    let before = last_commit(&store);
    let refused = needs::admit(store.as_ref(), &other).await.unwrap_err();
    assert!(matches!(refused, Unfit::OtherKey { version } if version == KeyVersion::new(1)), "{refused}");
    // Also beside a good one: the retired key is proved, too.
    sweep_some(&store).await;
    let keys = [(1, 0xee), (2, 2)].map(|(version, byte)| KeyEncryptionKey::new(KeyVersion::new(version), &[byte; 32]));
    let mixed = Vault::new(keys.map(Result::unwrap)).unwrap();
    let refused = needs::admit(store.as_ref(), &mixed).await.unwrap_err();
    assert!(matches!(refused, Unfit::OtherKey { version } if version == KeyVersion::new(1)), "{refused}");
    assert!(last_commit(&store) > before, "only the good keys have written");
}

#[tokio::test]
async fn damage_is_not_taken_for_a_wrong_key() {
    let store = bank().await;
    sweep(&store, &vault(&[1, 2])).await;
    needs::admit(store.as_ref(), &vault(&[1, 2])).await.unwrap();
    // The only record under key 1 is a damaged one: its key is still the right one.
    let (_, _, mut card) = super::bank::records(&vault(&[1]), 0);
    let mut bytes = card.sealed_data.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    card.sealed_data = bytes.into();
    replace_card(&store, &card).await;
    assert_eq!(needed(&store).await, [1, 2]);
    needs::admit(store.as_ref(), &vault(&[1, 2])).await.unwrap();
}

async fn replace_card(store: &Arc<dyn Store>, card: &Card) {
    let repository = Repository::new(Arc::clone(store));
    let stored = repository.load(&Card::at(&card.card_option_id.parse().unwrap())).await.unwrap().unwrap();
    assert_eq!(repository.commit(Changes::new().replace(stored.version, card)).await.unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn a_record_that_names_a_key_that_never_was_keeps_nobody_from_starting() {
    let store = bank().await;
    let (_, _, mut card) = super::bank::records(&vault(&[1]), 0);
    let mut bytes = card.sealed_data.to_vec();
    bytes[2] ^= 1;
    card.sealed_data = bytes.into();
    replace_card(&store, &card).await;
    assert_eq!(needed(&store).await, [1, 65_537]);
    needs::admit(store.as_ref(), &vault(&[1])).await.unwrap();
    let (lines, summary) = report(&store, &vault(&[1])).await;
    let what = "the record needs key encryption key version 65537, which is not here";
    assert_eq!(lines, [format!("card {}: {what}", option(0))]);
    assert_eq!(summary.records, usize::from(CUSTOMERS) * 2 + 1);
}

#[tokio::test]
async fn the_vaults_own_record_is_made_again_where_it_is_damaged() {
    let store = bank().await;
    let id = RecordId::new(STATE, b"state");
    for damage in [&b"\xff\xff"[..], b"", b"\x08\x01\x12\x06\x08\x01\x12\x02\x01\x00"] {
        let record = store.get(&id).await.unwrap().unwrap();
        let change = Change::Put { body: damage.to_vec().into(), indexes: vec![] };
        put(&store, Write { id: id.clone(), expected: record.version, change }).await;
        needs::admit(store.as_ref(), &vault(&[1])).await.unwrap();
        assert!(is_whole(&store, &vault(&[1]), CUSTOMERS).await);
        assert_eq!(needed(&store).await, [1]);
        let before = last_commit(&store);
        needs::admit(store.as_ref(), &vault(&[1])).await.unwrap();
        assert_eq!(last_commit(&store), before, "what is whole is left alone");
    }
}

#[tokio::test]
async fn a_store_from_before_the_index_is_taken_over() {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    fill_without_index(&store, &vault(&[1]), CUSTOMERS).await;
    assert_eq!(needed(&store).await, [] as [u32; 0]);
    // Before it is taken over it can be checked, and a missing key is noticed without a write.
    let whole = issuer::vault::check::Summary { records: 11, damaged: 0 };
    assert_eq!(report(&store, &vault(&[1])).await, (vec![], whole));
    let before = last_commit(&store);
    let refused = needs::admit(store.as_ref(), &vault(&[2])).await.unwrap_err();
    assert!(matches!(refused, Unfit::Missing { records: 11, .. }), "{refused}");
    assert_eq!(last_commit(&store), before);

    needs::admit(store.as_ref(), &vault(&[1, 2])).await.unwrap();
    assert_eq!(needed(&store).await, [1]);
    assert_eq!(sweep(&store, &vault(&[1, 2])).await, (11, vec![]));
    assert_eq!(report(&store, &vault(&[2])).await, (vec![], whole));
    let card = Repository::new(Arc::clone(&store)).load(&Card::at(&option(1))).await.unwrap().unwrap().value;
    assert_eq!(card.customer_id, customer(1).as_str());
}

/// A new key would find no customer, and nobody would know why.
#[tokio::test]
async fn a_look_up_key_that_is_gone_is_not_made_again_beside_customers() {
    let store = bank().await;
    let id = RecordId::new(LOOKUP, b"lookup");
    let record = store.get(&id).await.unwrap().unwrap();
    put(&store, Write { id, expected: record.version, change: Change::Remove }).await;
    let before = last_commit(&store);
    let gone = LookupKeys::open(store.as_ref(), &vault(&[1]), &SeededEntropy::new(2)).await.unwrap_err();
    assert!(matches!(gone, LookupError::Lost), "{gone}");
    assert_eq!(last_commit(&store), before);
}
