//! Reading: indexes, pages, ranges, events.

use mesh::store::{
    Cursor, Index, IndexEntry, Item, KeyRange, Kind, Limit, PageRequest, RecordId, Seq, Store, StoreError, Topic,
    Transition, Version, limits,
};

use crate::{Engine, committed, create};

const ORDER: Kind = Kind::new("order");
const ORDERLY: Kind = Kind::new("orderly");
const STATE: Index = Index::new("state");
const STATES: Index = Index::new("states");

async fn page(store: &dyn Store, index: Index, range: KeyRange) -> Vec<Item> {
    let page = store.scan(index, range, PageRequest::first(limits::PAGE_ITEMS_MAX));
    let page = page.await.expect("scan");
    assert_eq!(page.next, None);
    page.items
}

fn keys(items: &[Item]) -> Vec<(&[u8], &[u8])> {
    items.iter().map(|item| (&item.index_key[..], &item.id.key[..])).collect()
}

pub(crate) async fn the_index_follows_the_record<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let id = RecordId::new(ORDER, "a");
    let put = |expected, entries: &[(Index, &str)]| {
        let entries = entries.iter().map(|(i, k)| IndexEntry::new(*i, *k));
        Transition::new().put(id.clone(), expected, "body", entries.collect())
    };
    let first = put(Version::ABSENT, &[(STATE, "open"), (STATES, "s1"), (STATE, "x")]);
    let (versions, _) = committed(store.commit(first).await);
    let items = page(&*store, STATE, KeyRange::all()).await;
    assert_eq!(keys(&items), [(&b"open"[..], &b"a"[..]), (b"x", b"a")]);
    assert_eq!(items[0].record.version, versions[0]);
    assert_eq!((items[0].id.kind, &items[0].record.body[..]), (ORDER, &b"body"[..]));

    // One entry goes, one stays, one comes.
    let second = put(versions[0], &[(STATE, "x"), (STATE, "paid")]);
    let (versions, _) = committed(store.commit(second).await);
    let items = page(&*store, STATE, KeyRange::all()).await;
    assert_eq!(keys(&items), [(&b"paid"[..], &b"a"[..]), (b"x", b"a")]);
    assert_eq!(items[1].record.version, versions[0]);
    assert_eq!(page(&*store, STATES, KeyRange::all()).await, []);

    let removal = Transition::new().remove(id.clone(), versions[0]);
    committed(store.commit(removal).await);
    assert_eq!(page(&*store, STATE, KeyRange::all()).await, []);
}

pub(crate) async fn pages_are_complete_and_ordered<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let mut expected = Vec::new();
    for i in 0..60u8 {
        let kind = if i % 2 == 0 { ORDER } else { ORDERLY };
        // Shared index keys, in an order that isn't the order of insertion.
        let index_key = vec![i.wrapping_mul(37) % 7];
        let id = RecordId::new(kind, vec![i.wrapping_mul(101), i]);
        let entries = vec![IndexEntry::new(STATE, index_key.clone())];
        let transition = Transition::new().put(id.clone(), Version::ABSENT, vec![i], entries);
        committed(store.commit(transition).await);
        expected.push((index_key, id));
    }
    expected.sort();
    for limit in [1, 7, 59, 60, 61] {
        let mut seen = Vec::new();
        let mut request = PageRequest::first(limit);
        loop {
            let page = store.scan(STATE, KeyRange::all(), request).await.expect("scan");
            assert!(page.items.len() <= limit);
            seen.extend(page.items.into_iter().map(|i| (i.index_key, i.id)));
            let Some(next) = page.next else { break };
            request = PageRequest::after(Cursor::from_bytes(next.as_bytes()), limit);
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

pub(crate) async fn ranges_are_half_open<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let index_keys: [&[u8]; 7] = [b"a", b"a\0", b"a\0\x01", b"a\xFF", b"b", b"\xFF", b"\xFF\xFF"];
    for index_key in index_keys {
        let entries = vec![IndexEntry::new(STATE, index_key), IndexEntry::new(STATES, "other")];
        let id = RecordId::new(ORDER, index_key);
        committed(store.commit(Transition::new().put(id, Version::ABSENT, "", entries)).await);
    }
    let cases: [(KeyRange, &[usize]); 9] = [
        (KeyRange::all(), &[0, 1, 2, 3, 4, 5, 6]),
        (KeyRange::exactly("a"), &[0]),
        (KeyRange::exactly("a\0"), &[1]),
        (KeyRange::prefix("a"), &[0, 1, 2, 3]),
        (KeyRange::prefix(b"\xFF"), &[5, 6]),
        (KeyRange::between("a\0", "b"), &[1, 2, 3]),
        (KeyRange::between("b", "a"), &[]),
        (KeyRange::between("b", "b"), &[]),
        (KeyRange::starting_at("b"), &[4, 5, 6]),
    ];
    for (range, expected) in cases {
        let items = page(&*store, STATE, range.clone()).await;
        let found: Vec<_> = items.iter().map(|i| &i.index_key[..]).collect();
        let expected: Vec<_> = expected.iter().map(|at| index_keys[*at]).collect();
        assert_eq!(found, expected, "{range:?}");
    }
}

pub(crate) async fn events_keep_order_and_topics<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let one = Topic::new("shop").expect("a topic");
    let two = Topic::new("shop/2").expect("a topic");
    let mut last = Seq::START;
    for i in 0..10 {
        let transition = Transition::new()
            .event(one.clone(), format!("{i} first"))
            .event(two.clone(), format!("{i} other"))
            .event(one.clone(), format!("{i} second"));
        let (_, seq) = committed(store.commit(transition).await);
        assert!(seq > last);
        last = seq;
    }
    // Pages of three end in the middle of a transition.
    let mut after = Seq::START;
    let mut bodies = Vec::new();
    loop {
        let events = store.events(&one, after, 3).await.expect("events");
        let Some(end) = events.last() else { break };
        assert!(events.iter().all(|e| e.topic == one && e.seq > after));
        assert!(events.is_sorted_by(|a, b| a.seq < b.seq));
        after = end.seq;
        bodies.extend(events.into_iter().map(|e| e.body));
    }
    assert_eq!(after, last);
    let expected: Vec<_> = (0..10).flat_map(|i| [format!("{i} first"), format!("{i} second")]).collect();
    assert_eq!(bodies, expected);
    let other = store.events(&two, Seq::START, 100).await.expect("events");
    assert_eq!(other.len(), 10);
    let beyond = store.events(&one, Seq::new(u64::MAX), 1).await;
    assert_eq!(beyond.expect("events"), []);
}

