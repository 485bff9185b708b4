//! Writing: atomicity, versions, repeats, limits, retention, durability.

use mesh::store::{
    Change, Commit, Index, IndexEntry, Kind, Limit, RecordId, Seq, StoreError, Topic, Transition, Version, Write,
    limits,
};

use crate::{Engine, committed, create};

const ORDER: Kind = Kind::new("order");
const BY_STATE: Index = Index::new("orders_by_state");

fn order(key: &str) -> RecordId {
    RecordId::new(ORDER, key)
}

fn topic() -> Topic {
    Topic::new("merchant/shop-1").expect("a topic")
}

pub(crate) async fn a_conflict_leaves_nothing<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let (versions, seq) = committed(store.commit(create(&order("a"), "one")).await);

    let entry = vec![IndexEntry::new(BY_STATE, "open")];
    let transition = Transition::new()
        .put(order("b"), Version::ABSENT, "new", entry.clone())
        .put(order("a"), Version::ABSENT, "two", entry)
        .event(topic(), "event")
        .idempotency("request", "answer");
    let commit = store.commit(transition.clone()).await;
    assert!(matches!(&commit, Commit::Conflict(id) if *id == order("a")), "{commit:?}");

    let a = store.get(&order("a")).await.expect("get").expect("a");
    assert_eq!((&a.body[..], a.version), (&b"one"[..], versions[0]));
    assert_eq!(store.get(&order("b")).await.expect("get"), None);
    assert_eq!(store.answer(b"request").await.expect("answer"), None);
    let events = store.events(&topic(), Seq::START, 10).await;
    assert_eq!(events.expect("events"), []);
    let all = mesh::store::KeyRange::all();
    let page = store.scan(BY_STATE, all, mesh::store::PageRequest::first(10));
    assert_eq!(page.await.expect("scan").items, []);
    assert_eq!(*store.watch().borrow(), seq);

    let mut corrected = transition;
    corrected.writes[1].expected = versions[0];
    let (versions, seq) = committed(store.commit(corrected).await);
    assert_eq!(versions.len(), 2);
    let events = store.events(&topic(), Seq::START, 10).await.expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].seq, seq);
}

pub(crate) async fn versions_grow_and_never_return<E: Engine>() {
    let mut engine = E::make().await;
    let id = order("a");
    let mut seen = vec![Version::ABSENT];
    for round in 0..6 {
        let store = engine.store();
        let last = *seen.last().expect("a version");
        let expected = store.get(&id).await.expect("get").map(|r| r.version);
        let expected = expected.unwrap_or(Version::ABSENT);
        let write = Transition::new().put(id.clone(), expected, "body", Vec::new());
        let (versions, _) = committed(store.commit(write).await);
        assert!(versions[0] > last, "{versions:?} after {seen:?}");
        let record = store.get(&id).await.expect("get").expect("the record");
        assert_eq!(record.version, versions[0]);
        for old in &seen {
            let stale = Transition::new().put(id.clone(), *old, "stale", Vec::new());
            let commit = store.commit(stale).await;
            assert!(matches!(commit, Commit::Conflict(_)), "{commit:?}");
        }
        seen.push(versions[0]);
        if round % 2 == 1 {
            let removal = Transition::new().remove(id.clone(), versions[0]);
            committed(store.commit(removal).await);
            assert_eq!(store.get(&id).await.expect("get"), None);
            let commit = Transition::new().remove(id.clone(), versions[0]);
            let commit = store.commit(commit).await;
            assert!(matches!(commit, Commit::Conflict(_)), "{commit:?}");
        }
        drop(store);
        engine.reopen().await;
    }
}

