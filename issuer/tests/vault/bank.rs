//! A bank with sealed cards and password hashes, and what an auditor would look at.

use std::sync::Arc;

use issuer::{
    domain::ids::CustomerId,
    records::{Card, Credential, Customer, Entity as _},
    repository::{Changes, Outcome, Repository},
    tasks::rotation::Sweep,
    vault::{
        LookupKeys, Problem, RecordName,
        check::{Summary, check},
        needs, open_card, open_password_hash, seal_card, seal_password_hash,
    },
};
use mesh::{
    clock::SeededEntropy,
    sealing::at_rest::{KeyEncryptionKey, KeyRing, KeyVersion, Vault},
    store::{Change, RecordId, Store, Transition, Write},
};
use proto::{
    card::{CardData, Expiry},
    ids::CardOptionId,
};

pub(super) const PAN: &str = "4000000000000002";

/// The key of a version is the same in every test.
pub(super) fn ring(versions: &[u32]) -> Arc<KeyRing> {
    let key = |version: &u32| {
        let bytes = [u8::try_from(*version).unwrap(); 32];
        KeyEncryptionKey::new(KeyVersion::new(*version), &bytes).unwrap()
    };
    Arc::new(KeyRing::new(versions.iter().map(key)).unwrap())
}

pub(super) fn vault(versions: &[u32]) -> Vault {
    Vault::over(ring(versions))
}

/// A key file of these versions.
pub(super) fn key_text(versions: &[u32]) -> String {
    versions.iter().map(|version| format!("{version}:{}\n", format!("{version:02x}").repeat(32))).collect()
}

pub(super) fn customer(number: u8) -> CustomerId {
    format!("customer-{number}").parse().unwrap()
}

pub(super) fn option(number: u8) -> CardOptionId {
    CardOptionId::from_random([number; 16])
}

fn data(number: u8) -> CardData {
    CardData { pan: PAN.parse().unwrap(), expiry: Expiry::new(2031, u32::from(number % 12) + 1).unwrap(), cvv: None }
}

/// The records of one customer with one card, sealed by this vault.
pub(super) fn records(vault: &Vault, number: u8) -> (Customer, Credential, Card) {
    let (id, option) = (customer(number), option(number));
    let person = Customer {
        customer_id: id.to_string(),
        national_id_hash: vec![number; 32].into(),
        name: format!("Customer {number}"),
    };
    let credential = Credential {
        customer_id: id.to_string(),
        sealed_password_hash: seal_password_hash(vault, &id, &format!("$argon2id${number}")).unwrap().into(),
        user_code_hash: vec![number; 32].into(),
    };
    let card = Card {
        card_option_id: option.to_string(),
        customer_id: id.to_string(),
        account_id: format!("account-{number}"),
        label: "0".into(),
        sealed_data: seal_card(vault, &id, &option, &data(number)).unwrap().into(),
        brand: "Visa".into(),
        last_four: "0002".into(),
        expiry_month: 12,
        expiry_year: 2031,
        blocked: false,
        number_hash: vec![number; 32].into(),
    };
    (person, credential, card)
}

/// Fills a store with that many customers, one card each.
pub(super) async fn fill(store: &Arc<dyn Store>, vault: &Vault, customers: u8) {
    needs::admit(store.as_ref(), vault).await.unwrap();
    LookupKeys::open(store.as_ref(), vault, &SeededEntropy::new(1)).await.unwrap();
    let repository = Repository::new(Arc::clone(store));
    for number in 0..customers {
        let (person, credential, card) = records(vault, number);
        let changes = Changes::new().create(&person).create(&credential).create(&card);
        assert_eq!(repository.commit(changes).await.unwrap(), Outcome::Committed);
    }
}

/// The same, as a build before there was the index of key versions has left it.
pub(super) async fn fill_without_index(store: &Arc<dyn Store>, vault: &Vault, customers: u8) {
    fill(store, vault, customers).await;
    for number in 0..customers {
        let (_, credential, card) = records(vault, number);
        for (id, indexes) in [(credential.key().record_id(), vec![]), (card.key().record_id(), card.indexes())] {
            let record = store.get(&id).await.unwrap().unwrap();
            let indexes = indexes.into_iter().filter(|entry| entry.index != INDEX).collect();
            put(store, Write { id, expected: record.version, change: Change::Put { body: record.body, indexes } })
                .await;
        }
    }
    for id in [RecordId::new(LOOKUP, b"lookup"), RecordId::new(STATE, b"state")] {
        let record = store.get(&id).await.unwrap().unwrap();
        let change = match id.kind == STATE {
            true => Change::Remove,
            false => Change::Put { body: record.body, indexes: vec![] },
        };
        put(store, Write { id, expected: record.version, change }).await;
    }
}

const INDEX: mesh::store::Index = issuer::vault::sealed::INDEX_KEY_VERSION;
pub(super) const LOOKUP: mesh::store::Kind = mesh::store::Kind::new("vault-key");
pub(super) const STATE: mesh::store::Kind = mesh::store::Kind::new("vault-state");

pub(super) async fn put(store: &Arc<dyn Store>, write: Write) {
    let commit = store.commit(Transition { writes: vec![write], ..Transition::new() }).await;
    assert!(matches!(commit, mesh::store::Commit::Committed { .. }), "{commit:?}");
}

/// Whether everything of that many customers opens, in its place, and is what was sealed.
pub(super) async fn is_whole(store: &Arc<dyn Store>, vault: &Vault, customers: u8) -> bool {
    let repository = Repository::new(Arc::clone(store));
    for number in 0..customers {
        let (id, option) = (customer(number), option(number));
        let credential = repository.load(&Credential::at(&id)).await.unwrap().unwrap().value;
        let hash = open_password_hash(vault, &id, &credential.sealed_password_hash);
        let card = repository.load(&Card::at(&option)).await.unwrap().unwrap().value;
        let card = open_card(vault, &id, &option, &card.sealed_data);
        if hash.is_err() || card.is_err() {
            return false;
        }
        assert!(hash.unwrap().starts_with("$argon2id$"));
        assert_eq!(card.unwrap(), data(number));
    }
    LookupKeys::open(store.as_ref(), vault, &SeededEntropy::new(9)).await.is_ok()
}

/// The lines of the check's report, sorted, and its last line.
pub(super) async fn report(store: &Arc<dyn Store>, vault: &Vault) -> (Vec<String>, Summary) {
    let mut lines = Vec::new();
    let mut tell = |record: &RecordName, problem: &Problem| lines.push(format!("{record}: {problem}"));
    let summary = check(store.as_ref(), vault, &mut tell).await.unwrap();
    lines.sort();
    (lines, summary)
}

/// Moves everything that can be moved; how many records that were, and how many can't be.
pub(super) async fn sweep(store: &Arc<dyn Store>, vault: &Vault) -> (usize, Vec<String>) {
    let mut moved = 0;
    loop {
        let (mut busy, mut stuck) = (0, Vec::new());
        let mut walk = Sweep::new(store.as_ref(), vault);
        while let Some(swept) = walk.step().await.unwrap() {
            moved += swept.moved;
            busy += swept.busy;
            stuck.extend(swept.stuck.iter().map(|stuck| format!("{}: {}", stuck.name, stuck.problem)));
        }
        if busy == 0 {
            return (moved, stuck);
        }
    }
}

/// The versions that records need.
pub(super) async fn needed(store: &Arc<dyn Store>) -> Vec<u32> {
    needs::indexed(store.as_ref()).await.unwrap().into_keys().map(KeyVersion::number).collect()
}