pub(crate) async fn bad_pages_are_refused<E: Engine>() {
    let engine = E::make().await;
    let store = engine.store();
    let entries = vec![IndexEntry::new(STATE, "k")];
    let id = RecordId::new(ORDER, "a");
    committed(store.commit(Transition::new().put(id, Version::ABSENT, "", entries)).await);
    let topic = Topic::new("shop").expect("a topic");
    for limit in [0, limits::PAGE_ITEMS_MAX + 1] {
        let scan = store.scan(STATE, KeyRange::all(), PageRequest::first(limit));
        let scan = scan.await;
        assert!(matches!(scan, Err(StoreError::Limit(_))), "{scan:?}");
    }
    for limit in [0, limits::EVENTS_PAGE_MAX + 1] {
        let events = store.events(&topic, Seq::START, limit).await;
        assert!(matches!(events, Err(StoreError::Limit(_))), "{events:?}");
    }
    let long = Cursor::from_bytes(vec![0; limits::CURSOR_BYTES_MAX + 1]);
    let scan = store.scan(STATE, KeyRange::all(), PageRequest::after(long, 1));
    let scan = scan.await;
    assert!(matches!(scan, Err(StoreError::Limit(Limit::TooLong { .. }))), "{scan:?}");
    // A forged cursor is a place like any other, also behind the range's end.
    for bytes in [&b""[..], b"\0", b"\0\x07", b"zz", b"\xFF\xFF"] {
        let request = PageRequest::after(Cursor::from_bytes(bytes), 5);
        let page = store.scan(STATE, KeyRange::exactly("k"), request).await;
        assert!(page.expect("scan").items.len() <= 1);
    }
}

pub(crate) async fn keys_of_any_bytes_are_kept<E: Engine>() {
    let mut engine = E::make().await;
    let store = engine.store();
    let keys: [&[u8]; 5] = [b"\0", b"\0\x01", b"\xFF\xFF", b"order\0a", &[0; 128]];
    for key in keys {
        committed(store.commit(create(&RecordId::new(ORDER, key), "order")).await);
        committed(store.commit(create(&RecordId::new(ORDERLY, key), "orderly")).await);
        let answer = Transition::new().idempotency(key, key.to_vec());
        committed(store.commit(answer).await);
    }
    drop(store);
    engine.reopen().await;
    let store = engine.store();
    for key in keys {
        for (kind, body) in [(ORDER, "order"), (ORDERLY, "orderly")] {
            let record = store.get(&RecordId::new(kind, key)).await.expect("get");
            assert_eq!(record.expect("a record").body, body);
        }
        let answer = store.answer(key).await.expect("answer");
        assert_eq!(answer.expect("an answer"), key);
    }
}
