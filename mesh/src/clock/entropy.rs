//! Where random bytes come from.

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};

/// The operating system refused to give random bytes. Nothing secret can be made without them.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct EntropyFailed;

/// A source of random bytes for ids, challenges, tickets and nonces.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`EntropyFailed`] where the operating system gives none; the buffer's content is then
    /// unspecified and must not be used.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed>;

    /// Sixteen fresh bytes: 128 bits, the size of every unguessable id.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    fn id(&self) -> Result<[u8; 16], EntropyFailed> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's generator, by way of ring.
#[derive(Debug)]
pub struct SystemEntropy {
    random: SystemRandom,
}

impl SystemEntropy {
    /// The operating system's generator.
    #[must_use]
    pub fn new() -> Self {
        Self { random: SystemRandom::new() }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        self.random.fill(buffer).map_err(|_| EntropyFailed)
    }
}

/// A generator whose output follows from its seed alone. For tests and simulations: whoever knows
/// the seed knows every byte.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl SeededEntropy {
    /// A generator that gives the same bytes for the same seed and the same order of calls.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(32) {
            let mut context = Context::new(&SHA256);
            context.update(&self.seed.to_be_bytes());
            context.update(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&context.finish().as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let (first, again, other) = (SeededEntropy::new(1), SeededEntropy::new(1), SeededEntropy::new(2));
        let (a, b) = (first.id().unwrap(), first.id().unwrap());
        assert_ne!(a, b);
        assert_eq!((a, b), (again.id().unwrap(), again.id().unwrap()));
        assert_ne!(a, other.id().unwrap());
    }

    #[test]
    fn a_long_buffer_is_filled_to_its_end() {
        let mut buffer = [0; 100];
        SeededEntropy::new(3).fill(&mut buffer).unwrap();
        assert!(buffer[96..].iter().any(|byte| *byte != 0));
    }

    #[test]
    fn the_system_gives_fresh_ids() {
        let entropy = SystemEntropy::new();
        assert_ne!(entropy.id().unwrap(), entropy.id().unwrap());
    }
}
