//! Whether measured features are those of the person whose features were enrolled.

use async_trait::async_trait;

/// Compares features.
///
/// What the values of a vector mean, and how alike those of one person are, is known to the model that made
/// them and to nobody else. A bank that has a matcher of its own, such as its supplier's, puts it here
/// ([`super::DeviceRules::matched_by`]); no other code changes. One that works for long must not hold up the
/// thread: it hands its work to threads of its own.
#[async_trait]
pub trait BiometricMatcher: Send + Sync + std::fmt::Debug {
    /// How alike the two are: the greater, the more. The measured ones are taken from the configured threshold
    /// on; what is not a number is below every threshold. Both have as many values as is configured, all of
    /// them finite and not all zero.
    ///
    /// # Errors
    /// [`MatchingFailed`]; the proof is then answered as a failure inside.
    async fn likeness(&self, enrolled: &[f32], measured: &[f32]) -> Result<f64, MatchingFailed>;
}

/// The matcher does not work. It says nothing about the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("features can't be compared now: {0}")]
pub struct MatchingFailed(pub &'static str);

/// The default matcher: the cosine of the angle between the two vectors, from -1 to 1, whatever their lengths.
///
/// It fits models that are trained to turn a person's measurements into the same direction, as models for
/// faces and voices commonly are. 1 is the same direction and 0 a right angle; two *random* directions of 128
/// values are within ±0.35 of 0 in all but one of ten thousand cases. The default threshold of 0.8 (an angle of
/// 37 degrees) is therefore far from chance. It is still no statement about two *people*: relatives are closer
/// than chance, and one person in other light is farther away than in the same. How often a stranger passes
/// and how often the customer doesn't (false match rate and false non-match rate, ISO/IEC 19795-1) has to be
/// measured with the model and the devices in use, and the threshold taken from that.
#[derive(Clone, Copy, Debug)]
pub struct CosineSimilarity;

#[async_trait]
impl BiometricMatcher for CosineSimilarity {
    async fn likeness(&self, enrolled: &[f32], measured: &[f32]) -> Result<f64, MatchingFailed> {
        if enrolled.len() != measured.len() {
            return Err(MatchingFailed("the vectors are of different lengths; features have to be enrolled anew"));
        }
        Ok(cosine(enrolled, measured))
    }
}

/// The cosine of the angle between two vectors of one length. In 64 bits, where the squares of 32-bit values
/// neither overflow nor vanish.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn vector() -> impl Strategy<Value = Vec<f32>> {
        vec(-100.0f32..100.0, 128).prop_filter("not all zero", |values| values.iter().any(|value| value.abs() > 0.01))
    }

    proptest! {
        #[test]
        fn it_is_a_cosine(a in vector(), b in vector(), scale in 0.01f32..100.0) {
            let likeness = cosine(&a, &b);
            prop_assert!((-1.0..=1.0).contains(&likeness));
            prop_assert_eq!(likeness, cosine(&b, &a), "it has no direction");
            prop_assert!(cosine(&a, &a) > 1.0 - 1e-12, "everybody is like themselves");
            let scaled: Vec<f32> = a.iter().map(|value| value * scale).collect();
            prop_assert!((cosine(&scaled, &b) - likeness).abs() < 1e-5, "lengths don't matter");
            let opposite: Vec<f32> = a.iter().map(|value| -value).collect();
            prop_assert!((cosine(&opposite, &b) + likeness).abs() < 1e-12);
        }

        #[test]
        fn a_little_noise_stays_above_the_default_threshold_and_much_does_not_help(
            a in vector(),
            noise in vec(-1.0f32..1.0, 128),
        ) {
            let length = a.iter().map(|value| value * value).sum::<f32>().sqrt();
            let noise_length = noise.iter().map(|value| value * value).sum::<f32>().sqrt();
            // Noise of a third of the length turns the vector by 20 degrees at most: the cosine stays above 0.94.
            let noisy: Vec<f32> =
                a.iter().zip(&noise).map(|(value, noise)| value + noise / noise_length * length / 3.0).collect();
            prop_assert!(cosine(&a, &noisy) > 0.94);
        }
    }

    #[test]
    fn its_corners() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 1.0]), 0.0);
        assert_eq!(cosine(&[2.0, 0.0], &[-3.0, 0.0]), -1.0);
        // The greatest and the smallest values that there are neither overflow nor vanish.
        assert_eq!(cosine(&[f32::MAX; 512], &[f32::MAX; 512]), 1.0);
        let least = f32::from_bits(1);
        assert!((cosine(&[least; 512], &[f32::MAX; 512]) - 1.0).abs() < 1e-9);
        assert!(cosine(&[0.0; 4], &[1.0; 4]).is_nan(), "and what is not a number is below every threshold");
    }

    #[tokio::test]
    async fn vectors_of_different_lengths_are_not_compared() {
        assert!(CosineSimilarity.likeness(&[1.0; 16], &[1.0; 17]).await.is_err());
        assert_eq!(CosineSimilarity.likeness(&[1.0; 16], &[1.0; 16]).await, Ok(1.0));
    }
}
