//! Who a party is: the SPIFFE id in its certificate, and the peer at the far end of a connection.
//!
//! An id is `spiffe://<trust domain>/<role>/<member>`, the only URI among the certificate's subject
//! alternative names. Parsing is strict, because two spellings of one id would be two keys in an
//! access table: lower case only, no port, user, query, fragment, percent sign or dot segment.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::SystemTime;

mod certificate;
mod names;

pub(crate) use certificate::system_time;
pub use certificate::{CertificateSerial, Fingerprint, LeafCertificate, spiffe_id_of};
pub use names::{MemberId, Role, TrustDomain};

/// The longest SPIFFE id, in bytes (SPIFFE-ID specification, section 2.3).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;

/// The name of one party: where it belongs, what it does and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    role: Role,
    member: MemberId,
}

impl SpiffeId {
    /// The id of `member`, acting as `role` in `trust_domain`.
    pub fn new(trust_domain: TrustDomain, role: Role, member: MemberId) -> Self {
        Self { trust_domain, role, member }
    }

    /// The network that the party belongs to.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// What the party does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Which member it is.
    pub fn member(&self) -> &MemberId {
        &self.member
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.trust_domain, self.role, self.member)
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(IdentityError::TooLong(text.len()));
        }
        let rest = text.strip_prefix("spiffe://").ok_or(IdentityError::NotSpiffe)?;
        // A segment too few or too many is refused here; an empty or dotted one by its own type.
        let mut segments = rest.split('/');
        let (Some(domain), Some(role), Some(member), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(IdentityError::Shape);
        };
        Ok(Self { trust_domain: domain.parse()?, role: role.parse()?, member: member.parse()? })
    }
}

/// The far end of a verified connection. It exists only after the chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is, from its certificate.
    pub id: SpiffeId,
    /// SHA-256 of its certificate's DER.
    pub fingerprint: Fingerprint,
    /// The last moment at which its certificate is valid.
    pub not_after: SystemTime,
    /// Its certificate's serial number, by which it is revoked.
    pub serial: CertificateSerial,
    /// Where the connection comes from.
    pub remote_addr: SocketAddr,
}

impl Peer {
    /// Describes the holder of a leaf certificate **whose chain the caller has verified**.
    ///
    /// # Errors
    /// [`IdentityError`] where the certificate doesn't name exactly one party.
    pub fn of_verified_leaf(leaf_der: &[u8], remote_addr: SocketAddr) -> Result<Self, IdentityError> {
        let leaf = LeafCertificate::parse(leaf_der)?;
        Ok(Self {
            id: leaf.id,
            fingerprint: leaf.fingerprint,
            not_after: leaf.not_after,
            serial: leaf.serial,
            remote_addr,
        })
    }
}

/// Why a text is no id, or a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The id is longer than [`SPIFFE_ID_BYTES_MAX`].
    #[error("the SPIFFE id has {0} bytes; at most {SPIFFE_ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The id doesn't start with `spiffe://`, in lower case.
    #[error("the id does not start with spiffe://")]
    NotSpiffe,
    /// The id has not exactly three parts.
    #[error("the id is not of the form spiffe://<trust domain>/<role>/<member>")]
    Shape,
    /// The trust domain is not a lower-case name.
    #[error("the trust domain is not a name of 1 to 255 of a-z, 0-9, '.', '-' and '_' without empty labels")]
    TrustDomain,
    /// The role is none of the five.
    #[error("the role is none of acquirer, issuer, platform, merchant, operator")]
    Role,
    /// The member's id breaks its rule.
    #[error("the member id is not 3 to 40 of a-z, 0-9 and '-', with a letter or digit at both ends")]
    MemberId,
    /// The bytes are not an X.509 v3 certificate.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The certificate has no URI among its names.
    #[error("the certificate has no URI name; it needs exactly one SPIFFE id")]
    NoUri,
    /// The certificate has several URIs, and nobody can say which one counts.
    #[error("the certificate has {0} URI names; it needs exactly one SPIFFE id")]
    ManyUris(usize),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_the_same_text() {
        let text = "spiffe://pay.example/issuer/bank-a";
        let id: SpiffeId = text.parse().expect("a valid id");
        assert_eq!(id.role(), Role::Issuer);
        assert_eq!(id.member().as_str(), "bank-a");
        assert_eq!(id.trust_domain().as_str(), "pay.example");
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn refuses_every_second_spelling() {
        let cases = [
            ("SPIFFE://pay.example/issuer/bank-a", IdentityError::NotSpiffe),
            ("https://pay.example/issuer/bank-a", IdentityError::NotSpiffe),
            ("spiffe:/pay.example/issuer/bank-a", IdentityError::NotSpiffe),
            (" spiffe://pay.example/issuer/bank-a", IdentityError::NotSpiffe),
            ("spiffe://Pay.example/issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe:///issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe://pay.example:443/issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe://u@pay.example/issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe://pay..example/issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe://pay.example./issuer/bank-a", IdentityError::TrustDomain),
            ("spiffe://pay.example/Issuer/bank-a", IdentityError::Role),
            ("spiffe://pay.example/bank/bank-a", IdentityError::Role),
            ("spiffe://pay.example//bank-a", IdentityError::Role),
            ("spiffe://pay.example/./bank-a", IdentityError::Role),
            ("spiffe://pay.example/issuer/..", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/bank%2da", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/bank-a?x=1", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/bank-a#x", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/bank-a ", IdentityError::MemberId),
            ("spiffe://pay.example/issuer/bank-a/", IdentityError::Shape),
            ("spiffe://pay.example/issuer", IdentityError::Shape),
            ("spiffe://pay.example", IdentityError::Shape),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<SpiffeId>(), Err(why), "{text}");
        }
    }

    #[test]
    fn refuses_an_overlong_id() {
        let text = format!("spiffe://pay.example/issuer/{}", "a".repeat(SPIFFE_ID_BYTES_MAX));
        assert_eq!(text.parse::<SpiffeId>(), Err(IdentityError::TooLong(text.len())));
    }

    proptest! {
        #[test]
        fn any_text_that_parses_is_its_own_canonical_form(text in "(spiffe://)?[ -~é]{0,60}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn every_well_formed_id_parses(
            domain in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,3}",
            role in "acquirer|issuer|platform|merchant|operator",
            member in "[a-z0-9][a-z0-9-]{1,38}[a-z0-9]",
        ) {
            let text = format!("spiffe://{domain}/{role}/{member}");
            prop_assert_eq!(text.parse::<SpiffeId>().expect("well formed").to_string(), text);
        }
    }
}
