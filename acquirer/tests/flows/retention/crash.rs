//! The process ends at every commit of a run, right before it and right after it.

use std::sync::atomic::{AtomicUsize, Ordering};

use acquirer::records::RetentionMarks;
use async_trait::async_trait;
use bytes::Bytes;
use mesh::store::{Event, Page, Record, RecordId, Store, StoreError, Topic, memory::MemoryStore};
use tokio::sync::watch;

use super::*;

/// A store that takes so many commits and then is gone, with the last one or without it.
struct Dying {
    inner: MemoryStore,
    left: AtomicUsize,
    takes_the_last: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Store for Dying {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.get(id).await
    }

    async fn answer(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.answer(key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(1) if self.takes_the_last.load(Ordering::SeqCst) => {
                let _ = self.inner.commit(transition).await;
                Commit::Fatal(StoreError::Halted)
            }
            Ok(0 | 1) | Err(_) => Commit::Fatal(StoreError::Halted),
            Ok(_) => self.inner.commit(transition).await,
        }
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.inner.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(topic, after, limit).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.inner.watch()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.inner.health().await
    }

    async fn close(&self) {}
}

/// A bank with orders of every age, so that one run has something of every kind to remove.
async fn bank_of_all_ages() -> (Bank, Arc<Dying>, Vec<(Sent, Carried<AuthorizationResult>)>) {
    let store =
        Arc::new(Dying { inner: MemoryStore::new(), left: AtomicUsize::new(usize::MAX), takes_the_last: false.into() });
    let bank = Bank::over(Arc::clone(&store) as _);
    retention(&bank).prepare().await.unwrap();
    let mut results = Vec::new();
    for number in 1..=5 {
        let (_, request, result) = paid(&bank, &format!("R-{number}"), number).await;
        results.push((request, result));
        // The third is never heard of, and given up six days later.
        if number == 3 {
            days(&bank, 6).await;
            park(&bank).await;
        } else {
            acknowledge(&bank).await;
            days(&bank, [14, 6, 0, 6, 0][usize::from(number - 1)]).await;
        }
    }
    // One run for all that the next days bring.
    bank.clock.advance(DAY * 7);
    (bank, store, results)
}

/// Whatever was removed so far, nobody hears anything but the recorded result or that there is none.
async fn nothing_lies(bank: &Bank, results: &[(Sent, Carried<AuthorizationResult>)], story: &str) {
    for (request, result) in results {
        let asked = bank.resolve(&bank.a, bank.question(request)).await;
        match asked {
            Ok(Resolution::Result(signed)) => assert_eq!(signed, result.signed, "{story}"),
            refused => outside(refused),
        }
        match bank.authorize(request).await {
            Ok(again) => assert_eq!(again.signed, result.signed, "{story}"),
            refused => outside(refused),
        }
    }
}

#[tokio::test]
async fn a_death_at_any_commit_leaves_nothing_that_lies() {
    let (whole, _, _) = bank_of_all_ages().await;
    let expected = run(&whole).await;
    assert!(expected.orders > 0 && expected.results > 0 && expected.traces > 0 && expected.events > 0, "{expected:?}");
    assert!(expected.parked > 0 && expected.days > 0, "{expected:?}");
    for takes_the_last in [false, true] {
        for at in 1.. {
            let story = format!("death at commit {at}, taken: {takes_the_last}");
            let (bank, store, results) = bank_of_all_ages().await;
            store.takes_the_last.store(takes_the_last, Ordering::SeqCst);
            store.left.store(at, Ordering::SeqCst);
            let ended = retention(&bank).run_once(Duration::ZERO, &CancellationToken::new()).await;
            let survived = ended.is_ok();
            store.left.store(usize::MAX, Ordering::SeqCst);
            nothing_lies(&bank, &results, &story).await;

            let next = bank.restarted();
            retention(&next).prepare().await.unwrap();
            nothing_lies(&next, &results, &story).await;
            run(&next).await;
            nothing_lies(&next, &results, &story).await;
            for (index, left) in [(ORDERS_BY_MERCHANT, 0), (outbox::PARKED_SINCE, 0)] {
                assert_eq!(count(&next, index).await, left, "{story}: {index:?}");
            }
            for index in [REMOVED_ORDERS_BY_TIME, ATTEMPTS_DECIDED, ORDERS_BY_MERCHANT] {
                assert_eq!(count(&next, index).await, count(&whole, index).await, "{story}: {index:?}");
            }
            if survived {
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_horizon_is_in_force_before_the_first_result_goes() {
    let (bank, store, results) = bank_of_all_ages().await;
    // The marks' commit goes through, and nothing after it.
    store.left.store(2, Ordering::SeqCst);
    retention(&bank).run_once(Duration::ZERO, &CancellationToken::new()).await.unwrap_err();
    store.left.store(usize::MAX, Ordering::SeqCst);
    let marks = bank.context.repository.load::<RetentionMarks>(RetentionMarks::KEY).await.unwrap().unwrap();
    assert_eq!(bank.context.repository.horizon(), marks.entity.0.horizon);
    let (oldest, result) = &results[0];
    assert!(oldest.request.says.signed_at < marks.entity.0.horizon);
    assert_eq!(bank.authorize(oldest).await.unwrap().signed, result.signed, "it is still there, and given out");
}
