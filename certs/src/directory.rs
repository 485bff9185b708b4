//! The bank directory as a signed file: what the operator hands out.
//!
//! Each entry is signed for itself, with a version that only ever increases. Signing over an existing
//! file keeps the signature of every entry that says the same as before, refuses a change without a
//! new version, and refuses to lose a member: who leaves stays, with status `removed`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use mesh::identity::{LeafCertificate, Role};
use mesh::signing::{KeyId, Signer, SigningTrust};
use prost::Message;
use proto::authorization::Carried;
use proto::directory::{Entry, MemberRole};
use proto::pb;
use proto::signed::SignedBody;

use crate::files::{self, FileError};

mod description;

pub use description::entries_from_toml;

/// Why a directory cannot be signed or believed. Every message names the member and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file's error.
    #[error(transparent)]
    File(#[from] FileError),
    /// The description is wrong.
    #[error("{file}: {place}: {why}")]
    Description {
        /// The description's file.
        file: String,
        /// The bank and the field, as far as they are known.
        place: String,
        /// What is wrong and how it must be.
        why: String,
    },
    /// The directory as a whole, or its relation to the earlier one, is wrong.
    #[error("{member}: {why}")]
    Entry {
        /// The member.
        member: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The bytes are no directory.
    #[error("{0} is not a directory file: {1}")]
    NotADirectory(String, String),
    /// The key isn't an operator's.
    #[error("the operator's certificate names {0}; entries are signed in the role of operator")]
    NotAnOperator(String),
}

/// A directory that was read: each entry, who signed it, and whether that holds.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The entries, in ascending order of member id.
    pub entries: Vec<Carried<Entry>>,
    /// The operator's certificates that the file brings, in DER.
    pub operator_certificates: Vec<Bytes>,
}

impl Directory {
    /// Reads a directory's bytes. No signature is checked.
    ///
    /// # Errors
    /// [`DirectoryError::NotADirectory`], with the field that is wrong; `name` says whose bytes they are.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, DirectoryError> {
        let wrong = |why: String| DirectoryError::NotADirectory(name.to_owned(), why);
        let file = pb::DirectoryFile::decode(bytes).map_err(|e| wrong(e.to_string()))?;
        let mut entries = Vec::with_capacity(file.entries.len());
        for (index, entry) in file.entries.into_iter().enumerate() {
            let entry = Carried::<Entry>::parse(entry);
            entries.push(entry.map_err(|e| wrong(e.under(&format!("entries[{index}]")).to_string()))?);
        }
        if entries.is_empty() {
            return Err(wrong("it has no entry".to_owned()));
        }
        entries.sort_by(|a, b| a.says.member.cmp(&b.says.member));
        Ok(Self { entries, operator_certificates: file.operator_certificates })
    }

    /// Checks every signature and every member's certificates against the network's authorities.
    ///
    /// # Errors
    /// [`DirectoryError::Entry`] for the first entry that doesn't hold.
    pub fn verify(&self, trust: &SigningTrust) -> Result<(), DirectoryError> {
        for entry in &self.entries {
            let wrong = |why: String| DirectoryError::Entry { member: entry.says.member.to_string(), why };
            let key_id = entry.signed.key_id.to_string();
            let operator = self
                .operator_certificates
                .iter()
                .find(|der| KeyId::of(der).to_string() == key_id)
                .ok_or_else(|| wrong(format!("the file does not bring the certificate {key_id} that signed it")))?;
            let operator = trust.certificate(operator).map_err(|e| wrong(format!("its signer: {e}")))?;
            if operator.identity().role() != Role::Operator {
                return Err(wrong(format!("{} signed it, who is no operator", operator.identity())));
            }
            let Entry { signed_at, .. } = entry.says;
            operator
                .verify(pb::DirectoryEntry::NAME, &entry.signed.body, &entry.signed.signature, signed_at)
                .map_err(|e| wrong(e.to_string()))?;
            for (index, der) in entry.says.signing_certificates.iter().enumerate() {
                trust.certificate(der).map_err(|e| wrong(format!("signing_certificates[{index}]: {e}")))?;
            }
        }
        Ok(())
    }
}

