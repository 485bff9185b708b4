//! Random transitions on an engine and on a model that is written from the contract alone.

use std::collections::BTreeMap;

use mesh::store::{
    Change, Commit, Event, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Seq, Store, Topic, Transition,
    Version, limits,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::Engine;

/// Sequences of transitions, and transitions in each.
const RUNS: usize = 12;
const STEPS: usize = 60;

const KINDS: [Kind; 2] = [Kind::new("a"), Kind::new("ab")];
const INDEXES: [Index; 2] = [Index::new("i"), Index::new("ij")];

#[derive(Debug, Clone)]
enum Expect {
    Current,
    Absent,
    Number(u64),
}

#[derive(Debug, Clone)]
struct Step {
    writes: Vec<(RecordId, Expect, Option<Vec<IndexEntry>>)>,
    events: Vec<Topic>,
    key: Option<u8>,
    forget: Option<u8>,
    trim: Option<(Topic, u64)>,
    reopen: bool,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<RecordId, (Version, Vec<u8>, Vec<IndexEntry>)>,
    answers: BTreeMap<Vec<u8>, Vec<u8>>,
    events: Vec<Event>,
    last: Seq,
}

pub(crate) async fn random_transitions_match_a_model<E: Engine>() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..RUNS {
        let steps = prop::collection::vec(step(), STEPS).new_tree(&mut runner);
        let mut engine = E::make().await;
        let mut model = Model::default();
        for (at, step) in steps.expect("steps").current().into_iter().enumerate() {
            let transition = model.transition(&step, at);
            let commit = engine.store().commit(transition.clone()).await;
            model.judge(&transition, &commit);
            if step.reopen {
                engine.reopen().await;
            }
            model.compare(&*engine.store()).await;
        }
        assert!(!model.events.is_empty() && !model.answers.is_empty());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xFF]), 1..3);
    let id = (prop::sample::select(&KINDS[..]), key()).prop_map(|(k, b)| RecordId::new(k, b));
    let entry = (prop::sample::select(&INDEXES[..]), key()).prop_map(|(i, k)| IndexEntry::new(i, k));
    let entries = prop::collection::btree_set(entry, 0..4).prop_map(|e| e.into_iter().collect());
    let expect = prop_oneof![
        8 => Just(Expect::Current),
        1 => Just(Expect::Absent),
        1 => (0u64..50).prop_map(Expect::Number),
    ];
    let change = prop::option::weighted(0.8, entries);
    let writes = prop::collection::btree_map(id, (expect, change), 0..4)
        .prop_map(|w| w.into_iter().map(|(id, (e, c))| (id, e, c)).collect());
    let topic = || prop::sample::select(vec!["t", "tt"]).prop_map(|name| Topic::new(name).expect("a topic"));
    (
        writes,
        prop::collection::vec(topic(), 0..4),
        prop::option::weighted(0.5, 0u8..20),
        prop::option::weighted(0.2, 0u8..20),
        prop::option::weighted(0.1, (topic(), 0u64..60)),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(writes, events, key, forget, trim, reopen)| Step { writes, events, key, forget, trim, reopen })
}

impl Model {
    fn transition(&self, step: &Step, at: usize) -> Transition {
        let mut transition = Transition::new();
        for (id, expect, change) in &step.writes {
            let current = self.records.get(id).map_or(Version::ABSENT, |r| r.0);
            let expected = match expect {
                Expect::Current => current,
                Expect::Absent => Version::ABSENT,
                Expect::Number(number) => Version::new(*number),
            };
            transition = match change {
                Some(entries) => transition.put(id.clone(), expected, format!("{at}"), entries.clone()),
                // A removal must expect something.
                None => transition.remove(id.clone(), expected.max(Version::new(1))),
            };
        }
        for (number, topic) in step.events.iter().enumerate() {
            transition = transition.event(topic.clone(), format!("{at}.{number}"));
        }
        if let Some(key) = step.key {
            transition = transition.idempotency([key], format!("answer {at}"));
        }
        if let Some(key) = step.forget {
            transition = transition.forget([key]);
        }
        if let Some((topic, up_to)) = &step.trim {
            transition = transition.trim(topic.clone(), Seq::new(*up_to));
        }
        transition
    }

