//! A store that answers badly.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use acquirer::{
    authorize::Recovery,
    error::Error,
    records::{ATTEMPTS_DECIDING, OPEN_ORDERS_BY_EXPIRY, REVERSALS_DUE, time_key},
};
use async_trait::async_trait;
use bytes::Bytes;
use mesh::{
    clock::Clock as _,
    store::{
        Commit, Event, Index, IndexEntry, KeyRange, Kind, Page, PageRequest, Record, RecordId, Seq, Store, StoreError,
        Topic, Transition, Version, memory::MemoryStore,
    },
};
use proto::event::OrderState;
use tokio::sync::watch;

use super::{
    bank::{Bank, approved, new_order, shop},
    network::{Answer, CODE},
};

/// What happens to one commit.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Committed, and nobody hears of it.
    UnknownCommitted,
    /// Lost, and nobody knows.
    UnknownLost,
    Conflict,
    Fatal,
}

#[derive(Default)]
struct FaultyStore {
    inner: MemoryStore,
    faults: Mutex<VecDeque<Fault>>,
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.get(id).await
    }

    async fn answer(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.answer(key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.inner.commit(transition).await,
            Fault::UnknownCommitted => {
                let _ = self.inner.commit(transition).await;
                Commit::Unknown
            }
            Fault::UnknownLost => Commit::Unknown,
            Fault::Conflict => Commit::Conflict(RecordId::new(Kind::new("order"), "x")),
            Fault::Fatal => Commit::Fatal(StoreError::Halted),
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

    async fn close(&self) {
        self.inner.close().await;
    }
}

fn bank() -> (Bank, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::default());
    (Bank::over(Arc::clone(&store) as _), store)
}

impl FaultyStore {
    fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }
}

#[tokio::test]
async fn an_order_is_made_once_whatever_the_store_answers() {
    for fault in [Fault::UnknownCommitted, Fault::UnknownLost, Fault::Conflict] {
        let (bank, store) = bank();
        store.next([fault, fault]);
        let order = bank.orders.create(&shop(), &new_order("R-1", 100)).await.unwrap().order;
        assert_eq!(bank.orders.list(&shop(), 10, "").await.unwrap().0, [order], "{fault:?}");
    }
}

#[tokio::test]
async fn a_result_is_the_one_on_record_whatever_the_store_answers() {
    for fault in [Fault::UnknownCommitted, Fault::UnknownLost, Fault::Conflict] {
        let (bank, store) = bank();
        let order = bank.order("R-1", 100).await;
        let request = bank.a.request(&order, 1, bank.clock.now());
        // The intent goes through, the outcome meets the fault twice.
        store.next([Fault::None, fault, fault]);
        let result = bank.authorize(&request).await.unwrap();
        assert!(approved(&result), "{fault:?}");
        assert_eq!(bank.authorize(&request).await.unwrap().signed, result.signed);
        assert_eq!(bank.events(&shop()).await.len(), 1, "{fault:?}");
        assert_eq!(bank.network.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_intent_that_may_be_committed_is_settled_by_inquiry() {
    let (bank, store) = bank();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    store.next([Fault::UnknownCommitted]);
    let call = bank.spawn(&request);
    bank.advance_a_sleeper(std::time::Duration::from_secs(5)).await;
    call.await.unwrap().unwrap();
    assert_eq!((bank.network.asked().len(), bank.network.inquired().len()), (0, 1));
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
}

#[tokio::test]
async fn an_intent_that_was_lost_is_made_again() {
    let (bank, store) = bank();
    let order = bank.order("R-1", 100).await;
    store.next([Fault::UnknownLost]);
    assert!(approved(&bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap()));
    assert_eq!(bank.network.asked().len(), 1);
}

#[tokio::test]
async fn nothing_is_said_that_is_not_on_record() {
    let (bank, store) = bank();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    store.next([Fault::None, Fault::Fatal]);
    let failed = bank.authorize(&request).await;
    assert!(matches!(failed, Err(Error::Repository(_))), "{failed:?}");
    assert_eq!(bank.state(&order).await.name(), OrderState::Authorizing);
    assert_eq!(bank.events(&shop()).await, []);
    // The next process finds out what the network said.
    let code = CODE.parse().unwrap();
    bank.network.knows(request.network_id(), acquirer::network::Inquiry::Approved(code));
    let next = bank.restarted();
    next.authorizer.recover(acquirer::authorize::Recovery::Everything).await.unwrap();
    assert!(approved(&next.authorize(&request).await.unwrap()));
}

#[tokio::test]
async fn a_storm_of_conflicts_ends() {
    let (bank, store) = bank();
    let order = bank.order("R-1", 100).await;
    store.next([Fault::Conflict; 32]);
    assert!(matches!(bank.orders.cancel(&shop(), order.id()).await, Err(Error::Contended)));
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
}

#[tokio::test]
async fn an_outcome_outlasts_the_storms_that_others_give_up_in() {
    let (bank, store) = bank();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    // Many issuers' requests at once conflict with the outcome, each until it gives up itself.
    store.next(std::iter::once(Fault::None).chain([Fault::Conflict; 300]));
    assert!(approved(&bank.authorize(&request).await.unwrap()));
    assert_eq!((bank.network.asked().len(), bank.network.inquired().len()), (1, 0));
    assert_eq!(bank.state(&order).await.name(), OrderState::Approved);
}

/// Puts a record into an index, before everything else in it, that no program can read.
async fn damage(bank: &Bank, kind: &'static str, index: Index) {
    let entry = IndexEntry::new(index, time_key(std::time::UNIX_EPOCH));
    let id = RecordId::new(Kind::new(kind), "damaged");
    let damaged = Transition::new().put(id, Version::ABSENT, vec![0xff], vec![entry]);
    let outcome = bank.context.repository.store().commit(damaged).await;
    assert!(matches!(outcome, Commit::Committed { .. }), "{outcome:?}");
}

#[tokio::test]
async fn one_damaged_record_keeps_no_task_from_the_others() {
    let (bank, _) = bank();
    damage(&bank, "order", OPEN_ORDERS_BY_EXPIRY).await;
    damage(&bank, "attempt", ATTEMPTS_DECIDING).await;
    damage(&bank, "reversal", REVERSALS_DUE).await;
    let (paying, waiting) = (bank.order("R-1", 100).await, bank.order("R-2", 100).await);
    bank.network.next([Answer::Panic]);
    assert!(bank.spawn(&bank.a.request(&paying, 1, bank.clock.now())).await.unwrap().is_err());

    assert_eq!(bank.authorizer.recover(Recovery::Everything).await.unwrap(), 1);
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 1);
    bank.clock.set(waiting.signed.order.expires_at + std::time::Duration::from_millis(1));
    assert_eq!(bank.orders.expire_due().await.unwrap(), 2);
}
