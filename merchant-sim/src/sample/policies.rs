//! Which proofs the sample banks ask for.
//!
//! The limits leave room for the payments with a password alone that the scenario, the benchmark and the
//! sandbox's guide make.

/// The largest payment for which one factor is enough at the first bank, in minor units.
pub const AURORA_SMALL_MAX: i64 = 150_000;

/// What such payments may come to in a row, in minor units.
pub const AURORA_SMALL_SUM_MAX: i64 = 2_100_000;

/// How many of them there may be in a row: more than any benchmark makes before the sum is reached.
pub const AURORA_SMALL_COUNT_MAX: u32 = 100_000_000;

/// One rule of the second bank; the first that fits a payment decides.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Up to this amount, in minor units.
    pub amount_max: Option<i64>,
    /// At merchants of these ISO 18245 categories; empty for all.
    pub categories: &'static [&'static str],
    /// In sessions that a bound device proved.
    pub by_device: bool,
    /// The combinations of factors, any of which suffices.
    pub one_of: &'static [&'static [&'static str]],
    /// Whether a bound device must sign a consent in any case.
    pub consent: bool,
}

const ONE_BUT_NOT_FEATURES: &[&[&str]] = &[&["knowledge"], &["possession"], &["passkey"]];

/// The second bank's table: by amount, merchant category and device.
pub const BASALT_RULES: [Rule; 5] = [
    Rule { amount_max: Some(100_000), categories: &[], by_device: false, one_of: ONE_BUT_NOT_FEATURES, consent: false },
    Rule {
        amount_max: Some(200_000),
        categories: &["5499"],
        by_device: false,
        one_of: ONE_BUT_NOT_FEATURES,
        consent: false,
    },
    Rule { amount_max: Some(300_000), categories: &[], by_device: true, one_of: &[&["possession"]], consent: false },
    Rule {
        amount_max: Some(1_000_000),
        categories: &[],
        by_device: false,
        one_of: &[&["knowledge", "possession"], &["possession", "inherence"], &["passkey"]],
        consent: false,
    },
    Rule {
        amount_max: None,
        categories: &[],
        by_device: false,
        one_of: &[&["knowledge", "possession", "inherence"], &["knowledge", "passkey"]],
        consent: true,
    },
];