    /// Checks the engine's answer against the model, and takes the change over.
    fn judge(&mut self, transition: &Transition, commit: &Commit) {
        if transition.check().is_err() {
            assert!(matches!(commit, Commit::Refused(_)), "{commit:?}");
            return;
        }
        let key = transition.idempotency.as_ref().map(|i| &i.key);
        if let Some(answer) = key.and_then(|key| self.answers.get(key)) {
            assert!(matches!(commit, Commit::Duplicate(bytes) if bytes == answer), "{commit:?}");
            return;
        }
        let version = |id| self.records.get(id).map_or(Version::ABSENT, |r| r.0);
        let conflict = transition.writes.iter().find(|write| version(&write.id) != write.expected);
        if let Some(write) = conflict {
            assert!(matches!(commit, Commit::Conflict(id) if *id == write.id), "{commit:?}");
            return;
        }
        let Commit::Committed { versions, seq } = commit else {
            panic!("the model commits, but {commit:?}");
        };
        assert_eq!(versions.len(), transition.writes.len());
        assert!(*seq > self.last);
        self.apply(transition, versions, *seq);
    }

    fn apply(&mut self, transition: &Transition, versions: &[Version], seq: Seq) {
        for trim in &transition.trim {
            let mut left = limits::TRIM_EVENTS_MAX;
            self.events.retain(|event| {
                let goes = left > 0 && event.topic == trim.topic && event.seq <= trim.up_to;
                left -= usize::from(goes);
                !goes
            });
        }
        for (write, version) in transition.writes.iter().zip(versions) {
            match &write.change {
                Change::Put { body, indexes } => {
                    assert!(*version > write.expected);
                    let record = (*version, body.to_vec(), indexes.clone());
                    self.records.insert(write.id.clone(), record);
                }
                Change::Remove => drop(self.records.remove(&write.id)),
            }
        }
        let first = seq.number() + 1 - transition.events.len() as u64;
        for (event, number) in transition.events.iter().zip(first..) {
            assert!(number > self.last.number());
            self.events.push(Event { seq: Seq::new(number), topic: event.topic.clone(), body: event.body.clone() });
        }
        for key in &transition.forget {
            self.answers.remove(key);
        }
        if let Some(idempotency) = &transition.idempotency {
            let answer = idempotency.answer.to_vec();
            self.answers.insert(idempotency.key.clone(), answer);
        }
        self.last = seq;
    }

    async fn compare(&self, store: &dyn Store) {
        assert_eq!(*store.watch().borrow(), self.last);
        for (id, (version, body, _)) in &self.records {
            let record = store.get(id).await.expect("get").expect("the record");
            assert_eq!((record.version, &record.body[..]), (*version, &body[..]));
        }
        for key in 0..20u8 {
            let answer = store.answer(&[key]).await.expect("answer");
            let expected = self.answers.get(&[key][..]);
            assert_eq!(answer.map(|a| a.to_vec()).as_ref(), expected);
        }
        for index in INDEXES {
            let mut expected: Vec<_> = self
                .records
                .iter()
                .flat_map(|(id, record)| record.2.iter().map(move |entry| (entry, id)))
                .filter(|(entry, _)| entry.index == index)
                .map(|(entry, id)| (entry.key.clone(), id.clone()))
                .collect();
            expected.sort();
            let scan = store.scan(index, KeyRange::all(), PageRequest::first(500));
            let items = scan.await.expect("scan").items;
            let found: Vec<_> = items.into_iter().map(|i| (i.index_key, i.id)).collect();
            assert_eq!(found, expected);
        }
        for name in ["t", "tt"] {
            let topic = Topic::new(name).expect("a topic");
            let found = store.events(&topic, Seq::START, 1000).await.expect("events");
            let of_topic = self.events.iter().filter(|e| e.topic == topic);
            assert_eq!(found, of_topic.cloned().collect::<Vec<_>>());
        }
    }
}