pub(crate) async fn a_repeat_gets_the_first_answer<E: Engine>() {
    let mut engine = E::make().await;
    let first = create(&order("a"), "one").idempotency("request", "first answer");
    committed(engine.store().commit(first).await);
    engine.reopen().await;
    let store = engine.store();
    // The key is looked at before the versions: this repeat would also conflict.
    let repeat = create(&order("a"), "two").event(topic(), "event").idempotency("request", "second answer");
    let commit = store.commit(repeat).await;
    assert!(matches!(&commit, Commit::Duplicate(answer) if answer == "first answer"), "{commit:?}");
    let answer = store.answer(b"request").await.expect("answer");
    assert_eq!(answer.expect("an answer"), "first answer");
    let events = store.events(&topic(), Seq::START, 10).await;
    assert_eq!(events.expect("events"), []);
    let other = create(&order("b"), "two").idempotency("request 2", "");
    committed(store.commit(other).await);
    let empty = store.answer(b"request 2").await.expect("answer");
    assert_eq!(empty.expect("an answer"), "");
}

pub(crate) async fn limits_are_refused_by_name<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let long_key = RecordId::new(ORDER, vec![1; limits::KEY_BYTES_MAX + 1]);
    let body = |bytes: usize| vec![7u8; bytes];
    let entry = |key: &[u8]| IndexEntry::new(BY_STATE, key);
    let put =
        |body: Vec<u8>, entries: Vec<IndexEntry>| Transition::new().put(order("a"), Version::ABSENT, body, entries);
    let many = |count: usize| {
        (0..count).fold(Transition::new(), |t, i| t.put(order(&i.to_string()), Version::ABSENT, "", Vec::new()))
    };
    let events = |count: usize| (0..count).fold(Transition::new(), |t, _| t.event(topic(), ""));
    let mut twice = many(2);
    twice.writes[1].id = twice.writes[0].id.clone();
    let removal = Transition {
        writes: vec![Write { id: order("a"), expected: Version::ABSENT, change: Change::Remove }],
        ..Transition::new()
    };
    let max = limits::VALUE_BYTES_MAX;
    let refused = [
        ("must not be empty", Transition::new()),
        ("at most 8", many(limits::WRITES_MAX + 1)),
        ("at most 8", events(limits::EVENTS_MAX + 1)),
        ("at most 128", create(&long_key, "")),
        ("must not be empty", create(&order(""), "")),
        ("at most 4095", put(body(max), Vec::new())),
        ("at most 4095", put(body(max - 20), vec![entry(&[1; 20])])),
        ("at most 128", put(body(1), vec![entry(&[1; 129])])),
        ("must not be empty", put(body(1), vec![entry(b"")])),
        ("twice", put(body(1), vec![entry(b"x"), entry(b"x")])),
        ("at most 4095", Transition::new().event(topic(), body(max + 1))),
        ("at most 4095", Transition::new().idempotency("k", body(max + 1))),
        ("must not be empty", Transition::new().idempotency("", "")),
        ("at most 128", Transition::new().forget(body(129))),
        ("twice", twice),
        ("absent", removal),
    ];
    for (part, transition) in refused {
        match store.commit(transition).await {
            Commit::Refused(limit) => assert!(limit.to_string().contains(part), "{limit}: {part}"),
            other @ (Commit::Committed { .. }
            | Commit::Conflict(_)
            | Commit::Duplicate(_)
            | Commit::Unknown
            | Commit::Fatal(_)) => panic!("{part}: {other:?}"),
        }
    }
    assert!(Topic::new("").is_err() && Topic::new("a\0b").is_err());
    let get = store.get(&long_key).await;
    assert!(matches!(get, Err(StoreError::Limit(Limit::TooLong { max: 128, .. }))));
    assert_eq!(*store.watch().borrow(), Seq::START);

    // What is exactly at the limits is taken.
    let at_limit = many(limits::WRITES_MAX).idempotency(body(128), body(max));
    committed(store.commit(at_limit).await);
    let largest = RecordId::new(ORDER, vec![1; limits::KEY_BYTES_MAX]);
    let write = Transition::new().put(largest.clone(), Version::ABSENT, body(max - 9), Vec::new());
    committed(store.commit(write.event(topic(), body(max))).await);
    let record = store.get(&largest).await.expect("get").expect("a record");
    assert_eq!(record.body, body(max - 9));
}

