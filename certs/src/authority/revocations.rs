//! What an authority no longer stands behind, and the list that says so.

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER_PERMISSIVE;
use mesh::identity::CertificateSerial;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber};
use rustls_pki_types::CertificateRevocationListDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Authority, AuthorityError, DAY, check_lifetime, issue, whole_seconds};

/// The longest serial number, in bytes (RFC 5280, section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// Why a certificate was revoked (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Somebody else may have the key.
    KeyCompromise,
    /// A newer certificate took its place.
    Superseded,
    /// The member has left the network.
    CessationOfOperation,
    /// None of these, or nobody says.
    Unspecified,
}

impl Reason {
    fn code(self) -> Option<RevocationReason> {
        match self {
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            // RFC 5280 wants this one left out.
            Self::Unspecified => None,
        }
    }
}

/// A certificate revocation list.
#[derive(Clone, Debug)]
pub struct Crl {
    /// The list in DER.
    pub der: CertificateRevocationListDer<'static>,
    /// The list in PEM.
    pub pem: String,
    /// Its number, which increases from list to list.
    pub number: u64,
    /// How many certificates it revokes.
    pub entries: usize,
    /// Until when verifiers may rely on it.
    pub next_update: SystemTime,
}

impl Crl {
    /// How long a list may be relied on unless told otherwise.
    pub const LIFETIME: Duration = DAY.saturating_mul(30);

    /// How long a list may be relied on.
    pub const LIFETIME_MAX: Duration = DAY.saturating_mul(90);
}

impl Authority {
    /// Revokes the certificate with this serial number, from `now` on.
    ///
    /// `unsafe_since` is the moment from which the key was no longer safe, where that is earlier: what
    /// it signed since then no longer counts either. Revoking twice changes nothing, except that an
    /// earlier `unsafe_since` is taken over.
    ///
    /// # Errors
    /// [`AuthorityError::Serial`], and [`AuthorityError::Revocation`] where `unsafe_since` is later
    /// than `now`.
    pub fn revoke(
        &mut self,
        serial: &CertificateSerial,
        reason: Reason,
        unsafe_since: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<(), AuthorityError> {
        if !(1..=SERIAL_BYTES_MAX).contains(&serial.as_bytes().len()) {
            return Err(AuthorityError::Serial);
        }
        let wrong = |why| AuthorityError::Revocation(serial.to_string(), why);
        let date = |time| whole_seconds(time).ok_or(wrong("its dates are beyond what a list can hold"));
        if unsafe_since.is_some_and(|since| since > now) {
            return Err(wrong("the key cannot be unsafe since a time that is yet to come"));
        }
        let (revoked_at, unsafe_since) = (date(now)?, unsafe_since.map(date).transpose()?);
        let entries = &mut self.revocations.revoked;
        match entries.iter_mut().find(|entry| entry.serial == *serial) {
            Some(known) => {
                let earlier = unsafe_since.filter(|since| *since < known.revoked_at);
                known.unsafe_since = [known.unsafe_since, earlier].into_iter().flatten().min();
            }
            None => entries.push(Entry { serial: serial.clone(), reason, revoked_at, unsafe_since }),
        }
        Ok(())
    }

    /// Makes the next revocation list. It is made even where nothing is revoked: once a verifier has
    /// loaded any list, it refuses the certificates of an authority without one.
    ///
    /// # Errors
    /// [`AuthorityError::Lifetime`] and [`AuthorityError::Issue`].
    pub fn crl(&mut self, now: SystemTime, lifetime: Duration) -> Result<Crl, AuthorityError> {
        check_lifetime("a revocation list", lifetime, Crl::LIFETIME_MAX)?;
        let beyond = || AuthorityError::Issue("its dates are beyond what a list can hold".to_owned());
        let this_update = whole_seconds(now).ok_or_else(beyond)?;
        let next_update = now.checked_add(lifetime).and_then(whole_seconds).ok_or_else(beyond)?;
        let number = self.revocations.crl_number + 1;
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: self.revocations.revoked.iter().map(Entry::params).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer()?)
        .map_err(issue)?;
        self.revocations.crl_number = number;
        Ok(Crl {
            der: list.der().clone(),
            pem: list.pem().map_err(issue)?,
            number,
            entries: self.revocations.revoked.len(),
            next_update: next_update.into(),
        })
    }
}

/// Everything that an authority has revoked, and the number of its latest list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Revocations {
    crl_number: u64,
    revoked: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    serial: CertificateSerial,
    reason: Reason,
    revoked_at: OffsetDateTime,
    unsafe_since: Option<OffsetDateTime>,
}

