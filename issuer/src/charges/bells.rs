//! Who waits for a charge hears when it has changed.

use std::hash::{DefaultHasher, Hash, Hasher};

use proto::ids::ChargeId;
use tokio::sync::{Notify, watch};

use crate::domain::ids::CustomerId;

/// How many bells there are. Charges share them, so that nothing has to be set up or cleared away for
/// each charge; a watcher who is rung for another charge looks once in vain.
const BELLS: usize = 256;

/// A fixed number of bells, each shared by many charges.
#[derive(Debug)]
pub struct Bells {
    charges: Vec<watch::Sender<()>>,
    inquiry: Notify,
}

impl Bells {
    /// Silent bells.
    #[must_use]
    pub fn new() -> Self {
        Self { charges: (0..BELLS).map(|_| watch::Sender::new(())).collect(), inquiry: Notify::new() }
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
