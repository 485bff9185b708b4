//! The three parts of an id, each valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::IdentityError;

/// The longest trust domain name, in bytes (SPIFFE-ID specification, section 2.1).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The shortest member id, in bytes.
const MEMBER_ID_BYTES_MIN: usize = 3;

/// The longest member id, in bytes. It travels in signed orders, which have to stay small.
const MEMBER_ID_BYTES_MAX: usize = 40;

/// The network, as in `spiffe://<trust domain>/`: a lower-case name of at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let well_formed = text.len() <= TRUST_DOMAIN_BYTES_MAX
            && text.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(IdentityError::TrustDomain) }
    }
}

/// What a party does in the network. One certificate has one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Collects for merchants and owns each order's outcome.
    Acquirer,
    /// Holds cardholders' accounts and asks for authorizations.
    Issuer,
    /// Relays between the two and publishes the bank directory.
    Platform,
    /// Makes orders and hears of their results.
    Merchant,
    /// Runs the network: signs directory entries and suspends members.
    Operator,
}

impl Role {
    /// Every role, in the order of the declaration.
    pub const ALL: [Self; 5] = [Self::Acquirer, Self::Issuer, Self::Platform, Self::Merchant, Self::Operator];

    /// The role as it stands in an id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer",
            Self::Issuer => "issuer",
            Self::Platform => "platform",
            Self::Merchant => "merchant",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(IdentityError::Role)
    }
}

/// A member's id: 3 to 40 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(String);

impl MemberId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = (MEMBER_ID_BYTES_MIN..=MEMBER_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(IdentityError::MemberId) }
    }
}

/// Text in and out: all three print as they stand in an id, and configuration files may name them.
macro_rules! textual {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

textual!(TrustDomain, Role, MemberId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_print_as_they_parse() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("".parse::<Role>(), Err(IdentityError::Role));
    }

    #[test]
    fn member_ids_have_bounds() {
        for good in ["abc", "a-1", "0-0", &"a".repeat(40)] {
            assert_eq!(good.parse::<MemberId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "ab", &"a".repeat(41), "-ab", "ab-", "a_b", "Abc", "a.b", "abé", "a b"] {
            assert_eq!(bad.parse::<MemberId>(), Err(IdentityError::MemberId), "{bad}");
        }
    }

    #[test]
    fn configuration_names_are_validated() {
        #[derive(Deserialize, Debug)]
        struct Config {
            #[allow(dead_code)]
            member: MemberId,
        }
        assert!(toml::from_str::<Config>("member = \"bank-a\"").is_ok());
        let refused = toml::from_str::<Config>("member = \"Bank A\"").expect_err("not a member id");
        assert!(refused.to_string().contains("member id"), "{refused}");
    }
}
