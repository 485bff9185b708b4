//! Many callers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh::store::{
    Commit, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Seq, Store, Topic, Transition, Version,
};
use tokio::task::JoinSet;

use crate::{Engine, committed, create};

const COUNTER: Kind = Kind::new("counter");
const ALL: Index = Index::new("all");

async fn number(store: &dyn Store, id: &RecordId) -> (u64, Version) {
    let record = store.get(id).await.expect("get").expect("a record");
    let text = std::str::from_utf8(&record.body).expect("text");
    (text.parse().expect("a number"), record.version)
}

pub(crate) async fn increments_of_one_record_happen_once<E: Engine>() {
    const CALLERS: u64 = 16;
    const EACH: u64 = 10;
    let mut engine = E::make().await;
    let id = RecordId::new(COUNTER, "one");
    committed(engine.store().commit(create(&id, "0")).await);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (store, id) = (engine.store(), id.clone());
        callers.spawn(async move {
            for _ in 0..EACH {
                loop {
                    let (value, version) = number(&*store, &id).await;
                    let body = (value + 1).to_string();
                    let write = Transition::new().put(id.clone(), version, body, Vec::new());
                    match store.commit(write).await {
                        Commit::Committed { .. } => break,
                        Commit::Conflict(_) => {}
                        other @ (Commit::Duplicate(_) | Commit::Refused(_) | Commit::Unknown | Commit::Fatal(_)) => {
                            panic!("{other:?}")
                        }
                    }
                }
            }
        });
    }
    callers.join_all().await;
    assert_eq!(number(&*engine.store(), &id).await.0, CALLERS * EACH);
    engine.reopen().await;
    assert_eq!(number(&*engine.store(), &id).await.0, CALLERS * EACH);
}

pub(crate) async fn a_follower_skips_nothing<E: Engine>() {
    const CALLERS: usize = 8;
    const EACH: usize = 25;
    let engine = E::make().await;
    let topic = Topic::new("shop").expect("a topic");
    let follower = tokio::spawn(follow(engine.store(), topic.clone(), CALLERS * EACH * 2));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, topic) = (engine.store(), topic.clone());
        callers.spawn(async move {
            for i in 0..EACH {
                let transition = Transition::new()
                    .event(topic.clone(), format!("{caller} {i} a"))
                    .event(topic.clone(), format!("{caller} {i} b"));
                committed(store.commit(transition).await);
            }
        });
    }
    callers.join_all().await;
    let seen = follower.await.expect("the follower ends");
    let expected: BTreeSet<_> = (0..CALLERS)
        .flat_map(|caller| (0..EACH).map(move |i| (caller, i)))
        .flat_map(|(caller, i)| ["a", "b"].map(|part| format!("{caller} {i} {part}")))
        .collect();
    assert_eq!(seen.len(), expected.len(), "nothing twice");
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), expected);
    for caller in 0..CALLERS {
        let of_one = |body: &&String| body.starts_with(&format!("{caller} "));
        let numbers = seen.iter().filter(of_one).map(|body| {
            let mut words = body.split(' ').skip(1);
            let number: usize = words.next().and_then(|w| w.parse().ok()).expect("a number");
            (number, words.next().map(str::to_owned))
        });
        assert!(numbers.is_sorted(), "a caller's own events stay in order");
    }
}

/// Reads with the last sequence seen, waking by the watch alone, until `count` events are there.
async fn follow(store: Arc<dyn Store>, topic: Topic, count: usize) -> Vec<String> {
    let mut watch = store.watch();
    let mut after = Seq::START;
    let mut seen = Vec::new();
    loop {
        let visible = *watch.borrow_and_update();
        loop {
            let events = store.events(&topic, after, 7).await.expect("events");
            let Some(last) = events.last() else { break };
            after = last.seq;
            seen.extend(events.iter().map(|e| String::from_utf8_lossy(&e.body).into_owned()));
        }
        assert!(after >= visible, "what the watch announced can be read");
        if seen.len() >= count {
            return seen;
        }
        watch.changed().await.expect("the store is open");
    }
}

pub(crate) async fn a_watcher_wakes_when_events_show<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let topic = Topic::new("shop").expect("a topic");
    let mut watch = store.watch();
    assert_eq!(*watch.borrow_and_update(), Seq::START);
    let woken = tokio::spawn({
        let (store, topic) = (store.clone(), topic.clone());
        async move {
            watch.changed().await.expect("the store is open");
            store.events(&topic, Seq::START, 10).await.expect("events")
        }
    });
    let (_, seq) = committed(store.commit(Transition::new().event(topic, "event")).await);
    let events = woken.await.expect("the watcher ends");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].seq, seq);
    let mut watch = store.watch();
    assert_eq!(*watch.borrow_and_update(), seq);
    // A transition that changes nothing wakes nobody.
    let stale = create(&RecordId::new(COUNTER, "a"), "");
    committed(store.commit(stale.clone()).await);
    watch.mark_unchanged();
    assert!(matches!(store.commit(stale).await, Commit::Conflict(_)));
    assert!(!watch.has_changed().expect("the store is open"));
}

pub(crate) async fn many_callers_finish<E: Engine>() {
    const CALLERS: u8 = 128;
    let mut engine = E::make().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = engine.store();
        callers.spawn(async move {
            for i in 0..10u8 {
                let id = RecordId::new(COUNTER, [caller, i]);
                let entries = vec![IndexEntry::new(ALL, [caller])];
                let transition = Transition::new()
                    .put(id, Version::ABSENT, vec![i; 2000], entries)
                    .idempotency([caller, i], [i].to_vec());
                committed(store.commit(transition).await);
            }
        });
    }
    callers.join_all().await;
    engine.reopen().await;
    let store = engine.store();
    for caller in 0..CALLERS {
        let scan = store.scan(ALL, KeyRange::exactly([caller]), PageRequest::first(100));
        assert_eq!(scan.await.expect("scan").items.len(), 10);
    }
}

/// Two records always move together; a page that showed one of them moved would show a difference.
pub(crate) async fn a_page_shows_whole_transitions<E: Engine>() {
    const ROUNDS: u64 = 200;
    let engine = E::make().await;
    let ids = ["left", "right"].map(|key| RecordId::new(COUNTER, key));
    let write = |value: u64, versions: &[Version]| {
        let mut transition = Transition::new();
        for (id, version) in ids.iter().zip(versions) {
            // The index key moves as well, so that a torn page would miss or repeat a record.
            let entries = vec![IndexEntry::new(ALL, value.to_be_bytes())];
            transition = transition.put(id.clone(), *version, value.to_string(), entries);
        }
        transition
    };
    let store = engine.store();
    let (mut versions, _) = committed(store.commit(write(0, &[Version::ABSENT; 2])).await);
    let reader = tokio::spawn({
        let store = engine.store();
        async move {
            loop {
                let scan = store.scan(ALL, KeyRange::all(), PageRequest::first(10));
                let items = scan.await.expect("scan").items;
                assert_eq!(items.len(), 2, "{items:?}");
                assert_eq!(items[0].index_key, items[1].index_key);
                assert_eq!(items[0].record, items[1].record);
                if items[0].index_key == ROUNDS.to_be_bytes() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    for value in 1..=ROUNDS {
        versions = committed(store.commit(write(value, &versions)).await).0;
    }
    reader.await.expect("the reader ends");
}
