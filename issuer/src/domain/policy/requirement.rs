//! Combinations of factors.

use std::collections::BTreeSet;

use proto::authorization::{Factor, kinds};

/// Every factor, in the order in which they are listed to a customer.
pub const FACTORS: [Factor; 4] = [Factor::Knowledge, Factor::Possession, Factor::Passkey, Factor::Inherence];

/// What must be proved: one of several combinations of factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    alternatives: Vec<BTreeSet<Factor>>,
}

impl Requirement {
    /// Any factors that prove so many of the three kinds.
    #[must_use]
    pub fn kinds(count: usize) -> Self {
        let subsets = (1_u8..16).map(|bits| {
            FACTORS.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, factor)| *factor).collect()
        });
        let enough = |subset: &BTreeSet<Factor>| kinds(&subset.iter().copied().collect::<Vec<_>>()) >= count;
        Self::one_of(subsets.filter(enough))
    }

    /// One of these combinations. Those that contain another one are dropped, because they ask for more
    /// than is needed.
    #[must_use]
    pub fn one_of(combinations: impl IntoIterator<Item = BTreeSet<Factor>>) -> Self {
        let mut all: Vec<_> = combinations.into_iter().collect();
        all.sort_by_key(|set| (set.len(), set.iter().copied().collect::<Vec<_>>()));
        let mut alternatives: Vec<BTreeSet<Factor>> = Vec::new();
        for set in all {
            if !alternatives.iter().any(|smaller| smaller.is_subset(&set)) {
                alternatives.push(set);
            }
        }
        Self { alternatives }
    }

    /// Whether these factors suffice.
    #[must_use]
    pub fn is_met(&self, proved: &[Factor]) -> bool {
        let proved: BTreeSet<Factor> = proved.iter().copied().collect();
        self.alternatives.iter().any(|needed| needed.is_subset(&proved))
    }

    /// Whether somebody who proves all of these factors has proved enough.
    #[must_use]
    pub fn is_within_reach(&self, offered: &[Factor]) -> bool {
        self.is_met(offered)
    }

    /// The factors of which each would help, once the proved ones are taken into account; empty where they
    /// suffice. `offered` are those that can be proved at all: an alternative that needs another is left out.
    #[must_use]
    pub fn missing(&self, proved: &[Factor], offered: &[Factor]) -> Vec<Factor> {
        if self.is_met(proved) {
            return Vec::new();
        }
        let within_reach = |needed: &&BTreeSet<Factor>| {
            needed.iter().all(|factor| proved.contains(factor) || offered.contains(factor))
        };
        let missing: BTreeSet<Factor> =
            self.alternatives.iter().filter(within_reach).flatten().filter(|f| !proved.contains(f)).copied().collect();
        FACTORS.into_iter().filter(|factor| missing.contains(factor)).collect()
    }
}
