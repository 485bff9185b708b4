#![allow(clippy::unwrap_used)]

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh::{
    clock::ManualClock,
    store::{
        memory::MemoryStore,
        sled::{Options, SledStore},
    },
};
use proto::{
    authorization::DeclineReason,
    card::{CardData, Expiry},
    ids::AuthorizationId,
    money::Money,
};
use tokio::task::JoinSet;

use super::*;
use crate::network::{Behaviour, LATE_AFTER, SLOW_AFTER, TestCard, test_cards};

/// No wait in these tests depends on real time; this only ends one that would hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn sale() -> Sale {
    request(1, card_that(Behaviour::Approve)).sale()
}

struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    network: Arc<SimulatedNetwork>,
}

impl Bench {
    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(start())))
    }

    fn over(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let network = Arc::new(SimulatedNetwork::new(Arc::clone(&store), clock.clone()));
        Self { store, clock, network }
    }

    /// The network after a restart of its process.
    fn restarted(&self) -> Self {
        Self::over(Arc::clone(&self.store), Arc::clone(&self.clock))
    }

    /// Begins an authorization and returns once it waits for the clock or has ended.
    async fn begin(&self, request: NetworkRequest) -> tokio::task::JoinHandle<Result<NetworkDecision, NetworkError>> {
        let network = Arc::clone(&self.network);
        let waiting = self.clock.sleepers();
        let task = tokio::spawn(async move { network.authorize(request).await });
        until(|| task.is_finished() || self.clock.sleepers() > waiting).await;
        task
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the condition came true in time");
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an answer in time")
}

fn card_that(behaviour: Behaviour) -> &'static TestCard {
    test_cards().iter().find(|card| card.behaviour() == behaviour).unwrap()
}

fn request(number: u8, card: &TestCard) -> NetworkRequest {
    NetworkRequest {
        id: NetworkId {
            issuer: "bank-aurora".parse().unwrap(),
            authorization: AuthorizationId::from_random([number; 16]),
        },
        card: CardData { pan: card.pan(), expiry: Expiry::new(2031, 12).unwrap(), cvv: Some(card.cvv()) },
        amount: Money::new("TWD".parse().unwrap(), 129_900).unwrap(),
        merchant: "shop-lantern".parse().unwrap(),
    }
}

const REVERSED: NetworkDecision = NetworkDecision::Declined(DeclineReason::DoNotHonor);

#[tokio::test]
async fn every_test_card_that_answers_at_once_does_what_the_table_says() {
    let bench = Bench::new();
    for (number, card) in (0..).zip(test_cards()) {
        let request = request(number, card);
        let id = request.id.clone();
        match card.behaviour() {
            Behaviour::Approve => {
                let decision = in_time(bench.network.authorize(request)).await.unwrap();
                assert!(matches!(decision, NetworkDecision::Approved(_)), "{card:?}");
            }
            Behaviour::Decline(reason) => {
                let decision = in_time(bench.network.authorize(request)).await.unwrap();
                assert_eq!(decision, NetworkDecision::Declined(reason), "{card:?}");
                assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Declined(reason));
            }
            Behaviour::Slow | Behaviour::Silent | Behaviour::Late => {}
        }
    }
}

#[tokio::test]
async fn a_slow_card_is_approved_after_its_time_and_unknown_until_then() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Slow));
    let id = request.id.clone();
    let task = bench.begin(request).await;
    bench.clock.advance(SLOW_AFTER - Duration::from_millis(1));
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Unknown);
    assert!(!task.is_finished());
    bench.clock.advance(Duration::from_millis(1));
    let NetworkDecision::Approved(code) = in_time(task).await.unwrap().unwrap() else { panic!("declined") };
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Approved(code));
}

#[tokio::test]
async fn a_silent_card_is_unknown_for_ever_and_declined_once_reversed() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Silent));
    let id = request.id.clone();
    let network = Arc::clone(&bench.network);
    let asked = request.clone();
    let task = tokio::spawn(async move { network.authorize(asked).await });
    let store = Arc::clone(&bench.store);
    in_time(async {
        while store.get(&record_id(&id)).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Unknown);
    assert!(!task.is_finished());
    task.abort();

    bench.network.reverse(&id, &sale()).await.unwrap();
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Declined(DeclineReason::DoNotHonor));
    assert_eq!(in_time(bench.network.authorize(request)).await.unwrap(), REVERSED);
}

