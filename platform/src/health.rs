//! Which banks answer: written by the prober, read by everybody.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwap;
use proto::ids::MemberId;
use tokio::sync::broadcast;

use crate::domain::checkout::Health;

/// How many changes a reader may fall behind before it has to look at all of them again.
const CHANGES_MAX: usize = 1_024;

/// The banks' health. Reading takes no lock.
#[derive(Debug)]
pub struct HealthBoard {
    states: ArcSwap<HashMap<MemberId, Arc<AtomicU8>>>,
    changes: broadcast::Sender<(MemberId, Health)>,
}

impl HealthBoard {
    /// A board on which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self { states: ArcSwap::default(), changes: broadcast::Sender::new(CHANGES_MAX) }
    }

    /// A bank's health.
    #[must_use]
    pub fn of(&self, bank: &MemberId) -> Health {
        self.states.load().get(bank).map_or(Health::Unknown, |state| decode(state.load(Ordering::Relaxed)))
    }

    /// Every bank whose health is known.
    #[must_use]
    pub fn known(&self) -> Vec<(MemberId, Health)> {
        let states = self.states.load();
        let all = states.iter().map(|(bank, state)| (bank.clone(), decode(state.load(Ordering::Relaxed))));
        all.filter(|(_, health)| *health != Health::Unknown).collect()
    }

    /// Follows the changes. Whoever lags more than a thousand behind reads [`HealthBoard::known`] again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<(MemberId, Health)> {
        self.changes.subscribe()
    }

    /// Notes a bank's health; a change goes to those who follow.
    pub fn note(&self, bank: &MemberId, health: Health) {
        let states = self.states.load();
        let Some(state) = states.get(bank) else { return };
        if decode(state.swap(encode(health), Ordering::Relaxed)) != health {
            tracing::info!(%bank, ?health, "a bank's health changed");
            // Nobody may follow, which is no failure.
            let _ = self.changes.send((bank.clone(), health));
        }
    }

    /// Keeps a place for each of these banks and forgets all others. The prober alone calls this.
    pub fn keep<'a>(&self, banks: impl IntoIterator<Item = &'a MemberId>) {
        let former = self.states.load();
        let place = |bank: &MemberId| former.get(bank).map(Arc::clone).unwrap_or_default();
        let states = banks.into_iter().map(|bank| (bank.clone(), place(bank))).collect();
        self.states.store(Arc::new(states));
    }
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self::new()
    }
}

const fn encode(health: Health) -> u8 {
    match health {
        Health::Unknown => 0,
        Health::Healthy => 1,
        Health::Unreachable => 2,
    }
}

const fn decode(number: u8) -> Health {
    match number {
        1 => Health::Healthy,
        2 => Health::Unreachable,
        _ => Health::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_change_is_told_once_and_a_bank_that_left_is_forgotten() {
        let board = HealthBoard::new();
        let [a, b]: [MemberId; 2] = ["bank-a", "bank-b"].map(|id| id.parse().unwrap());
        let mut changes = board.subscribe();
        board.note(&a, Health::Healthy);
        assert_eq!(board.of(&a), Health::Unknown, "it has no place yet");
        board.keep([&a, &b]);
        for health in [Health::Healthy, Health::Healthy, Health::Unreachable] {
            board.note(&a, health);
        }
        assert_eq!(changes.try_recv().unwrap(), (a.clone(), Health::Healthy));
        assert_eq!(changes.try_recv().unwrap(), (a.clone(), Health::Unreachable));
        assert!(changes.try_recv().is_err());
        assert_eq!(board.known(), [(a.clone(), Health::Unreachable)]);
        board.keep([&b]);
        assert_eq!(board.of(&a), Health::Unknown);
        for health in [Health::Unknown, Health::Healthy, Health::Unreachable] {
            assert_eq!(decode(encode(health)), health);
        }
    }
}
