#![allow(clippy::unwrap_used)]

use mesh::clock::ManualClock;
use mesh::store::memory::MemoryStore;
use proto::authorization::ApprovalCode;
use proto::money::Money;
use proto::pb::CardNetworkState::{self, Approved, Declined, Pending, Reversed};
use tokio::task::JoinSet;

use super::*;

struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    ledger: Ledger,
}

fn bench() -> Bench {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)));
    Bench { ledger: Ledger::new(Arc::clone(&store), clock.clone()), store, clock }
}

impl Bench {
    fn restarted(&self) -> Ledger {
        Ledger::new(Arc::clone(&self.store), self.clock.clone())
    }

    async fn only(&self) -> (CardNetworkState, Entry) {
        let (mut entries, _) = self.ledger.list(&id(1).acquirer, PageRequest::first(10)).await.unwrap();
        assert_eq!(entries.len(), 1);
        let (_, entry) = entries.remove(0);
        (entry.state.at(self.clock.now()).0, entry)
    }
}

fn id(number: u8) -> Id {
    Id {
        acquirer: "acquirer-one".parse().unwrap(),
        issuer: "bank-a".parse().unwrap(),
        authorization: AuthorizationId::from_random([number; 16]),
    }
}

fn asked() -> Asked {
    Asked { amount: Money::new("TWD".parse().unwrap(), 129_900).unwrap(), merchant: "shop-books".parse().unwrap() }
}

fn code() -> ApprovalCode {
    "A1B2C3".parse().unwrap()
}

fn approves(after: Duration) -> Verdict {
    Verdict { decision: Decision::Approved(code()), after, is_told: true }
}

const LATE: Duration = Duration::from_secs(8);
const NO: Decision = Decision::Declined(DeclineReason::DoNotHonor);

#[tokio::test]
async fn a_repeat_moves_nothing_and_other_content_is_refused() {
    let bench = bench();
    for _ in 0..3 {
        bench.ledger.request(&id(1), &asked(), approves(Duration::ZERO)).await.unwrap();
    }
    let lost = Verdict { decision: Decision::Declined(DeclineReason::LostCard), ..approves(Duration::ZERO) };
    bench.ledger.request(&id(1), &asked(), lost).await.unwrap();
    let (state, entry) = bench.only().await;
    assert_eq!((state, entry.requests), (Approved, 4), "the first decision stands");
    let dearer = Asked { amount: Money::new("TWD".parse().unwrap(), 1).unwrap(), ..asked() };
    let other = bench.ledger.request(&id(1), &dearer, approves(Duration::ZERO)).await;
    assert!(matches!(other, Err(LedgerError::OtherContent)));
    assert_eq!(bench.ledger.inquire(&id(1), &asked()).await.unwrap(), Some(Decision::Approved(code())));
    let elsewhere = Asked { merchant: "shop-lamps".parse().unwrap(), ..asked() };
    for other in [&dearer, &elsewhere] {
        let told = bench.ledger.inquire(&id(1), other).await;
        assert!(matches!(told, Err(LedgerError::OtherContent)), "{told:?}");
        let taken_back = bench.ledger.reverse(&id(1), other).await;
        assert!(matches!(taken_back, Err(LedgerError::OtherContent)), "{taken_back:?}");
    }
}

#[tokio::test]
async fn a_reversal_wins_before_the_request_before_the_decision_and_after_it() {
    // Before the request.
    let first = bench();
    first.ledger.reverse(&id(1), &asked()).await.unwrap();
    first.ledger.request(&id(1), &asked(), approves(Duration::ZERO)).await.unwrap();
    let ledger = first.restarted();
    assert_eq!(ledger.told(&id(1)).await.unwrap(), NO);
    let (state, entry) = first.only().await;
    assert_eq!((state, entry.asked, entry.reversals), (Reversed, Some(asked()), 1));

    // While it is pending: the late approval is never made.
    let late = bench();
    late.ledger.request(&id(1), &asked(), approves(LATE)).await.unwrap();
    assert_eq!((late.only().await.0, late.ledger.inquire(&id(1), &asked()).await.unwrap()), (Pending, None));
    late.ledger.reverse(&id(1), &asked()).await.unwrap();
    late.clock.advance(LATE);
    assert_eq!(late.ledger.inquire(&id(1), &asked()).await.unwrap(), Some(NO));
    assert_eq!(late.only().await.0, Reversed);

    // After it: the money goes back.
    let made = bench();
    made.ledger.request(&id(1), &asked(), approves(LATE)).await.unwrap();
    made.clock.advance(LATE);
    assert_eq!(made.ledger.inquire(&id(1), &asked()).await.unwrap(), Some(Decision::Approved(code())));
    for _ in 0..2 {
        made.restarted().reverse(&id(1), &asked()).await.unwrap();
    }
    let (state, entry) = made.only().await;
    assert_eq!((state, entry.state.at(made.clock.now()).1), (Reversed, code().to_string()), "the code is kept");
}

#[tokio::test]
async fn a_decline_keeps_its_reason() {
    let bench = bench();
    let lost = Decision::Declined(DeclineReason::LostCard);
    bench.ledger.request(&id(1), &asked(), Verdict { decision: lost, ..approves(Duration::ZERO) }).await.unwrap();
    bench.ledger.reverse(&id(1), &asked()).await.unwrap();
    assert_eq!((bench.only().await.0, bench.ledger.told(&id(1)).await.unwrap()), (Declined, lost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_requests_and_a_reversal_end_without_a_charge() {
    for _ in 0..10 {
        let bench = bench();
        let mut tasks = JoinSet::new();
        for number in 0..16 {
            let ledger = bench.ledger.clone();
            tasks.spawn(async move {
                if number == 8 {
                    ledger.reverse(&id(1), &asked()).await.unwrap();
                } else {
                    ledger.request(&id(1), &asked(), approves(Duration::ZERO)).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let (state, entry) = bench.only().await;
        assert_eq!((state, entry.requests, entry.reversals), (Reversed, 15, 1));
    }
}

#[tokio::test]
async fn an_acquirer_lists_its_own_page_by_page() {
    let bench = bench();
    for number in 1..=5 {
        bench.ledger.request(&id(number), &asked(), approves(Duration::ZERO)).await.unwrap();
    }
    // Its name begins like ours.
    let other = Id { acquirer: "acquirer-one-b".parse().unwrap(), ..id(1) };
    bench.ledger.request(&other, &asked(), approves(Duration::ZERO)).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = bench.ledger.list(&id(1).acquirer, PageRequest { after, limit: 2 }).await.unwrap();
        found.extend(page.into_iter().map(|(id, _)| id));
        match next {
            Some(cursor) => after = Some(cursor),
            None => break,
        }
    }
    found.sort_by_key(Id::key);
    let mut expected: Vec<Id> = (1..=5).map(id).collect();
    expected.sort_by_key(Id::key);
    assert_eq!(found, expected);
}
