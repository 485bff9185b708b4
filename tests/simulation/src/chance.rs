//! Random choices that follow from the seed alone.
//!
//! Each choice draws from a stream of its own, named by what the choice is about. So a choice doesn't depend on
//! how many others came before it, and a run with fewer orders treats those that are left nearly the same.

/// A stream of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

/// What a choice is about.
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    /// A word.
    Word(&'a str),
    /// A number.
    Number(u64),
}

impl<'a> From<&'a str> for About<'a> {
    fn from(word: &'a str) -> Self {
        Self::Word(word)
    }
}

impl From<u64> for About<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Chance {
    /// The stream of a seed that is about these things.
    #[must_use]
    pub fn about(seed: u64, things: &[About<'_>]) -> Self {
        // FNV-1a, which is enough to keep streams apart; splitmix spreads it.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        for thing in things {
            match thing {
                About::Word(word) => word.bytes().for_each(&mut add),
                About::Number(number) => number.to_le_bytes().into_iter().for_each(&mut add),
            }
            add(0xff);
        }
        let mut chance = Self(hash);
        chance.number();
        chance
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` (included) to `high` (excluded); `low` where that is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % high.saturating_sub(low).max(1)
    }

    /// Whether something happens that happens so often in a thousand cases.
    pub fn permille(&mut self, often: u32) -> bool {
        self.between(0, 1000) < u64::from(often)
    }

    /// Sixteen bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        let (first, second) = (self.number().to_le_bytes(), self.number().to_le_bytes());
        std::array::from_fn(|at| if at < 8 { first[at] } else { second[at - 8] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draw = |seed, word: &str| Chance::about(seed, &[word.into(), 7.into()]).number();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn what_happens_half_the_time_does_so() {
        let happened = (0..1000).filter(|seed| Chance::about(*seed, &[]).permille(500)).count();
        assert!((400..600).contains(&happened), "{happened}");
    }
}
