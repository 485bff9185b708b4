//! Authenticator data: what the authenticator says, under the credential's signature (section 6.1).

use minicbor::Decoder;

use super::{
    CREDENTIAL_ID_BYTES_MAX, CREDENTIAL_ID_BYTES_MIN, Refused, RelyingParty, UserVerification,
    cbor::{Malformed, raw_map},
};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;
/// Which make of authenticator it is.
const AAGUID_BYTES: usize = 16;

/// Authenticator data, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    /// SHA-256 of the relying party id.
    party_digest: [u8; 32],
    flags: u8,
    /// How many signatures there were; zero where nobody counts.
    pub(super) sign_count: u32,
    /// The new credential.
    pub(super) credential: Option<NewCredential<'a>>,
}

/// A credential that was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewCredential<'a> {
    /// Its id.
    pub(super) id: &'a [u8],
    /// Its public key, one CBOR map.
    pub(super) cose_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of it: there is nothing after the parts that the flags announce.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Refused> {
        let (party_digest, rest) = bytes.split_first_chunk::<32>().ok_or(Refused::AuthenticatorData)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or(Refused::AuthenticatorData)?;
        let (sign_count, rest) = rest.split_first_chunk::<4>().ok_or(Refused::AuthenticatorData)?;
        let (credential, rest) = match flags & HAS_CREDENTIAL {
            0 => (None, rest),
            _ => {
                let (credential, rest) = new_credential(rest)?;
                (Some(credential), rest)
            }
        };
        let rest = match flags & HAS_EXTENSIONS {
            0 => rest,
            _ => split_map(rest).map_err(|_| Refused::AuthenticatorData)?.1,
        };
        if !rest.is_empty() {
            return Err(Refused::AuthenticatorData);
        }
        let sign_count = u32::from_be_bytes(*sign_count);
        Ok(Self { party_digest: *party_digest, flags: *flags, sign_count, credential })
    }

    /// Whether they are for us, of somebody who was there, and agree with themselves.
    pub(super) fn check(&self, party: &RelyingParty, verification: UserVerification) -> Result<(), Refused> {
        if self.party_digest != party.id_digest {
            return Err(Refused::RelyingPartyId);
        }
        if !self.has(USER_PRESENT) {
            return Err(Refused::UserNotPresent);
        }
        if verification == UserVerification::Demanded && !self.has(USER_VERIFIED) {
            return Err(Refused::UserNotVerified);
        }
        // What can't be copied has no copy (Level 3, section 6.1.3).
        if self.has(BACKED_UP) && !self.is_backup_eligible() {
            return Err(Refused::Backup);
        }
        Ok(())
    }

    /// Whether the credential can be copied to other devices.
    pub(super) fn is_backup_eligible(&self) -> bool {
        self.has(BACKUP_ELIGIBLE)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn new_credential(bytes: &[u8]) -> Result<(NewCredential<'_>, &[u8]), Refused> {
    let (_, rest) = bytes.split_first_chunk::<AAGUID_BYTES>().ok_or(Refused::AuthenticatorData)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(Refused::AuthenticatorData)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if !(CREDENTIAL_ID_BYTES_MIN..=CREDENTIAL_ID_BYTES_MAX).contains(&length) {
        return Err(Refused::CredentialId);
    }
    let (id, rest) = rest.split_at_checked(length).ok_or(Refused::AuthenticatorData)?;
    let (cose_key, rest) = split_map(rest).map_err(|_| Refused::Key)?;
    Ok((NewCredential { id, cose_key }, rest))
}

/// Splits one CBOR map off.
fn split_map(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let map = raw_map(&mut Decoder::new(bytes))?;
    bytes.split_at_checked(map.len()).ok_or(Malformed)
}
