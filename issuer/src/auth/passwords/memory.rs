//! The working memory of argon2, kept from one computation to the next.
//!
//! A computation takes 19 MiB and more. Where each one takes them from the allocator, much of what it gives back
//! stays with the arena of the thread that it ran on, and a busy bank's process grows to many times what it works
//! with. Kept here, it is as much as runs at one time, and no page of it is asked for twice.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::{Argon2, Block, Params};
use mesh::secret::constant_time_eq;
use zeroize::Zeroizing;

/// As many pieces as computations have run at one time.
pub(super) struct Memory {
    blocks: usize,
    free: Mutex<Vec<Vec<Block>>>,
}

impl Memory {
    /// For computations of this cost.
    pub(super) const fn new(params: &Params) -> Self {
        Self { blocks: params.block_count(), free: Mutex::new(Vec::new()) }
    }

    /// Whether a password with this salt has this hash, in constant time after the computation. `argon2` has the
    /// cost that this memory was made for.
    pub(super) fn verify(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        expected: &[u8],
    ) -> Result<bool, argon2::Error> {
        let mut computed = Zeroizing::new(vec![0; expected.len()]);
        let mut blocks = self.take();
        let outcome = argon2.hash_password_into_with_memory(password, salt, &mut computed, &mut blocks);
        self.give_back(blocks);
        outcome?;
        Ok(constant_time_eq(&computed, expected))
    }

    fn take(&self) -> Vec<Block> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![Block::default(); self.blocks])
    }

    /// Wiped, because the first blocks of a computation would let a password be guessed without its cost.
    fn give_back(&self, mut blocks: Vec<Block>) {
        blocks.fill(Block::default());
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use argon2::{Algorithm, Version};

    use super::*;

    #[test]
    fn one_piece_serves_one_computation_after_another_and_is_wiped_between_them() {
        let params = Params::new(64, 2, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut expected = [0; 32];
        argon2.hash_password_into(b"a right password", b"some salt of ours", &mut expected).unwrap();
        let memory = Memory::new(&params);
        for (password, right) in [("a right password", true), ("a wrong password", false), ("a right password", true)] {
            let verdict = memory.verify(&argon2, password.as_bytes(), b"some salt of ours", &expected);
            assert_eq!(verdict, Ok(right), "{password}");
            let free = memory.free.lock().unwrap();
            assert_eq!(free.len(), 1);
            let is_wiped = |block: &Block| AsRef::<[u64]>::as_ref(block).iter().all(|word| *word == 0);
            assert!(free[0].len() == params.block_count() && free[0].iter().all(is_wiped));
        }
        assert!(!memory.verify(&argon2, b"a right password", b"another salt here", &expected).unwrap());
    }
}
