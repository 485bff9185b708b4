//! Who waits for a charge hears when it has changed, and which charges are being asked about.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use proto::ids::ChargeId;
use tokio::sync::{Notify, watch};

use crate::domain::ids::CustomerId;

/// How many bells there are. Charges share them, so that nothing has to be set up or cleared away for
/// each charge; a watcher who is rung for another charge looks once in vain.
const BELLS: usize = 256;

/// A fixed number of bells, each shared by many charges; and the questions under way, of which the
/// configuration allows a limited number.
#[derive(Debug)]
pub struct Bells {
    charges: Vec<watch::Sender<()>>,
    inquiry: Notify,
    questions: Mutex<Questions>,
}

/// The charges that are being asked about, and when each of the questions left.
type Questions = HashMap<(CustomerId, ChargeId), Vec<SystemTime>>;

/// A question under way; its end is that of this.
#[derive(Debug)]
pub struct Question<'a> {
    bells: &'a Bells,
    about: (CustomerId, ChargeId),
    since: SystemTime,
}

impl Bells {
    /// Silent bells.
    #[must_use]
    pub fn new() -> Self {
        Self {
            charges: (0..BELLS).map(|_| watch::Sender::new(())).collect(),
            inquiry: Notify::new(),
            questions: Mutex::default(),
        }
    }

    /// Tells that a charge may have changed.
    pub fn ring(&self, customer: &CustomerId, charge: &ChargeId) {
        self.charges[bell_of(customer, charge)].send_replace(());
    }

    /// Hears every ring from now on. Listen first and read the charge then, so that no change falls between.
    #[must_use]
    pub fn listen(&self, customer: &CustomerId, charge: &ChargeId) -> watch::Receiver<()> {
        self.charges[bell_of(customer, charge)].subscribe()
    }

    /// Rung when there may be a charge to ask about. One listener; a ring that nobody hears is kept.
    #[must_use]
    pub const fn inquiry(&self) -> &Notify {
        &self.inquiry
    }

    /// Keeps in mind that a question about a charge has left, until what this returns is dropped.
    #[must_use]
    pub fn question(&self, customer: &CustomerId, charge: &ChargeId, since: SystemTime) -> Question<'_> {
        let about = (customer.clone(), charge.clone());
        self.questions().entry(about.clone()).or_default().push(since);
        Question { bells: self, about, since }
    }

    /// When the question about a charge left that is under way; of several the last one.
    #[must_use]
    pub fn question_since(&self, customer: &CustomerId, charge: &ChargeId) -> Option<SystemTime> {
        self.questions().get(&(customer.clone(), charge.clone()))?.iter().max().copied()
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut questions = self.bells.questions();
        let Some(times) = questions.get_mut(&self.about) else { return };
        if let Some(place) = times.iter().position(|since| *since == self.since) {
            times.swap_remove(place);
        }
        if times.is_empty() {
            questions.remove(&self.about);
        }
    }
}

impl Default for Bells {
    fn default() -> Self {
        Self::new()
    }
}

fn bell_of(customer: &CustomerId, charge: &ChargeId) -> usize {
    let mut hasher = DefaultHasher::new();
    (customer, charge).hash(&mut hasher);
    usize::try_from(hasher.finish() % BELLS as u64).unwrap_or_default()
}
