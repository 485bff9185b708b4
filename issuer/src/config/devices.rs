//! Bound devices, and the features that they measure.

use std::time::Duration;

use mesh::config::{FieldError, Period};
use serde::Deserialize;

use super::check_period;

/// The most devices of a customer. Their list stands in one record, whose size bounds it.
const DEVICES_MAX: u32 = 50;
/// The fewest values of a feature vector; below it, vectors of two people are alike by chance.
const FEATURE_COUNT_MIN: u32 = 16;
/// The most values of a feature vector: two kilobytes, so that a template fits into one record.
const FEATURE_COUNT_MAX: u32 = 512;

/// Bound devices.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceLimits {
    /// Devices of one customer. Default 10.
    pub devices_max: u32,
    /// How long an activation code can be used after it was imported. Default 7 d: a letter's way and a weekend.
    pub activation_code_life: Period,
}

impl Default for DeviceLimits {
    fn default() -> Self {
        Self { devices_max: 10, activation_code_life: Period::new(Duration::from_secs(7 * 24 * 60 * 60)) }
    }
}

impl DeviceLimits {
    /// The count and the period must be in their bounds.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !(1..=DEVICES_MAX).contains(&self.devices_max) {
            errors.push(FieldError::new("devices_max", format!("must be 1 to {DEVICES_MAX}")));
        }
        check_period("activation_code_life", self.activation_code_life, &mut errors);
        errors
    }
}

/// Biometric features.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureLimits {
    /// How many values a feature vector has. Default 128.
    pub count: u32,
    /// How alike measured features must be to the enrolled ones, above 0 and up to 1; what that means is the
    /// matcher's matter, see `auth::matcher`. Default 0.8.
    pub threshold: f64,
}

impl Default for FeatureLimits {
    fn default() -> Self {
        Self { count: 128, threshold: 0.8 }
    }
}

impl FeatureLimits {
    /// The count and the threshold must be in their bounds.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !(FEATURE_COUNT_MIN..=FEATURE_COUNT_MAX).contains(&self.count) {
            errors.push(FieldError::new("count", format!("must be {FEATURE_COUNT_MIN} to {FEATURE_COUNT_MAX}")));
        }
        // Not a number is in no range.
        if !(f64::MIN_POSITIVE..=1.0).contains(&self.threshold) {
            errors.push(FieldError::new("threshold", "must be more than 0 and at most 1"));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn devices(text: &str) -> Vec<String> {
        let limits: DeviceLimits = toml::from_str(text).unwrap();
        limits.validate().into_iter().map(|error| error.field).collect()
    }

    fn features(text: &str) -> Vec<String> {
        let limits: FeatureLimits = toml::from_str(text).unwrap();
        limits.validate().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_defaults_are_in_their_bounds() {
        assert!(devices("").is_empty() && features("").is_empty());
    }

    #[test]
    fn each_bound_is_one() {
        assert!(devices("devices_max = 1").is_empty() && devices("devices_max = 50").is_empty());
        assert_eq!(devices("devices_max = 0"), ["devices_max"]);
        assert_eq!(devices("devices_max = 51"), ["devices_max"]);
        assert_eq!(devices("activation_code_life = \"0s\""), ["activation_code_life"]);
        assert!(features("count = 16\nthreshold = 1.0").is_empty() && features("count = 512").is_empty());
        for (count, field) in [("count = 15", "count"), ("count = 513", "count")] {
            assert_eq!(features(count), [field]);
        }
        for threshold in ["0.0", "-0.5", "1.001", "nan", "inf"] {
            assert_eq!(features(&format!("threshold = {threshold}")), ["threshold"], "{threshold}");
        }
    }

    #[test]
    fn the_tables_are_part_of_the_file() {
        let sample = include_str!("../../issuer.sample.toml");
        let load = |text: &str| {
            let (file, folder) = (std::path::Path::new("issuer.toml"), std::path::Path::new("/etc/issuer"));
            mesh::config::parse::<crate::config::IssuerConfig>(text, file, folder)
        };
        let config = load(sample).unwrap();
        assert_eq!((config.devices, config.features), (DeviceLimits::default(), FeatureLimits::default()));
        for (from, to, field) in [
            ("# devices_max = 10", "devices_max = 0", "devices.devices_max"),
            ("# activation_code_life = \"7d\"", "activation_code_life = \"0s\"", "devices.activation_code_life"),
            ("# count = 128", "count = 8", "features.count"),
            ("# threshold = 0.8", "threshold = 1.5", "features.threshold"),
        ] {
            assert!(sample.contains(from), "{from}");
            let error = load(&sample.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(toml::from_str::<DeviceLimits>("devices = 3").is_err());
        assert!(toml::from_str::<FeatureLimits>("counts = 3").is_err());
    }
}
