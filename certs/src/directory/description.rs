//! The banks as the operator describes them, in TOML.

use std::path::Path;

use bytes::Bytes;
use proto::pb;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use super::DirectoryError;
use crate::files;

/// A six-digit BIN stands for the hundred eight-digit ones that begin with it.
const BINS_IN_SIX_DIGITS: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    bank: Vec<Bank>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bank {
    id: String,
    role: Role,
    version: u64,
    status: Status,
    name_zh_tw: String,
    name_en: String,
    logo_file: Option<String>,
    #[serde(default)]
    app_link: String,
    endpoint: String,
    #[serde(default)]
    bin_ranges: Vec<String>,
    signing_certificates: Vec<String>,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Issuer,
    Acquirer,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Suspended,
    Removed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default)]
    amount_max: Vec<Amount>,
    authorizations_per_second: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    currency: String,
    minor_units: i64,
}

/// Reads a description and the certificate and logo files that it names, relative to its own folder.
///
/// ```toml
/// [[bank]]
/// id = "bank-a"
/// role = "issuer"                  # or "acquirer"
/// version = 1                      # one more with every change
/// status = "active"                # or "suspended", "removed"
/// name_zh_tw = "甲銀行"
/// name_en = "Bank A"
/// logo_file = "bank-a.svg"         # optional, at most 1 KiB
/// app_link = "https://app.bank-a.example/pay"        # issuers only
/// endpoint = "https://bank-a.example:8443"
/// bin_ranges = ["40000000-40000099", "400001", "40000200"]  # issuers only; 8 digits, or 6 for a hundred
/// signing_certificates = ["bank-a/signing.pem"]      # the newest first
/// limits = { authorizations_per_second = 50, amount_max = [{ currency = "TWD", minor_units = 10000000 }] }
/// ```
///
/// The rules of each field are checked when it is signed ([`super::sign`]).
///
/// # Errors
/// [`DirectoryError::Description`], [`DirectoryError::File`]: both name the file, and the bank and
/// field where known.
pub fn entries_from_toml(path: &Path) -> Result<Vec<pb::DirectoryEntry>, DirectoryError> {
    let wrong = |place: &str, why: String| DirectoryError::Description {
        file: path.display().to_string(),
        place: place.to_owned(),
        why,
    };
    let text = files::read_text(path)?;
    let description: Description =
        toml::from_str(&text).map_err(|e| wrong("not a description of banks", e.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::with_capacity(description.bank.len());
    for bank in description.bank {
        let id = bank.id.clone();
        entries.push(entry(bank, folder, |field, why| wrong(&format!("{id}: {field}"), why))?);
    }
    Ok(entries)
}

fn entry(
    bank: Bank,
    folder: &Path,
    wrong: impl Fn(&str, String) -> DirectoryError,
) -> Result<pb::DirectoryEntry, DirectoryError> {
    let mut bin_ranges = Vec::with_capacity(bank.bin_ranges.len());
    for (index, text) in bank.bin_ranges.iter().enumerate() {
        let why =
            || format!("{text:?} must be one BIN of 6 or 8 digits, or two of the same length as \"40000000-40000099\"");
        bin_ranges.push(bin_range(text).ok_or_else(|| wrong(&format!("bin_ranges[{index}]"), why()))?);
    }
    let mut signing_certificates = Vec::with_capacity(bank.signing_certificates.len());
    for (index, file) in bank.signing_certificates.iter().enumerate() {
        let path = folder.join(file);
        let der = CertificateDer::from_pem_slice(&files::read(&path)?).map_err(|e| {
            wrong(&format!("signing_certificates[{index}]"), format!("{} is no PEM certificate: {e}", path.display()))
        })?;
        signing_certificates.push(Bytes::from(der.to_vec()));
    }
    let logo_svg = bank.logo_file.map(|file| files::read_text(&folder.join(file))).transpose()?.unwrap_or_default();
    let role = match bank.role {
        Role::Issuer => pb::MemberRole::Issuer,
        Role::Acquirer => pb::MemberRole::Acquirer,
    };
    let status = match bank.status {
        Status::Active => pb::MemberStatus::Active,
        Status::Suspended => pb::MemberStatus::Suspended,
        Status::Removed => pb::MemberStatus::Removed,
    };
    let amount_max = bank.limits.amount_max.into_iter();
    Ok(pb::DirectoryEntry {
        member_id: bank.id,
        role: role.into(),
        version: bank.version,
        status: status.into(),
        name_zh_tw: bank.name_zh_tw,
        name_en: bank.name_en,
        logo_svg,
        app_link: bank.app_link,
        endpoint: bank.endpoint,
        bin_ranges,
        signing_certificates,
        limits: Some(pb::MemberLimits {
            amount_max: amount_max
                .map(|max| pb::Money { currency_code: max.currency, minor_units: max.minor_units })
                .collect(),
            authorizations_per_second: bank.limits.authorizations_per_second,
        }),
        signed_at: None,
    })
}

/// "40000000-40000099", or one BIN; six digits stand for a hundred BINs.
fn bin_range(text: &str) -> Option<pb::BinRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim(), last.trim());
    let digits = |bin: &str| bin.bytes().all(|b| b.is_ascii_digit()).then(|| bin.parse::<u32>().ok())?;
    let (low, high) = (digits(first)?, digits(last)?);
    match (first.len(), last.len()) {
        (8, 8) => Some(pb::BinRange { first: low, last: high }),
        (6, 6) => Some(pb::BinRange {
            first: low * BINS_IN_SIX_DIGITS,
            last: high * BINS_IN_SIX_DIGITS + (BINS_IN_SIX_DIGITS - 1),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_six_and_eight_digits() {
        let range = |text| bin_range(text).map(|range| (range.first, range.last));
        assert_eq!(range("40000000-40000099"), Some((40_000_000, 40_000_099)));
        assert_eq!(range("400000"), Some((40_000_000, 40_000_099)));
        assert_eq!(range("400000 - 400001"), Some((40_000_000, 40_000_199)));
        assert_eq!(range("40000001"), Some((40_000_001, 40_000_001)));
        for bad in ["", "4000000", "400000-40000099", "40000x", "400000-", "+400000", "4000 00", "1-2-3"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
