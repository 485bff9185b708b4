//! A feature vector.

use std::fmt;

use zeroize::Zeroizing;

/// The most values of any vector, whatever is configured: what is longer is not looked at.
const COUNT_MAX: usize = 512;

/// Features: finite values, not all zero. Nothing of them is printed, and they are wiped when they go.
pub struct Features(Zeroizing<Vec<f32>>);

/// Values that are no features. It tells nothing about the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFeatures {
    /// There are too few or too many.
    #[error("must be as many values as `StartAuthentication` says")]
    Count,
    /// One is not a number, or without an end.
    #[error("must be finite values")]
    NotFinite,
    /// They have no direction.
    #[error("must not all be zero")]
    AllZero,
}

impl Features {
    /// Features of these values.
    ///
    /// # Errors
    /// [`NotFeatures`].
    pub fn new(values: Vec<f32>) -> Result<Self, NotFeatures> {
        let values = Zeroizing::new(values);
        if values.is_empty() || values.len() > COUNT_MAX {
            Err(NotFeatures::Count)
        } else if !values.iter().all(|value| value.is_finite()) {
            Err(NotFeatures::NotFinite)
        } else if values.iter().all(|value| *value == 0.0) {
            Err(NotFeatures::AllZero)
        } else {
            Ok(Self(values))
        }
    }

    /// Whether there are exactly so many.
    ///
    /// # Errors
    /// [`NotFeatures::Count`].
    pub fn counted(self, count: u32) -> Result<Self, NotFeatures> {
        if u32::try_from(self.0.len()) == Ok(count) { Ok(self) } else { Err(NotFeatures::Count) }
    }

    /// The values. For the digest, the matcher and the vault alone.
    #[must_use]
    pub fn expose(&self) -> &[f32] {
        &self.0
    }

    /// The values as bytes, big-endian, for the keyed hash. The two zeros are one value there, as they are to
    /// every matcher.
    pub(in crate::auth) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(size_of_val(self.0.as_slice())));
        self.0.iter().for_each(|value| bytes.extend_from_slice(&(value + 0.0).to_be_bytes()));
        bytes
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Features([redacted])")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn features_are_finite_and_not_all_zero() {
        assert_eq!(Features::new(vec![]).unwrap_err(), NotFeatures::Count);
        assert_eq!(Features::new(vec![1.0; 513]).unwrap_err(), NotFeatures::Count);
        assert!(Features::new(vec![1.0; 512]).is_ok());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Features::new(vec![1.0, bad]).unwrap_err(), NotFeatures::NotFinite);
        }
        assert_eq!(Features::new(vec![0.0, -0.0]).unwrap_err(), NotFeatures::AllZero);
        assert!(Features::new(vec![0.0, f32::from_bits(1)]).is_ok());
    }

    #[test]
    fn their_count_is_exact() {
        let features = || Features::new(vec![1.0; 128]).unwrap();
        assert!(features().counted(128).is_ok());
        assert!(features().counted(127).is_err() && features().counted(129).is_err());
    }

    #[test]
    fn the_two_zeros_are_one() {
        let bytes = |values| Features::new(values).unwrap().to_bytes();
        assert_eq!(bytes(vec![0.0, 1.0]), bytes(vec![-0.0, 1.0]));
        assert_ne!(bytes(vec![0.0, 1.0]), bytes(vec![0.0, -1.0]));
    }

    #[test]
    fn they_print_nothing() {
        assert_eq!(format!("{:?}", Features::new(vec![0.5; 3]).unwrap()), "Features([redacted])");
    }
}
