//! Who waits for the events of which topic.
//!
//! The store tells everybody of every commit. Whoever follows one merchant's events would be woken by all the
//! others' and look in vain; here it is woken by those of its own topic.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mesh::store::{Seq, Topic};
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