impl Entry {
    fn params(&self) -> RevokedCertParams {
        RevokedCertParams {
            serial_number: SerialNumber::from_slice(self.serial.as_bytes()),
            revocation_time: self.revoked_at,
            reason_code: self.reason.code(),
            invalidity_date: self.unsafe_since,
        }
    }
}

/// [`Revocations`] as they stand in `revoked.toml`, which people may read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    crl_number: u64,
    #[serde(default)]
    revoked: Vec<SavedEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEntry {
    serial: String,
    reason: Reason,
    revoked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsafe_since: Option<String>,
}

impl Revocations {
    pub(super) fn to_toml(&self) -> String {
        let date = |date: &OffsetDateTime| date.format(&Rfc3339).expect("invariant: UTC in the years 1970 to 9999");
        let revoked = self.revoked.iter().map(|entry| SavedEntry {
            serial: entry.serial.to_string(),
            reason: entry.reason,
            revoked_at: date(&entry.revoked_at),
            unsafe_since: entry.unsafe_since.as_ref().map(date),
        });
        toml::to_string(&Saved { crl_number: self.crl_number, revoked: revoked.collect() })
            .expect("invariant: numbers and strings alone")
    }

    pub(super) fn from_toml(text: &str) -> Result<Self, String> {
        let saved: Saved = toml::from_str(text).map_err(|e| e.to_string())?;
        let date = |text: &str| {
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| format!("{text:?} is not a date of RFC 3339"))
        };
        let entry = |entry: SavedEntry| {
            Ok::<_, String>(Entry {
                serial: parse_serial(&entry.serial).map_err(|e| format!("{:?}: {e}", entry.serial))?,
                reason: entry.reason,
                revoked_at: date(&entry.revoked_at)?,
                unsafe_since: entry.unsafe_since.as_deref().map(date).transpose()?,
            })
        };
        let revoked = saved.revoked.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { crl_number: saved.crl_number, revoked })
    }
}

/// A serial number in hexadecimal, with or without colons, as certificate tools print it.
///
/// # Errors
/// [`AuthorityError::Serial`].
pub fn parse_serial(text: &str) -> Result<CertificateSerial, AuthorityError> {
    HEXLOWER_PERMISSIVE
        .decode(text.replace(':', "").as_bytes())
        .map(|bytes| CertificateSerial::from_bytes(&bytes))
        .ok()
        .filter(|serial| (1..=SERIAL_BYTES_MAX).contains(&serial.as_bytes().len()))
        .ok_or(AuthorityError::Serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_is_read() {
        let date = |seconds| OffsetDateTime::from_unix_timestamp(seconds).expect("a date");
        let entry = |byte, unsafe_since| Entry {
            serial: CertificateSerial::from_bytes(&[byte; 16]),
            reason: Reason::KeyCompromise,
            revoked_at: date(1_764_000_000),
            unsafe_since,
        };
        let revoked = vec![entry(1, None), entry(0xfe, Some(date(1_763_000_000)))];
        let revocations = Revocations { crl_number: 7, revoked };
        assert_eq!(Revocations::from_toml(&revocations.to_toml()), Ok(revocations));
        let empty = Revocations::default();
        assert_eq!(Revocations::from_toml(&empty.to_toml()), Ok(empty));
    }

    #[test]
    fn an_altered_file_is_refused_with_its_reason() {
        for (text, word) in [
            ("crl_number = -1", "crl_number"),
            ("crl_number = 1\nextra = 2", "extra"),
            ("crl_number = 1\n[[revoked]]\nserial = \"xy\"\nreason = \"superseded\"\nrevoked_at = \"\"", "xy"),
            ("crl_number = 1\n[[revoked]]\nserial = \"01\"\nreason = \"superseded\"\nrevoked_at = \"today\"", "today"),
            ("crl_number = 1\n[[revoked]]\nserial = \"01\"\nreason = \"bored\"\nrevoked_at = \"\"", "bored"),
        ] {
            let why = Revocations::from_toml(text).expect_err("refused");
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn serials_as_tools_print_them() {
        assert_eq!(parse_serial("00:AB:cd").map(|s| s.to_string()).ok().as_deref(), Some("abcd"));
        for bad in ["", "00", "0x12", "abc", &"11".repeat(21)] {
            assert!(matches!(parse_serial(bad), Err(AuthorityError::Serial)), "{bad}");
        }
    }
}
