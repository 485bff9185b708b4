//! Features as a camera would measure them: an embedding vector for each person, and noise.

/// How many values a feature vector has where a bank does not say otherwise.
pub const FEATURE_COUNT: usize = 128;

/// How much two measurements of one person differ: the noise's length beside the vector's, which is 1. Two
/// measurements with this noise have a cosine of 0.96 or so, and two persons one of 0 give or take 0.1.
const NOISE: f64 = 0.2;

/// Whom a device measures. The same seed is the same person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    seed: u64,
    count: usize,
}

impl Person {
    /// The person with this seed, measured in so many values.
    #[must_use]
    pub fn new(seed: u64, count: usize) -> Self {
        Self { seed, count }
    }

    /// The same person, measured in another number of values; zero changes nothing.
    #[must_use]
    pub fn measured_in(&self, count: usize) -> Self {
        Self { seed: self.seed, count: if count == 0 { self.count } else { count } }
    }

    /// One measurement, of length 1. The same number is the same measurement, bit for bit; another number
    /// is another one of the same person.
    #[must_use]
    pub fn measure(&self, number: u64) -> Vec<f32> {
        let base = direction(self.seed, self.count);
        let noise = direction(mix(self.seed ^ mix(number.wrapping_add(1))), self.count);
        normalised(base.iter().zip(noise).map(|(base, noise)| base + NOISE * noise).collect())
    }
}

/// A random vector of length 1. A sum of uniform values is normal enough that no direction is preferred.
fn direction(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The 53 bits that a double holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let value = (mix(state) >> 11) as f64;
        value / 9_007_199_254_740_992.0 - 0.5
    };
    let values: Vec<f64> = (0..count).map(|_| (0..4).map(|_| uniform()).sum()).collect();
    let length = length(&values);
    values.into_iter().map(|value| value / length).collect()
}

fn normalised(values: Vec<f64>) -> Vec<f32> {
    let length = length(&values);
    #[allow(clippy::cast_possible_truncation)]
    values.into_iter().map(|value| (value / length) as f32).collect()
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn a_person_is_recognised_and_another_one_is_not() {
        for seed in 0..50 {
            let person = Person::new(seed, FEATURE_COUNT);
            let template = person.measure(0);
            assert_eq!(template.len(), FEATURE_COUNT);
            for number in 1..5 {
                let again = person.measure(number);
                assert!(cosine(&template, &again) > 0.93 && template != again, "{seed} {number}");
                let other = Person::new(seed + 1_000, FEATURE_COUNT).measure(number);
                assert!(cosine(&template, &other).abs() < 0.45, "{seed} {number}");
            }
            assert_eq!(template, person.measure(0));
        }
    }

    #[test]
    fn every_value_is_finite_and_not_all_are_zero() {
        for count in [1, 2, 128, 512] {
            let features = Person::new(9, count).measure(4);
            assert!(features.iter().all(|value| value.is_finite()) && features.iter().any(|value| *value != 0.0));
        }
    }
}