pub(crate) async fn reopening_keeps_everything<E: Engine>() {
    let mut engine = E::make().await;
    let mut last = Seq::START;
    for round in 0..5u32 {
        for i in 0..20u32 {
            let id = RecordId::new(ORDER, [round.to_be_bytes(), i.to_be_bytes()].concat());
            let entries = vec![IndexEntry::new(BY_STATE, round.to_be_bytes())];
            let transition = Transition::new()
                .put(id, Version::ABSENT, i.to_string(), entries)
                .event(topic(), format!("{round}/{i}"));
            let (_, seq) = committed(engine.store().commit(transition).await);
            assert!(seq > last, "the sequence goes on where it was");
            last = seq;
        }
        engine.reopen().await;
        assert_eq!(*engine.store().watch().borrow(), last);
    }
    let store = engine.store();
    let events = store.events(&topic(), Seq::START, 1000).await.expect("events");
    let bodies: Vec<_> = events.iter().map(|e| e.body.clone()).collect();
    let expected: Vec<_> = (0..5).flat_map(|r| (0..20).map(move |i| format!("{r}/{i}"))).collect();
    assert_eq!(bodies, expected);
    let range = mesh::store::KeyRange::exactly(3u32.to_be_bytes());
    let page = store.scan(BY_STATE, range, mesh::store::PageRequest::first(100));
    assert_eq!(page.await.expect("scan").items.len(), 20);
}

pub(crate) async fn forgetting_and_trimming<E: Engine>() {
    let mut engine = E::make().await;
    let store = engine.store();
    let other = Topic::new("merchant/shop-10").expect("a topic");
    let mut seqs = Vec::new();
    for i in 0..100 {
        let transition = Transition::new()
            .event(topic(), format!("{i}"))
            .event(other.clone(), "kept")
            .idempotency(format!("request {i}"), "answer");
        seqs.push(committed(store.commit(transition).await).1);
    }
    let trim = Transition::new().trim(topic(), seqs[79]).forget("request 3").forget("unknown");
    committed(store.commit(trim).await);
    let left = store.events(&topic(), Seq::START, 1000).await.expect("events");
    assert_eq!(left.len(), 100 - limits::TRIM_EVENTS_MAX);
    committed(store.commit(Transition::new().trim(topic(), seqs[79])).await);
    let left = store.events(&topic(), Seq::START, 1000).await.expect("events");
    assert_eq!(left.len(), 20);
    assert_eq!(left[0].body, "80");
    let kept = store.events(&other, Seq::START, 1000).await.expect("events");
    assert_eq!(kept.len(), 100);
    assert_eq!(store.answer(b"request 3").await.expect("answer"), None);
    assert!(store.answer(b"request 4").await.expect("answer").is_some());
    let again = Transition::new().idempotency("request 3", "new");
    committed(store.commit(again).await);

    // A sequence is not given out again even when no event is left that has it.
    let all = Seq::new(u64::MAX);
    for _ in 0..2 {
        committed(store.commit(Transition::new().trim(topic(), all)).await);
    }
    let before = *store.watch().borrow();
    drop(store);
    engine.reopen().await;
    let next = Transition::new().event(topic(), "next");
    let (_, seq) = committed(engine.store().commit(next).await);
    assert!(seq > before);
}

pub(crate) async fn closing_finishes_and_refuses<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    committed(store.commit(create(&order("a"), "one")).await);
    store.health().await.expect("an open store is healthy");
    store.close().await;
    store.close().await;
    let commit = store.commit(create(&order("b"), "two")).await;
    assert!(matches!(commit, Commit::Fatal(StoreError::Closed)), "{commit:?}");
    let get = store.get(&order("a")).await;
    assert!(matches!(get, Err(StoreError::Closed)));
    assert!(matches!(store.health().await, Err(StoreError::Closed)));
}
