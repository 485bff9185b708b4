//! Ids that only this issuer knows, beside those of the contracts.

use std::{fmt, str::FromStr};

/// The longest id that the issuer's own records carry, in bytes. It leaves room for a second id in one key.
const OWN_ID_BYTES_MAX: usize = 40;

/// A text that is not an id of the issuer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 40 characters of A-Z, a-z, 0-9, \"-\" and \"_\"")]
pub struct NotAnOwnId;

macro_rules! own_id {
    ($(#[$doc:meta])+ $name:ident) => {
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnOwnId;

            fn from_str(text: &str) -> Result<Self, NotAnOwnId> {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                let fits = (1..=OWN_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
                if fits { Ok(Self(text.into())) } else { Err(NotAnOwnId) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

own_id!(
    /// A customer, as the bank's core system numbers them. It is no secret and no national id.
    CustomerId
);
own_id!(
    /// An account: a credit line that cards share, or a balance that debit cards draw on.
    AccountId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_is_short_and_plain() {
        for good in ["c", "customer-1", "A_9", &"a".repeat(40)] {
            assert_eq!(good.parse::<CustomerId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "a/b", "é", &"a".repeat(41)] {
            assert_eq!(bad.parse::<AccountId>(), Err(NotAnOwnId), "{bad}");
        }
    }
}
