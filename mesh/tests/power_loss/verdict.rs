//! What is in a folder after a crash, held against what was acknowledged before it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use mesh::store::sled::SledStore;
use mesh::store::{Commit, KeyRange, PageRequest, Seq, Store, StoreError, Version};

use crate::workload::{
    self, Acknowledged, BY_CALLER, account, answer, body, count, key, options, payment, split_key, topic, transition,
};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged commits that are not there, or not as they were.
    pub(crate) lost: u64,
    /// Commits that happened twice, once repeats were asked for.
    pub(crate) doubled: u64,
    /// Everything else that must not be, in words.
    pub(crate) wrong: Vec<String>,
    /// What was acknowledged while looking, because the store has to go on as well.
    pub(crate) acknowledged: Vec<Acknowledged>,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong.is_empty()
    }
}

/// Opens the folder with the real store, looks at everything, and goes on writing a little.
pub(crate) fn judge(folder: &Path, acknowledged: &[Acknowledged]) -> Verdict {
    let mut verdict = Verdict::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let store = match SledStore::open(folder, options(true)) {
        Ok(store) => store,
        Err(error) => {
            verdict.lost = acknowledged.len() as u64;
            verdict.wrong.push(format!("it does not open: {error} ({:?})", error.source()));
            return verdict;
        }
    };
    if let Err(error) = runtime.block_on(verdict.look(&store, acknowledged)) {
        verdict.lost = acknowledged.len() as u64;
        verdict.wrong.push(format!("it can't be read: {error} ({:?})", error.source()));
    }
    verdict
}

impl Verdict {
    async fn look(&mut self, store: &SledStore, acknowledged: &[Acknowledged]) -> Result<(), StoreError> {
        let seqs = self.events(store).await?;
        self.wholes(store, &seqs).await?;
        for one in acknowledged {
            let found = seqs.get(&(one.caller, one.number));
            let same = found.is_some_and(|seq| one.seq.is_none_or(|acknowledged| acknowledged == *seq));
            self.lost += u64::from(!same);
        }
        self.go_on(store, acknowledged, &seqs).await
    }

    /// Every event, which must be without gap and name each commit once.
    async fn events(&mut self, store: &SledStore) -> Result<BTreeMap<(u32, u64), u64>, StoreError> {
        let mut seqs = BTreeMap::new();
        let mut after = Seq::START;
        loop {
            let page = store.events(&topic(), after, 1000).await?;
            for event in &page {
                if event.seq.number() != after.number() + 1 {
                    self.wrong.push(format!("sequence {} follows {}", event.seq.number(), after.number()));
                }
                after = event.seq;
                let Some(of) = split_key(&event.body) else {
                    self.wrong.push(format!("event {} is not what was written", after.number()));
                    continue;
                };
                self.doubled += u64::from(seqs.insert(of, after.number()).is_some());
            }
            if page.is_empty() {
                break;
            }
        }
        if *store.watch().borrow() != after {
            self.wrong.push(format!("the last sequence is {:?}, the last event's {after:?}", *store.watch().borrow()));
        }
        Ok(seqs)
    }

    /// Each commit is there with all of its parts, acknowledged or not, and nothing else is.
    async fn wholes(&mut self, store: &SledStore, seqs: &BTreeMap<(u32, u64), u64>) -> Result<(), StoreError> {
        let mut accounts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for (&(caller, number), &seq) in seqs {
            let record = store.get(&payment(caller, number)).await?;
            let whole = record.is_some_and(|r| r.version == Version::new(seq) && r.body == body(caller, number));
            let kept = store.answer(key(caller, number).as_bytes()).await?;
            if !whole || kept.is_none_or(|kept| kept != answer(caller, number)) {
                self.wrong.push(format!("{} is there by half", key(caller, number)));
            }
            let (count, last) = accounts.entry(caller).or_default();
            if number != *count {
                self.wrong.push(format!("{} follows {count} payments", key(caller, number)));
            }
            (*count, *last) = (number + 1, seq);
        }
        for (caller, (counted, last)) in accounts {
            let record = store.get(&account(caller)).await?;
            if count(record.as_ref()) != counted || record.is_none_or(|r| r.version != Version::new(last)) {
                self.wrong.push(format!("the account of {caller} does not count {counted} payments"));
            }
        }
        let mut indexed = BTreeSet::new();
        let mut request = PageRequest::first(500);
        loop {
            let page = store.scan(BY_CALLER, KeyRange::all(), request).await?;
            indexed.extend(page.items.iter().filter_map(|item| split_key(&item.id.key)));
            let Some(next) = page.next else { break };
            request = PageRequest::after(next, 500);
        }
        if !indexed.iter().eq(seqs.keys()) {
            self.wrong.push(format!("{} payments in the index, {} events", indexed.len(), seqs.len()));
        }
        Ok(())
    }

    /// Each caller asks again for what it has no answer to, as a client does; then everything must be there
    /// once, and under sequences and versions that nothing had before.
    async fn go_on(
        &mut self,
        store: &SledStore,
        acknowledged: &[Acknowledged],
        seqs: &BTreeMap<(u32, u64), u64>,
    ) -> Result<(), StoreError> {
        let mut next: BTreeMap<u32, u64> = BTreeMap::from([(0, 0)]);
        for one in acknowledged {
            let number = next.entry(one.caller).or_default();
            *number = (one.number + 1).max(*number);
        }
        let mut last = seqs.values().copied().max().unwrap_or(0);
        last = last.max(acknowledged.iter().filter_map(|one| one.seq).max().unwrap_or(0));
        for (caller, number) in next {
            let found = store.get(&account(caller)).await?;
            let version = found.as_ref().map_or(Version::ABSENT, |record| record.version);
            match store.commit(transition(caller, number, version)).await {
                Commit::Committed { seq, versions } if count(found.as_ref()) == number => {
                    if seq.number() <= last || versions.iter().any(|version| version.number() != seq.number()) {
                        self.wrong.push(format!("after {last} came sequence {} with {versions:?}", seq.number()));
                    }
                    last = seq.number();
                    self.acknowledged.push(Acknowledged { caller, number, seq: Some(last) });
                }
                Commit::Duplicate(found) if seqs.contains_key(&(caller, number)) => {
                    if found != workload::answer(caller, number) {
                        self.wrong.push(format!("{} has another answer", key(caller, number)));
                    }
                    self.acknowledged.push(Acknowledged { caller, number, seq: None });
                }
                other @ (Commit::Committed { .. }
                | Commit::Conflict(_)
                | Commit::Duplicate(_)
                | Commit::Refused(_)
                | Commit::Unknown
                | Commit::Fatal(_)) => self.wrong.push(format!("{} was answered {other:?}", key(caller, number))),
            }
        }
        // Asked once more, now that every answer must be there.
        for one in acknowledged.iter().chain(&self.acknowledged.clone()).rev().take(50) {
            let again = store.commit(transition(one.caller, one.number, Version::ABSENT)).await;
            if !matches!(&again, Commit::Duplicate(found) if *found == workload::answer(one.caller, one.number)) {
                self.doubled += u64::from(matches!(again, Commit::Committed { .. }));
            }
        }
        self.events(store).await.map(drop)
    }
}