#[tokio::test]
async fn a_late_card_is_approved_at_last_and_the_reversal_still_cancels_it() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Late));
    let id = request.id.clone();
    drop(bench.begin(request.clone()).await);
    bench.clock.advance(LATE_AFTER - Duration::from_millis(1));
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Unknown);
    bench.clock.advance(Duration::from_millis(1));
    assert!(matches!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Approved(_)));

    bench.network.reverse(&id, &sale()).await.unwrap();
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Declined(DeclineReason::DoNotHonor));
    assert_eq!(in_time(bench.network.authorize(request)).await.unwrap(), REVERSED);
}

#[tokio::test]
async fn a_reversal_while_a_late_card_is_silent_wins_over_the_approval_to_come() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Late));
    let id = request.id.clone();
    let task = bench.begin(request).await;
    bench.network.reverse(&id, &sale()).await.unwrap();
    bench.clock.advance(LATE_AFTER);
    assert_eq!(in_time(task).await.unwrap().unwrap(), REVERSED);
    assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Declined(DeclineReason::DoNotHonor));
}

#[tokio::test]
async fn a_reversal_before_the_request_declines_it_for_ever() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Approve));
    assert_eq!(bench.network.inquire(&request.id, &sale()).await.unwrap(), Inquiry::Unknown);
    bench.network.reverse(&request.id, &request.sale()).await.unwrap();
    let bench = bench.restarted();
    assert_eq!(in_time(bench.network.authorize(request)).await.unwrap(), REVERSED);
}

#[tokio::test]
async fn a_reversal_again_changes_nothing() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Approve));
    in_time(bench.network.authorize(request.clone())).await.unwrap();
    bench.network.reverse(&request.id, &request.sale()).await.unwrap();
    let version = bench.store.get(&record_id(&request.id)).await.unwrap().unwrap().version;
    bench.network.reverse(&request.id, &request.sale()).await.unwrap();
    bench.restarted().network.reverse(&request.id, &request.sale()).await.unwrap();
    assert_eq!(bench.store.get(&record_id(&request.id)).await.unwrap().unwrap().version, version);
}

#[tokio::test]
async fn a_reversed_decline_keeps_its_reason() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Decline(DeclineReason::StolenCard)));
    in_time(bench.network.authorize(request.clone())).await.unwrap();
    bench.network.reverse(&request.id, &request.sale()).await.unwrap();
    assert_eq!(
        bench.network.inquire(&request.id, &sale()).await.unwrap(),
        Inquiry::Declined(DeclineReason::StolenCard)
    );
}

