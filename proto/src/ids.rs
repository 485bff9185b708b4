//! A type for every kind of id, so that one can't be taken for another.

use std::{fmt, str::FromStr};

/// How many characters follow the prefix of a random id: 26 characters of base 32 carry 130 bits, of
/// which the 128 random ones make an id unguessable.
pub const RANDOM_ID_CHARACTERS: usize = 26;

/// A text that is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct NotAnId {
    expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])+ $name:ident, $rule:expr, $expected:expr) => {
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
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if $rule(text) { Ok(Self(text.into())) } else { Err(NotAnId { expected: $expected }) }
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

macro_rules! random_id {
    ($(#[$doc:meta])+ $name:ident, $prefix:literal) => {
        id!($(#[$doc])+ $name, |text: &str| is_random_id(text, $prefix), concat!("\"", $prefix, "\" and 26 characters of a-z and 2-7"));

        impl $name {
            /// The id that these random bytes make.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
                Self(format!("{}{text}", $prefix).into())
            }
        }
    };
}

macro_rules! member_id {
    ($(#[$doc:meta])+ $name:ident) => {
        id!($(#[$doc])+ $name, is_member_id, "3 to 40 characters of a-z, 0-9 and \"-\", beginning and ending with a letter or digit");
    };
}

random_id!(
    /// An order at an acquirer; unguessable, because the payment page's address contains it.
    OrderId, "ord_"
);
random_id!(
    /// An authorization, unique at its issuer for ever.
    AuthorizationId, "aut_"
);
random_id!(
    /// A charge, made by the cardholder's client.
    ChargeId, "chg_"
);
random_id!(
    /// A card as its holder may name it; says nothing about the card.
    CardOptionId, "crd_"
);
random_id!(
    /// A sign-in under way.
    ChallengeId, "cha_"
);
random_id!(
    /// A device bound to a customer (設備碼).
    DeviceId, "dev_"
);
random_id!(
    /// A checkout at the platform; unguessable, because whoever has it sees the order.
    CheckoutId, "cko_"
);
member_id!(
    /// An acquirer, as in its SPIFFE id.
    AcquirerId
);
member_id!(
    /// An issuer, as in its SPIFFE id.
    IssuerId
);
member_id!(
    /// A merchant, as in its SPIFFE id.
    MerchantId
);
member_id!(
    /// A member of the bank directory, whatever its role.
    MemberId
);
id!(
    /// A shop's own name for an order, unique per shop.
    MerchantReference,
    |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
    "1 to 64 characters of printable ASCII without spaces"
);
id!(
    /// The key that signed: the first 16 bytes of the SHA-256 digest of its certificate.
    KeyId,
    |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
    "32 lower-case hexadecimal digits"
);

impl From<&IssuerId> for MemberId {
    fn from(id: &IssuerId) -> Self {
        Self(id.0.clone())
    }
}

impl From<&AcquirerId> for MemberId {
    fn from(id: &AcquirerId) -> Self {
        Self(id.0.clone())
    }
}

fn is_random_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == RANDOM_ID_CHARACTERS && rest.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
    })
}

fn is_member_id(text: &str) -> bool {
    (3..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_read_back_and_keeps_its_kind() {
        let id = OrderId::from_random([7; 16]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id.as_str().parse::<ChargeId>().is_err());
        assert!("ord_".parse::<OrderId>().is_err());
        assert!(format!("{id}a").parse::<OrderId>().is_err());
    }

    #[test]
    fn a_member_id_is_a_plain_label() {
        for good in ["bank-a", "abc", "0ab"] {
            assert!(good.parse::<IssuerId>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "-abc", "abc-", "Bank", "bank_a", "bank/a", &"a".repeat(41)] {
            assert!(bad.parse::<IssuerId>().is_err(), "{bad}");
        }
    }
}
