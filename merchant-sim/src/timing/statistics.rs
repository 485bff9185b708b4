//! Whether two sets of times come from the same distribution, as far as their numbers can tell.

/// From this on a difference counts as one. Leakage tests such as dudect (Reparaz, Balasch and Verbauwhede,
/// 2017) and TVLA use the same bound for both signs: an honest pair goes beyond it once in 150,000 runs.
pub const DIFFERENCE: f64 = 4.5;

/// The share of the slowest times that the second test leaves out. The scheduler makes them, and they
/// would hide a small difference.
const CROPPED: f64 = 0.1;

/// What was found out about two sets of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Welch's t over all times.
    pub t: f64,
    /// Welch's t over the times below the pooled ninth decile.
    pub t_cropped: f64,
    /// The area under the ROC curve: how likely a time of the second set is longer than one of the first.
    /// Half is what nobody can make use of.
    pub auc: f64,
    /// The same in standard deviations from one half (the Mann-Whitney test).
    pub z: f64,
    /// The smallest difference of the means, in the unit of the times, that the cropped test would have
    /// noticed.
    pub noticed: f64,
}

impl Comparison {
    /// Compares two sets.
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let mut pooled = [first, second].concat();
        pooled.sort_by(f64::total_cmp);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let place = (float(pooled.len()) * (1.0 - CROPPED)) as usize;
        let bound = pooled.get(place).copied().unwrap_or(f64::INFINITY);
        let below = |set: &[f64]| set.iter().copied().filter(|time| *time < bound).collect::<Vec<_>>();
        let (low, high) = (below(first), below(second));
        let auc = auc(first, second);
        let (n, m) = (float(first.len()), float(second.len()));
        let deviation = ((n + m + 1.0) / (12.0 * n * m)).sqrt();
        Self {
            t: welch(first, second),
            t_cropped: welch(&low, &high),
            auc,
            z: (auc - 0.5) / deviation,
            noticed: DIFFERENCE * standard_error(&low, &high),
        }
    }

    /// Whether the two can be told apart.
    #[must_use]
    pub fn differs(&self) -> bool {
        [self.t, self.t_cropped, self.z].into_iter().any(|figure| figure.is_nan() || figure.abs() >= DIFFERENCE)
    }
}

/// The median.
#[must_use]
pub fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Welch's t: the difference of the means in units of its standard error. Positive where the second is
/// longer.
fn welch(first: &[f64], second: &[f64]) -> f64 {
    (moments(second).0 - moments(first).0) / standard_error(first, second)
}

/// Of the difference of two means whose variances differ.
fn standard_error(first: &[f64], second: &[f64]) -> f64 {
    let share = |times: &[f64]| moments(times).1 / float(times.len());
    (share(first) + share(second)).sqrt()
}

/// Mean and sample variance.
fn moments(times: &[f64]) -> (f64, f64) {
    let count = float(times.len());
    let mean = times.iter().sum::<f64>() / count;
    let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    (mean, squares / (count - 1.0))
}

/// By ranks; equal times share theirs.
fn auc(first: &[f64], second: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = first.iter().map(|time| (*time, false)).collect();
    all.extend(second.iter().map(|time| (*time, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut begin) = (0.0, 0);
    while begin < all.len() {
        let alike = all[begin..].iter().take_while(|(time, _)| *time == all[begin].0).count();
        let shared = float(begin) + (float(alike) + 1.0) / 2.0;
        ranks += shared * float(all[begin..begin + alike].iter().filter(|(_, second)| *second).count());
        begin += alike;
    }
    let (n, m) = (float(first.len()), float(second.len()));
    (ranks - m * (m + 1.0) / 2.0) / (n * m)
}

/// Exact for as many times as anybody measures.
#[allow(clippy::cast_precision_loss)]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times around a centre, with a long tail as a busy machine makes it.
    fn times(centre: f64, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 33).unwrap_or_default()) / f64::from(1_u32 << 31)
        };
        (0..500).map(|_| centre + next() + next() + if next() > 0.95 { 30.0 * next() } else { 0.0 }).collect()
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn the_figures_are_those_of_a_textbook() {
        // Means 3 and 5, variances 2.5 and 10, five values each: (5 - 3) / sqrt(0.5 + 2).
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 3.0, 5.0, 7.0, 9.0]);
        assert!(near(welch(&a, &b), 2.0 / 2.5_f64.sqrt()));
        // Of the 25 pairs, 16 have the second longer, and 3 are equal.
        assert!(near(auc(&a, &b), (16.0 + 1.5) / 25.0));
        assert!(near(median(&b), 5.0));
        assert!(near(auc(&a, &a), 0.5));
    }

    #[test]
    fn alike_times_are_not_told_apart_and_others_are() {
        for seed in 1..40 {
            let same = Comparison::of(&times(20.0, seed), &times(20.0, seed + 1_000));
            assert!(!same.differs(), "{seed}: {same:?}");
            let later = Comparison::of(&times(20.0, seed), &times(20.3, seed + 1_000));
            assert!(later.differs() && later.auc > 0.5, "{seed}: {later:?}");
        }
    }

    #[test]
    fn too_few_times_prove_nothing() {
        assert!(Comparison::of(&[], &[]).differs());
        assert!(Comparison::of(&[1.0], &[1.0]).differs());
    }
}
