//! Who owns which BINs: a sorted table of numbers, small enough to be copied at each change.

use std::{collections::BTreeSet, sync::Arc};

use proto::{card::Bin, directory::BinRange};

use super::{DirectoryError, Member};

/// All ranges in force, in ascending order; no two overlap. Twelve bytes each, and the owner stands
/// in it by number, so that a change of the owner's entry leaves the table alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Bins(Vec<Slot>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    range: BinRange,
    owner: u32,
}

impl Bins {
    /// The number of the member whose range holds this BIN.
    pub(super) fn owner_of(&self, bin: Bin) -> Option<u32> {
        let after = self.0.partition_point(|slot| slot.range.first() <= bin);
        let slot = self.0.get(after.checked_sub(1)?)?;
        slot.range.contains(bin).then_some(slot.owner)
    }

    /// The numbers of the members whose ranges overlap this one.
    pub(super) fn owners_within(&self, range: BinRange) -> impl Iterator<Item = u32> {
        let first = self.0.partition_point(|slot| slot.range.last() < range.first());
        let overlapping = self.0.get(first..).unwrap_or_default().iter();
        overlapping.take_while(move |slot| slot.range.overlaps(range)).map(|slot| slot.owner)
    }

    /// The table after the entries of the members with these numbers have changed.
    ///
    /// What stays is in order and what comes is appended, which the sort recognises as two runs: the
    /// cost is one pass, not a sort.
    pub(super) fn replaced(&self, changed: &BTreeSet<u32>, members: &[Arc<Member>]) -> Result<Self, DirectoryError> {
        let mut slots: Vec<Slot> = self.0.iter().filter(|slot| !changed.contains(&slot.owner)).copied().collect();
        for owner in changed {
            let ranges = member(members, *owner).map(|member| member.bins_in_force()).unwrap_or_default();
            slots.extend(ranges.iter().map(|range| Slot { range: *range, owner: *owner }));
        }
        slots.sort_by_key(|slot| slot.range);
        for pair in slots.windows(2) {
            if let [one, next] = pair
                && one.range.overlaps(next.range)
            {
                let name = |slot: &Slot| member(members, slot.owner).map(|member| member.entry.member.clone());
                let (Some(holder), Some(other)) = (name(one), name(next)) else { continue };
                return Err(DirectoryError::Overlap(holder, other));
            }
        }
        Ok(Self(slots))
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn member(members: &[Arc<Member>], number: u32) -> Option<&Arc<Member>> {
    members.get(usize::try_from(number).ok()?)
}
