//! Bank directories in words.

use mesh::signing::SigningTrust;
use proto::directory::{Entry, MemberRole, MemberStatus};
use rustls_pki_types::CertificateDer;

use super::dates::date;
use super::{Context, Report};
use crate::directory::Directory;

pub(super) fn report(source: String, directory: &Directory, context: &Context<'_>) -> Report {
    let what = format!("A bank directory with {}.", count(directory.entries.len(), "entry", "entries"));
    let mut report = Report::new(source, what);
    for entry in &directory.entries {
        report.fact("member", sentence(&entry.says));
    }
    report.fact("signed by", count(directory.operator_certificates.len(), "operator's key", "operators' keys"));
    if context.authorities.is_empty() {
        report.fact("signatures", "not checked; inspect it together with the authority's certificate");
        return report;
    }
    let authorities = context.authorities.iter().map(|ca| CertificateDer::from(ca.as_raw().to_vec()));
    let verified = SigningTrust::new(authorities)
        .map_err(|e| e.to_string())
        .and_then(|trust| directory.verify(&trust).map_err(|e| e.to_string()));
    match verified {
        Ok(()) => report.fact("signatures", "all right, and so are the members' certificates"),
        Err(why) => report.warn(format!("Do not use it: {why}.")),
    }
    report
}

fn sentence(entry: &Entry) -> String {
    let role = match entry.role {
        MemberRole::Issuer => "issuer",
        MemberRole::Acquirer => "acquirer",
    };
    let status = match entry.status {
        MemberStatus::Active => "active",
        MemberStatus::Suspended => "SUSPENDED",
        MemberStatus::Removed => "REMOVED",
    };
    let ranges = match entry.bin_ranges.len() {
        0 => String::new(),
        many => format!(", {}", count(many, "BIN range", "BIN ranges")),
    };
    format!(
        "{} ({} {}), {role}, {status}, version {}, at {}{ranges}, {}, signed {}",
        entry.member,
        entry.name_zh_tw,
        entry.name_en,
        entry.version,
        entry.endpoint,
        count(entry.signing_certificates.len(), "signing certificate", "signing certificates"),
        date(entry.signed_at),
    )
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
