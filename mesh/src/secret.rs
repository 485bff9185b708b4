//! Values that must not be seen: redacted when printed, wiped when dropped, compared in constant time.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that prints as `[redacted]` and is overwritten with zeros when it is dropped.
///
/// There is no `Display`, `Serialize`, `Clone` or `PartialEq`: whoever needs the value says so with
/// [`Secret::expose`], whoever needs a second copy with [`Secret::duplicate`], and whoever compares
/// does it with [`Secret::matches`]. It can be deserialised, because configuration carries secrets in;
/// where that fails, the error doesn't repeat what stood there.
pub struct Secret<T: Zeroize>(T);

/// A secret text, such as a password or a session token.
pub type SecretString = Secret<String>;

/// Secret bytes, such as a shared key or a biometric template.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes the value into custody. The caller must not keep a copy.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, borrowed. Never pass the result to a log, an error or a metric.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Clone> Secret<T> {
    /// A second copy, which is wiped on its own when it is dropped.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether the bytes are the same, in a time that depends on the lengths alone.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        constant_time_eq(self.0.as_ref(), candidate)
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of a wrong type quotes the value: `invalid type: integer 4111…`.
        T::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("not a secret of the expected type"))
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
///
/// Lengths are not hidden: a token's or digest's length is no secret.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Probe(Arc<AtomicBool>);

    impl Zeroize for Probe {
        fn zeroize(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn debug_never_shows_the_value() {
        let secret = SecretString::new("correct horse".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([redacted])");
        assert_eq!(secret.expose(), "correct horse");
    }

    #[test]
    fn dropping_wipes() {
        let wiped = Arc::new(AtomicBool::new(false));
        drop(Secret::new(Probe(wiped.clone())));
        assert!(wiped.load(Ordering::SeqCst));
    }

    #[test]
    fn matches_compares_contents_and_length() {
        let secret = SecretBytes::new(vec![1, 2, 3]);
        assert!(secret.matches(&[1, 2, 3]));
        assert!(!secret.matches(&[1, 2, 4]));
        assert!(!secret.matches(&[1, 2]));
        assert!(secret.duplicate().matches(&[1, 2, 3]));
    }

    #[test]
    fn configuration_can_carry_a_secret() {
        #[derive(Deserialize)]
        struct Config {
            token: SecretString,
        }
        let config: Config = toml::from_str("token = \"s3\"").expect("valid TOML");
        assert!(config.token.matches(b"s3"));
        // Quotation marks are easily forgotten around digits, and the parser would quote them.
        let refused = toml::from_str::<Config>("token = 4111111111111111").err().expect("not a text");
        assert!(!refused.message().contains("4111"), "{}", refused.message());
        assert!(refused.span().is_some(), "the place is still known");
    }
}
