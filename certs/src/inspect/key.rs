//! Private keys in words. Nothing of the key itself is shown.

use std::path::Path;

use mesh::identity::CertificateSerial;

use super::{Context, PublicHalf, Report};
use crate::files;

pub(super) fn report(source: String, path: &Path, key: &PublicHalf, context: &Context<'_>) -> Report {
    let mut report = Report::new(source, format!("A private key ({}).", key.algorithm));
    let mut fits = context
        .certificates
        .iter()
        .filter(|certificate| certificate.public_key().subject_public_key.data.as_ref() == key.public_key)
        .peekable();
    if fits.peek().is_none() && !context.certificates.is_empty() {
        report.warn("It belongs to none of the certificates inspected with it.");
    }
    for certificate in fits {
        let serial = CertificateSerial::from_bytes(certificate.raw_serial());
        report.fact("belongs to", format!("{} (serial {serial})", certificate.subject()));
    }
    match files::open_to_others(path) {
        Ok(Some(mode)) => report.warn(format!(
            "Others than its owner have rights on the file (mode {mode:o}): chmod 600, and consider the key known."
        )),
        Ok(None) => report.fact("file", "only its owner may read it"),
        Err(e) => report.warn(e.to_string()),
    }
    report
}
