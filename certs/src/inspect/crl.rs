//! Revocation lists in words.

use mesh::identity::CertificateSerial;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::dates::{date, end, system_time};
use super::{Context, Report};

pub(super) fn report(source: String, der: &[u8], context: &Context<'_>) -> Report {
    let Ok((_, list)) = CertificateRevocationList::from_der(der) else {
        let mut report = Report::new(source, "A revocation list that cannot be read.");
        report.warn("Its bytes are not one X.509 revocation list; fetch it again.");
        return report;
    };
    let count = list.iter_revoked_certificates().count();
    let what = match count {
        0 => "A certificate revocation list. It revokes nothing.".to_owned(),
        1 => "A certificate revocation list. It revokes 1 certificate.".to_owned(),
        many => format!("A certificate revocation list. It revokes {many} certificates."),
    };
    let mut report = Report::new(source, what);
    report.fact("issuer", list.issuer());
    if let Some(number) = list.crl_number() {
        report.fact("number", number);
    }
    report.fact("made", date(system_time(list.last_update())));
    match list.next_update().map(system_time) {
        Some(next) => {
            report.fact("relied on until", end(next, context.now));
            if next < context.now {
                report.warn("It is out of date; make a new one (certs crl).");
            }
        }
        None => report.warn("It does not say until when it may be relied on."),
    }
    for entry in list.iter_revoked_certificates() {
        let serial = CertificateSerial::from_bytes(entry.raw_serial());
        let reason = entry.reason_code().map(|(_, code)| format!(", {code}")).unwrap_or_default();
        let since = entry.invalidity_date().map(|(_, since)| format!(", unsafe since {}", date(system_time(since))));
        let since = since.unwrap_or_default();
        report.fact("revoked", format!("{serial} on {}{reason}{since}", date(system_time(entry.revocation_date))));
    }
    if !context.authorities.is_empty() {
        let signer = context.authorities.iter().find(|authority| {
            authority.subject().as_raw() == list.issuer().as_raw()
                && list.verify_signature(authority.public_key()).is_ok()
        });
        match signer {
            Some(authority) => report.fact("signed by", format!("{}, rightly", authority.subject())),
            None => report.warn("None of the authorities inspected with it has signed it."),
        }
    }
    report
}