#[tokio::test]
async fn the_same_id_for_another_amount_or_shop_is_refused() {
    let bench = Bench::new();
    let first = request(1, card_that(Behaviour::Approve));
    in_time(bench.network.authorize(first.clone())).await.unwrap();
    let amount = NetworkRequest { amount: Money::new("TWD".parse().unwrap(), 1).unwrap(), ..first.clone() };
    let merchant = NetworkRequest { merchant: "shop-other".parse().unwrap(), ..first.clone() };
    for other in [amount, merchant] {
        let told = bench.network.inquire(&first.id, &other.sale()).await;
        assert!(matches!(told, Err(NetworkError::OtherContent)), "{told:?}");
        let taken_back = bench.network.reverse(&first.id, &other.sale()).await;
        assert!(matches!(taken_back, Err(NetworkError::OtherContent)), "{taken_back:?}");
        assert!(matches!(in_time(bench.network.authorize(other)).await, Err(NetworkError::OtherContent)));
    }
    assert!(matches!(bench.network.inquire(&first.id, &first.sale()).await.unwrap(), Inquiry::Approved(_)));
    // Another issuer may use the same authorization id.
    let id = NetworkId { issuer: "bank-borealis".parse().unwrap(), ..first.id.clone() };
    assert!(in_time(bench.network.authorize(NetworkRequest { id, ..first })).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_with_one_id_get_one_decision() {
    let bench = Bench::new();
    let request = request(1, card_that(Behaviour::Approve));
    let id = request.id.clone();
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (network, request) = (Arc::clone(&bench.network), request.clone());
        tasks.spawn(async move { network.authorize(request).await.unwrap() });
    }
    let decisions = in_time(tasks.join_all()).await;
    assert!(decisions.iter().all(|decision| *decision == decisions[0]));
    // The version of the first write shows that there was no second one.
    assert_eq!(bench.store.get(&record_id(&id)).await.unwrap().unwrap().version, Version::new(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_a_reversal_at_once_end_without_a_charge() {
    for number in 0..32 {
        let bench = Bench::new();
        let request = request(number, card_that(Behaviour::Approve));
        let (id, network) = (request.id.clone(), Arc::clone(&bench.network));
        let asked = tokio::spawn(async move { network.authorize(request).await });
        bench.network.reverse(&id, &sale()).await.unwrap();
        in_time(asked).await.unwrap().unwrap();
        assert_eq!(bench.network.inquire(&id, &sale()).await.unwrap(), Inquiry::Declined(DeclineReason::DoNotHonor));
    }
}

#[tokio::test]
async fn no_card_data_reaches_the_store_or_a_log() {
    let bench = Bench::new();
    let card = card_that(Behaviour::Approve);
    let request = request(1, card);
    let printed = format!("{request:?}");
    let id = request.id.clone();
    in_time(bench.network.authorize(request)).await.unwrap();
    let body = bench.store.get(&record_id(&id)).await.unwrap().unwrap().body;
    let pan = card.pan();
    assert!(!printed.contains(pan.expose()), "{printed}");
    assert!(!body.windows(4).any(|bytes| bytes == pan.last_four().as_bytes()));
}

#[tokio::test]
async fn every_decision_is_found_again_on_the_disk_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || Arc::new(SledStore::open(folder.path().join("store"), Options::new("acquirer/network-test")).unwrap());
    let clock = Arc::new(ManualClock::new(start()));
    let plain = request(1, card_that(Behaviour::Approve));
    let lost = request(2, card_that(Behaviour::Decline(DeclineReason::LostCard)));
    let late = request(3, card_that(Behaviour::Late));
    let (never_seen, reversed) = (request(4, card_that(Behaviour::Approve)), request(5, card_that(Behaviour::Approve)));

    let store = open();
    let bench = Bench::over(store.clone(), Arc::clone(&clock));
    let approved = in_time(bench.network.authorize(plain.clone())).await.unwrap();
    let declined = in_time(bench.network.authorize(lost.clone())).await.unwrap();
    let cut_off = bench.begin(late.clone()).await;
    bench.network.reverse(&reversed.id, &reversed.sale()).await.unwrap();
    cut_off.abort();
    let _ = cut_off.await;
    store.close().await;
    drop((bench, store));

    let bench = Bench::over(open(), clock);
    let NetworkDecision::Approved(code) = approved else { panic!("a plain card was declined") };
    assert_eq!(bench.network.inquire(&plain.id, &plain.sale()).await.unwrap(), Inquiry::Approved(code));
    assert_eq!(in_time(bench.network.authorize(plain)).await.unwrap(), approved);
    assert_eq!(in_time(bench.network.authorize(lost)).await.unwrap(), declined);
    assert_eq!(bench.network.inquire(&never_seen.id, &never_seen.sale()).await.unwrap(), Inquiry::Unknown);
    assert_eq!(in_time(bench.network.authorize(reversed)).await.unwrap(), REVERSED);
    assert_eq!(bench.network.inquire(&late.id, &late.sale()).await.unwrap(), Inquiry::Unknown);
    bench.clock.advance(LATE_AFTER);
    assert!(matches!(bench.network.inquire(&late.id, &late.sale()).await.unwrap(), Inquiry::Approved(_)));
}