/// Signs a directory: `entries` as the operator wants them, over `earlier` where there is one.
///
/// # Errors
/// [`DirectoryError::NotAnOperator`], and [`DirectoryError::Entry`] for the first entry that breaks
/// one of its rules, shares a BIN with another, brings a certificate that isn't its own, or changes
/// without a new version.
pub fn sign(
    entries: Vec<pb::DirectoryEntry>,
    operator: &Signer,
    earlier: Option<&Directory>,
    now: SystemTime,
) -> Result<pb::DirectoryFile, DirectoryError> {
    if operator.identity().role() != Role::Operator {
        return Err(DirectoryError::NotAnOperator(operator.identity().to_string()));
    }
    let mut parsed = BTreeMap::new();
    for mut entry in entries {
        entry.signed_at = Some(proto::time::to_pb(now));
        let member = entry.member_id.clone();
        let wrong = |why: String| DirectoryError::Entry { member: member.clone(), why };
        let entry = Entry::parse(entry).map_err(|e| wrong(e.to_string()))?;
        check_certificates(&entry, operator, now).map_err(wrong)?;
        if parsed.insert(member.clone(), entry).is_some() {
            return Err(wrong("it is described twice; keep one of the two".to_owned()));
        }
    }
    check_overlaps(&parsed)?;
    let mut signed = Vec::with_capacity(parsed.len());
    let mut certificates = vec![Bytes::copy_from_slice(operator.certificate_der())];
    for old in earlier.map(|earlier| earlier.entries.as_slice()).unwrap_or_default() {
        let member = old.says.member.to_string();
        if !parsed.contains_key(&member) {
            let why = "it is in the earlier directory; keep it with status = \"removed\" and a higher version";
            return Err(DirectoryError::Entry { member, why: why.to_owned() });
        }
    }
    for (member, entry) in parsed {
        let old = earlier
            .and_then(|dir| dir.entries.iter().find(|old| old.says.member == entry.member).map(|old| (dir, old)));
        match old {
            Some((dir, old)) if says_the_same(&old.says, &entry) => {
                let key_id = old.signed.key_id.to_string();
                let theirs = dir.operator_certificates.iter().find(|der| KeyId::of(der).to_string() == key_id);
                certificates.extend(theirs.filter(|der| !certificates.contains(der)).cloned());
                signed.push(old.signed.to_pb());
            }
            Some((_, old)) if entry.version <= old.says.version => {
                let why = format!(
                    "it has changed since version {}; describe it with version = {}",
                    old.says.version,
                    old.says.version + 1
                );
                return Err(DirectoryError::Entry { member, why });
            }
            Some(_) | None => signed.push(sign_entry(&entry, operator)),
        }
    }
    Ok(pb::DirectoryFile { entries: signed, operator_certificates: certificates, ..pb::DirectoryFile::default() })
}

/// Reads an earlier directory, where there is one.
///
/// # Errors
/// [`DirectoryError::File`], [`DirectoryError::NotADirectory`].
pub fn earlier(path: &Path) -> Result<Option<Directory>, DirectoryError> {
    if !path.exists() {
        return Ok(None);
    }
    Directory::parse(&path.display().to_string(), &files::read(path)?).map(Some)
}

fn sign_entry(entry: &Entry, operator: &Signer) -> pb::Signed {
    let body = entry.to_pb().encode_to_vec();
    let signature = operator.sign(pb::DirectoryEntry::NAME, &body);
    pb::Signed {
        body: body.into(),
        key_id: operator.key_id().to_string(),
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// Whether two entries differ in nothing but the time of signing.
fn says_the_same(old: &Entry, new: &Entry) -> bool {
    Entry { signed_at: old.signed_at, ..new.clone() } == *old
}

/// Each certificate is the member's own, in its role and network, and the newest one is in force.
fn check_certificates(entry: &Entry, operator: &Signer, now: SystemTime) -> Result<(), String> {
    let role = match entry.role {
        MemberRole::Issuer => Role::Issuer,
        MemberRole::Acquirer => Role::Acquirer,
    };
    for (index, der) in entry.signing_certificates.iter().enumerate() {
        let place = format!("signing_certificates[{index}]");
        let leaf = LeafCertificate::parse(der).map_err(|e| format!("{place}: {e}"))?;
        let own = leaf.id.role() == role
            && leaf.id.member().as_str() == entry.member.as_str()
            && leaf.id.trust_domain() == operator.identity().trust_domain();
        if !own {
            let domain = operator.identity().trust_domain();
            return Err(format!("{place}: it names {}, not spiffe://{domain}/{role}/{}", leaf.id, entry.member));
        }
        if index == 0 && !(leaf.not_before..=leaf.not_after).contains(&now) {
            return Err(format!("{place}: the newest certificate is not valid now; issue and list a new one first"));
        }
    }
    Ok(())
}

/// A card number belongs to one bank.
fn check_overlaps(entries: &BTreeMap<String, Entry>) -> Result<(), DirectoryError> {
    let mut ranges: Vec<_> =
        entries.iter().flat_map(|(member, entry)| entry.bin_ranges.iter().map(move |range| (range, member))).collect();
    ranges.sort();
    for pair in ranges.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one.overlaps(**other)
        {
            let why = format!("bin_ranges: {:?} to {:?} overlaps with a range of {first}", other.first(), other.last());
            return Err(DirectoryError::Entry { member: (*second).clone(), why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
