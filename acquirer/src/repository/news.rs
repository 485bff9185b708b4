//! Who waits for the events of which topic, and for the change of which record.
//!
//! The store tells everybody of every commit. Whoever follows one merchant's events, or looks at one order's page,
//! would be woken by all the others' and look in vain; here it is woken by those of its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh::store::{Commit, RecordId, Seq, Topic};
use tokio::sync::watch;

/// The newest commit of each topic that was ever followed. Topics are few: one for each merchant.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<HashMap<Topic, watch::Sender<Seq>>>);

impl News {
    /// Follows a topic. The sequence is that of its newest commit through this process, as far as that is known.
    pub(super) fn follow(&self, topic: &Topic) -> watch::Receiver<Seq> {
        let mut topics = self.topics();
        topics.entry(topic.clone()).or_insert_with(|| watch::Sender::new(Seq::START)).subscribe()
    }

    /// Tells the followers of these topics of a commit. A commit with a lower sequence than one that was told
    /// before is news all the same.
    pub(super) fn tell(&self, changed: &BTreeSet<Topic>, seq: Seq) {
        let topics = self.topics();
        for topic in changed.iter().filter_map(|topic| topics.get(topic)) {
            topic.send_modify(|newest| *newest = seq.max(*newest));
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, watch::Sender<Seq>>> {
        // The map is whole between any two calls, and nothing panics in one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records that somebody follows. Unlike topics these are many, so that one is dropped with its last follower.
#[derive(Debug, Default)]
pub(super) struct RecordNews(Mutex<HashMap<RecordId, watch::Sender<()>>>);

/// Follows one record, until it is dropped.
#[derive(Debug)]
pub struct RecordWatch {
    news: Arc<RecordNews>,
    id: RecordId,
    receiver: watch::Receiver<()>,
}

impl RecordNews {
    pub(super) fn follow(news: &Arc<Self>, id: RecordId) -> RecordWatch {
        let receiver = news.records().entry(id.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        RecordWatch { news: Arc::clone(news), id, receiver }
    }

    /// Tells the followers of these records what a commit may have done to them.
    pub(super) fn tell(&self, written: &[RecordId], commit: &Commit) {
        match commit {
            // Nobody knows whether the unknown one was written: they look for themselves.
            Commit::Committed { .. } | Commit::Unknown => {}
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Refused(_) | Commit::Fatal(_) => return,
        }
        let records = self.records();
        for record in written.iter().filter_map(|id| records.get(id)) {
            record.send_replace(());
        }
    }

    fn records(&self) -> MutexGuard<'_, HashMap<RecordId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordWatch {
    /// Waits for a change since the watch began or this was last called.
    pub async fn changed(&mut self) {
        // The sender lives as long as this follower.
        let _ = self.receiver.changed().await;
    }

    /// How many follow this record, this one included.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.news.records().get(&self.id).map_or(0, watch::Sender::receiver_count)
    }

    /// Takes what has come so far as seen.
    pub fn mark(&mut self) {
        self.receiver.mark_unchanged();
    }
}

impl Drop for RecordWatch {
    fn drop(&mut self) {
        let mut records = self.news.records();
        if records.get(&self.id).is_some_and(|record| record.receiver_count() <= 1) {
            records.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh::store::{Kind, StoreError};

    use super::*;

    fn id(key: &[u8]) -> RecordId {
        RecordId::new(Kind::new("order"), key)
    }

    #[test]
    fn followers_hear_of_their_own_record_and_leave_nothing_behind() {
        let news = Arc::new(RecordNews::default());
        let (first, second) = (RecordNews::follow(&news, id(b"a")), RecordNews::follow(&news, id(b"a")));
        let other = RecordNews::follow(&news, id(b"b"));
        let heard = |watch: &RecordWatch| watch.receiver.has_changed().is_ok_and(|changed| changed);
        news.tell(&[id(b"a"), id(b"c")], &Commit::Fatal(StoreError::Panicked));
        assert!(!heard(&first), "nothing was written");
        news.tell(&[id(b"a"), id(b"c")], &Commit::Unknown);
        assert!(heard(&first) && heard(&second) && !heard(&other));
        assert_eq!((first.followers(), other.followers()), (2, 1));
        drop(first);
        assert_eq!(news.records().len(), 2);
        drop((second, other));
        assert!(news.records().is_empty());
    }
}
