//! Choices that follow from a seed, so that a run can be asked for again.

use std::time::Duration;

/// A stream of choices: splitmix64, which is good enough to choose with and short enough to be read.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The choices of one part of a run, which follow from the seed, however many choices the other parts make.
    pub(super) fn of_part(seed: u64, part: u64) -> Self {
        let mut mixed = Self(seed ^ part.wrapping_mul(0xA076_1D64_78BD_642F));
        Self(mixed.next())
    }

    /// The next number.
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`; zero where that is zero.
    pub(super) const fn below(&mut self, count: u64) -> u64 {
        if count == 0 { 0 } else { self.next() % count }
    }

    /// Whether something of this likelihood, in percent, comes true.
    pub(super) const fn percent(&mut self, likelihood: u64) -> bool {
        self.below(100) < likelihood
    }

    /// A time between two, in whole milliseconds.
    pub(super) fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.saturating_sub(shortest).as_millis()).unwrap_or(u64::MAX);
        shortest + Duration::from_millis(self.below(millis.saturating_add(1)))
    }

    /// One of these; `None` where there are none.
    pub(super) fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        let place = self.below(u64::try_from(among.len()).unwrap_or(u64::MAX));
        among.get(usize::try_from(place).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_choices_and_its_parts_are_their_own() {
        let mut first = Chance::of_part(7, 0);
        let mut again = Chance::of_part(7, 0);
        let numbers: Vec<u64> = (0..5).map(|_| first.next()).collect();
        assert_eq!(numbers, (0..5).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(Chance::of_part(7, 1).next(), Chance::of_part(7, 2).next());
        assert_ne!(Chance::of_part(7, 1).next(), Chance::of_part(8, 1).next());
    }

    #[test]
    fn choices_stay_in_their_bounds() {
        let mut chance = Chance::of_part(1, 0);
        assert_eq!(chance.below(0), 0);
        assert_eq!(chance.pick::<u8>(&[]), None);
        let (shortest, longest) = (Duration::from_millis(3), Duration::from_millis(5));
        let times: std::collections::BTreeSet<Duration> = (0..100).map(|_| chance.between(shortest, longest)).collect();
        assert_eq!(times.len(), 3);
        assert!((0..100).all(|_| !chance.percent(0) && chance.percent(100)));
    }
}
