//! A worker over a scripted courier and a clock that is moved by hand.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use mesh::{
    clock::{Clock as _, ManualClock, SeededEntropy},
    store::{Commit, Index, KeyRange, PageRequest, RecordId, Store, Transition, memory::MemoryStore},
    telemetry::Metrics,
};
use prost::Message as _;
use proto::{
    digest::Digest,
    event::{OrderEvent, OrderState},
    ids::{MerchantId, OrderId},
    money::Money,
    pb,
    signed::Signed,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::outbox::{Courier, DUE, Delivery, DeliveryError, HEADS, KIND, Worker, enqueue};

/// No wait in these tests depends on real time; this only ends one that would hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// How a merchant behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Accepts,
    Refuses,
    /// Takes the event and never answers.
    Hangs,
    Panics,
}

/// A courier whose merchants follow a script.
#[derive(Debug, Default)]
pub(super) struct Script {
    manners: Mutex<HashMap<String, Manner>>,
    heard: Mutex<Vec<String>>,
    on_the_line: Mutex<BTreeMap<String, usize>>,
}

impl Script {
    pub(super) fn set(&self, merchant: &str, manner: Manner) {
        self.manners.lock().unwrap().insert(merchant.to_owned(), manner);
    }

    /// The ids of the events that arrived, in order, repeats included.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn count(&self, event: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == event).count()
    }

    pub(super) fn on_the_line(&self, merchant: &str) -> usize {
        self.on_the_line.lock().unwrap().get(merchant).copied().unwrap_or_default()
    }
}

/// Counts a call for as long as it lasts, however it ends.
struct Line<'a>(&'a Script, &'a MerchantId);

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut lines = self.0.on_the_line.lock().unwrap_or_else(PoisonError::into_inner);
        *lines.entry(self.1.to_string()).or_default() -= 1;
    }
}

#[async_trait]
impl Courier for Script {
    async fn deliver(&self, merchant: &MerchantId, event: pb::Signed) -> Result<(), DeliveryError> {
        *self.on_the_line.lock().unwrap().entry(merchant.to_string()).or_default() += 1;
        let _line = Line(self, merchant);
        let event = pb::OrderEvent::decode(event.body).unwrap();
        assert_eq!(event.merchant_id, merchant.as_str());
        let manner = self.manners.lock().unwrap().get(merchant.as_str()).copied().unwrap_or(Manner::Accepts);
        self.heard.lock().unwrap().push(event.event_id);
        match manner {
            Manner::Accepts => Ok(()),
            Manner::Refuses => Err(DeliveryError::Refused(Code::Unavailable)),
            Manner::Hangs => std::future::pending().await,
            Manner::Panics => panic!("scripted"),
        }
    }
}

pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) script: Arc<Script>,
    metrics: Metrics,
    stop: CancellationToken,
    pub(super) running: Option<JoinHandle<()>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(start())))
    }

    pub(super) fn over(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let script = Arc::new(Script::default());
        Self { store, clock, script, metrics: Metrics::new(), stop: CancellationToken::new(), running: None }
    }

    pub(super) fn run(&mut self) {
        self.stop = CancellationToken::new();
        let worker = Worker::new(
            Arc::clone(&self.store),
            self.clock.clone(),
            Arc::new(SeededEntropy::new(1)),
            self.script.clone(),
            &self.metrics,
        );
        self.running = Some(tokio::spawn(worker.run(self.stop.clone())));
    }

    /// Ends the worker as a shutdown does.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let running = self.running.take().unwrap();
        tokio::time::timeout(PATIENCE, running).await.expect("the worker ended in time").unwrap();
    }

    pub(super) async fn queue(&self, merchant: &str, order: u8, position: u32) {
        let event = event(merchant, order, position, self.clock.now());
        let body = Bytes::from(event.to_pb().encode_to_vec());
        let signed = Signed { body, key_id: "0".repeat(32).parse().unwrap(), signature: [1; 64] };
        let commit = self.store.commit(enqueue(Transition::new(), &event, &signed)).await;
        assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
    }

    pub(super) async fn entries(&self, index: Index) -> usize {
        self.store.scan(index, KeyRange::all(), PageRequest::first(500)).await.unwrap().items.len()
    }

    pub(super) async fn delivery(&self, order: u8, position: u32) -> Option<Delivery> {
        let record = self.store.get(&RecordId::new(KIND, event_id(order, position))).await.unwrap();
        record.map(|record| Delivery::decode(record.body).unwrap())
    }

    pub(super) async fn until_empty(&self) {
        until(async || self.entries(DUE).await == 0).await;
        assert_eq!(self.entries(HEADS).await, 0);
    }

    pub(super) async fn until_tried(&self, order: u8, position: u32, tries: u32) -> Delivery {
        let tried = async || self.delivery(order, position).await.is_some_and(|delivery| delivery.tries >= tries);
        until(tried).await;
        self.delivery(order, position).await.unwrap()
    }

    pub(super) fn counted(&self, name: &str) -> u64 {
        let text = self.metrics.exposition();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn event(merchant: &str, order: u8, position: u32, now: SystemTime) -> OrderEvent {
    OrderEvent {
        position,
        order: OrderId::from_random([order; 16]),
        merchant: merchant.parse().unwrap(),
        reference: "R-1".parse().unwrap(),
        order_digest: Digest::of(b"order"),
        occurred_at: now,
        state: OrderState::Open,
        authorization: None,
        amount: Money::new("TWD".parse().unwrap(), 129_900).unwrap(),
    }
}

pub(super) fn event_id(order: u8, position: u32) -> String {
    format!("{}.{position}", OrderId::from_random([order; 16]))
}

pub(super) async fn until(mut done: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the condition came true in time");
}
