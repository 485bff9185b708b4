//! An ordered map of bytes to bytes, and a layer of changes over one.
//!
//! The layer serves twice: over durable state it holds what a group of transitions is about to
//! change, so that the next one is judged in order; and over an engine with a group in flight it holds what
//! was there before, so that readers see durable state only.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use bytes::Bytes;

use super::StoreError;

/// Changed keys with their values; `None` stands for an absent key.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Keys and values in ascending order.
pub(super) type Pairs<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Bytes), StoreError>> + 'a>;

/// An ordered map of bytes to bytes.
pub(super) trait Raw {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The pairs from `start` (included) to `end` (excluded); none where `start` is not below `end`.
    fn range(&self, start: &[u8], end: &[u8]) -> Pairs<'_>;
}

/// A map as it looks with an overlay's changes.
pub(super) struct Layered<'a, B> {
    pub(super) base: &'a B,
    pub(super) overlay: &'a Overlay,
}

impl<B: Raw> Raw for Layered<'_, B> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.overlay.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(key),
        }
    }

    fn range(&self, start: &[u8], end: &[u8]) -> Pairs<'_> {
        if start >= end {
            return Box::new(std::iter::empty());
        }
        Box::new(Merge {
            base: self.base.range(start, end).peekable(),
            overlay: self
                .overlay
                .range::<[u8], _>((std::ops::Bound::Included(start), std::ops::Bound::Excluded(end)))
                .peekable(),
        })
    }
}

impl Raw for BTreeMap<Vec<u8>, Bytes> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn range(&self, start: &[u8], end: &[u8]) -> Pairs<'_> {
        if start >= end {
            return Box::new(std::iter::empty());
        }
        let bounds = (std::ops::Bound::Included(start), std::ops::Bound::Excluded(end));
        let pairs = BTreeMap::range::<[u8], _>(self, bounds);
        Box::new(pairs.map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}

struct Merge<'a> {
    base: Peekable<Pairs<'a>>,
    overlay: Peekable<btree_map::Range<'a, Vec<u8>, Option<Bytes>>>,
}

impl Iterator for Merge<'_> {
    type Item = Result<(Vec<u8>, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((changed, _)) = self.overlay.peek() else {
                return self.base.next();
            };
            match self.base.peek() {
                Some(Err(_)) => return self.base.next(),
                Some(Ok((key, _))) if key < *changed => return self.base.next(),
                Some(Ok((key, _))) if key == *changed => drop(self.base.next()),
                Some(Ok(_)) | None => {}
            }
            if let Some((key, Some(value))) = self.overlay.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_layer_reads_as_if_it_had_been_applied(
            base in prop::collection::btree_map(0u8..20, any::<u8>(), 0..15),
            changes in prop::collection::btree_map(0u8..20, any::<Option<u8>>(), 0..15),
            start in 0u8..20, end in 0u8..20,
        ) {
            let value = |byte: u8| Bytes::from(vec![byte]);
            let base: BTreeMap<_, _> = base.into_iter().map(|(k, v)| (vec![k], value(v))).collect();
            let overlay: Overlay =
                changes.into_iter().map(|(k, v)| (vec![k], v.map(value))).collect();
            let mut applied = base.clone();
            for (key, change) in &overlay {
                match change {
                    Some(value) => applied.insert(key.clone(), value.clone()),
                    None => applied.remove(key),
                };
            }
            let layered = Layered { base: &base, overlay: &overlay };
            for key in 0u8..20 {
                let expected = Raw::get(&applied, &[key]).unwrap();
                prop_assert_eq!(layered.get(&[key]).unwrap(), expected);
            }
            let read = |raw: &dyn Raw| -> Vec<_> {
                raw.range(&[start], &[end]).map(Result::unwrap).collect()
            };
            prop_assert_eq!(read(&layered), read(&applied));
        }
    }
}
