//! Random lives of a vault: keys come and go, records are written and moved, processes die. Whatever the
//! order, every record opens under the keys that are there, and no key that is still needed can be taken away.

use std::{collections::BTreeSet, sync::Arc};

use issuer::{
    records::{Card, Credential},
    repository::{Changes, Repository},
    tasks::rotation::Sweep,
    vault::needs,
};
use mesh::{
    sealing::at_rest::{KeyRing, Vault},
    store::{Store, memory::MemoryStore},
};
use proptest::prelude::*;

use super::bank::{customer, fill, is_whole, needed, option, records, report, ring, sweep};

const CUSTOMERS: u8 = 6;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A key with the next version is added to the file.
    AddKey,
    /// The operator takes this key's line out, for better or worse.
    RemoveKey(u32),
    /// A customer's records are sealed anew.
    Seal(u8),
    /// So many batches are moved; the walk is given up then, as by a process that dies.
    Move(u8),
    /// The process starts again with the keys of the file.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::AddKey),
        3 => (1u32..6).prop_map(Step::RemoveKey),
        4 => (0..CUSTOMERS).prop_map(Step::Seal),
        4 => (0u8..4).prop_map(Step::Move),
        1 => Just(Step::Restart),
    ]
}

struct Life {
    store: Arc<dyn Store>,
    vault: Vault,
    ring: Arc<KeyRing>,
    versions: BTreeSet<u32>,
    highest: u32,
}

impl Life {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new()) as Arc<dyn Store>;
        let ring = ring(&[1]);
        let vault = Vault::over(Arc::clone(&ring) as Arc<_>);
        fill(&store, &vault, CUSTOMERS).await;
        Self { store, vault, ring, versions: BTreeSet::from([1]), highest: 1 }
    }

    /// What the watch of the key file does.
    async fn change_keys(&mut self, versions: BTreeSet<u32>) {
        if versions.is_empty() {
            return;
        }
        let fresh = ring(&versions.iter().copied().collect::<Vec<_>>());
        let fits = fresh.check_successor_of(&self.ring).is_ok()
            && needs::admit(self.store.as_ref(), &Vault::over(Arc::clone(&fresh) as Arc<_>)).await.is_ok();
        let lost = needed(&self.store).await.into_iter().any(|version| !versions.contains(&version));
        let current = self.versions.last().copied().unwrap();
        assert_eq!(fits, !lost && versions.contains(&current), "{versions:?} after {:?}", self.versions);
        if fits {
            self.vault.replace(Arc::clone(&fresh) as Arc<_>);
            self.ring = fresh;
            self.versions = versions;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::AddKey => {
                self.highest += 1;
                let mut versions = self.versions.clone();
                versions.insert(self.highest);
                self.change_keys(versions).await;
            }
            Step::RemoveKey(version) => {
                let mut versions = self.versions.clone();
                if versions.remove(&version) {
                    self.change_keys(versions).await;
                }
            }
            Step::Seal(number) => {
                let repository = Repository::new(Arc::clone(&self.store));
                let (_, credential, card) = records(&self.vault, number);
                let old_card = repository.load(&Card::at(&option(number))).await.unwrap().unwrap();
                let old = repository.load(&Credential::at(&customer(number))).await.unwrap().unwrap();
                let changes = Changes::new().replace(old_card.version, &card).replace(old.version, &credential);
                let _ = repository.commit(changes).await.unwrap();
            }
            Step::Move(batches) => {
                let mut walk = Sweep::new(self.store.as_ref(), &self.vault);
                for _ in 0..batches {
                    walk.step().await.unwrap();
                }
            }
            Step::Restart => {
                let vault = Vault::over(Arc::clone(&self.ring) as Arc<_>);
                needs::admit(self.store.as_ref(), &vault).await.unwrap();
                self.vault = vault;
            }
        }
        assert!(is_whole(&self.store, &self.vault, CUSTOMERS).await, "after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_opens_at_every_time(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::new().await;
            for step in steps {
                life.take(step).await;
            }
            let (_, stuck) = sweep(&life.store, &life.vault).await;
            assert!(stuck.is_empty());
            let current = life.versions.last().copied().unwrap();
            assert_eq!(needed(&life.store).await, [current]);
            let alone = Vault::over(ring(&[current]));
            assert!(report(&life.store, &alone).await.0.is_empty());
        });
    }
}
