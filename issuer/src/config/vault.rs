//! Where the vault's keys come from, and how fast records move to a new one.

use std::path::{Path, PathBuf};

use mesh::config::{FieldError, resolve};
use serde::Deserialize;

/// The highest rate that makes sense: beyond it the store's own speed is the limit.
const ROTATION_RATE_MAX: u32 = 100_000;

/// The key encryption keys: exactly one of the first two fields is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultFiles {
    /// A file with a line `<version>:<32 bytes in hexadecimal or base64>` for each key, mode 0600. It is read
    /// again when it changes.
    pub keys: Option<PathBuf>,
    /// The name of an environment variable with the same contents; commas may stand for the line breaks. It
    /// is read at start alone.
    pub keys_env: Option<String>,
    /// How many records move to a new key in a second at most. Default 500: a million records take about half
    /// an hour, and the store's writer stays free for payments.
    #[serde(default = "rotation_rate")]
    pub rotation_rate: u32,
}

impl VaultFiles {
    pub(super) fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (&self.keys, &self.keys_env) {
            (Some(_), None) => {}
            (None, Some(name)) if is_variable(name) => {}
            (None, Some(_)) => errors.push(FieldError::new(
                "keys_env",
                "must be the name of an environment variable: letters, digits and _, not a digit first; the keys \
                 themselves never stand in this file",
            )),
            (None, None) => errors.push(FieldError::new(
                "keys",
                "must be set to the key file, or `vault.keys_env` to the environment variable with the keys",
            )),
            (Some(_), Some(_)) => {
                errors.push(FieldError::new("keys_env", "must not be set beside `vault.keys`; choose one of them"));
            }
        }
        if !(1..=ROTATION_RATE_MAX).contains(&self.rotation_rate) {
            errors.push(FieldError::new("rotation_rate", format!("must be 1 to {ROTATION_RATE_MAX}")));
        }
        errors
    }

    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        if let Some(keys) = &mut self.keys {
            resolve(keys, folder);
        }
    }
}

fn rotation_rate() -> u32 {
    500
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wrong_fields(text: &str) -> Vec<String> {
        let files: VaultFiles = toml::from_str(text).unwrap();
        files.validate().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn exactly_one_place_of_the_keys() {
        assert!(wrong_fields("keys = \"kek\"").is_empty());
        assert!(wrong_fields("keys_env = \"BANK_KEYS\"\nrotation_rate = 1").is_empty());
        assert_eq!(wrong_fields(""), ["keys"]);
        assert_eq!(wrong_fields("keys = \"kek\"\nkeys_env = \"BANK_KEYS\""), ["keys_env"]);
        for no_name in ["", "1KEY", "A B", "1:0101", "A=b"] {
            assert_eq!(wrong_fields(&format!("keys_env = \"{no_name}\"")), ["keys_env"]);
        }
        assert_eq!(wrong_fields("keys = \"kek\"\nrotation_rate = 0"), ["rotation_rate"]);
        assert_eq!(wrong_fields("keys = \"kek\"\nrotation_rate = 100001"), ["rotation_rate"]);
    }

    #[test]
    fn a_key_that_stands_where_its_name_should_is_not_repeated() {
        let files: VaultFiles = toml::from_str(&format!("keys_env = \"1:{}\"", "ab".repeat(32))).unwrap();
        assert!(!format!("{:?}", files.validate()).contains("abab"));
    }
}
