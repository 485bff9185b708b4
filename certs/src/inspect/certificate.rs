//! Certificates in words.

use mesh::identity::{CertificateSerial, Fingerprint, Role, SpiffeId};
use mesh::signing::{KeyId, SIGNING_EKU_DER};
use rustls_pki_types::CertificateDer;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::dates::{SOON, date, end, span, system_time};
use super::{Context, Report};
use crate::authority::Purpose;

pub(super) fn report(source: String, der: &CertificateDer<'_>, context: &Context<'_>) -> Report {
    let certificate = match X509Certificate::from_der(der) {
        Ok(([], certificate)) => certificate,
        Ok(_) | Err(_) => {
            let mut report = Report::new(source, "A certificate that cannot be read.");
            report.warn("Its bytes are not one X.509 certificate; ask for the file again.");
            return report;
        }
    };
    let names = Names::of(&certificate);
    let usage = Usage::of(&certificate);
    let mut report = Report::new(source, headline(&certificate, &names, &usage));
    let validity = certificate.validity();
    report.fact("subject", certificate.subject());
    report.fact("issuer", certificate.issuer());
    if !names.hosts.is_empty() {
        report.fact("host names", names.hosts.join(", "));
    }
    report.fact("key", usage.key);
    report.fact("valid from", date(system_time(validity.not_before)));
    report.fact("valid until", end(system_time(validity.not_after), context.now));
    report.fact("serial", CertificateSerial::from_bytes(certificate.raw_serial()));
    report.fact("fingerprint", format!("SHA-256 {}", Fingerprint::of(der)));
    if usage.signing {
        report.fact("key id", KeyId::of(der));
    }
    warn_of_dates(&mut report, &certificate, context);
    if certificate.is_ca() {
        warn_of_authority(&mut report, &certificate, &names);
    } else {
        warn_of_names(&mut report, &names, &usage);
        warn_of_usage(&mut report, &names, &usage);
    }
    warn_of_issuer(&mut report, &certificate, context);
    report
}

/// The subject alternative names.
struct Names {
    uris: Vec<String>,
    hosts: Vec<String>,
    /// The only URI, where it is one of this network's ids.
    id: Option<SpiffeId>,
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let (mut uris, mut hosts) = (Vec::new(), Vec::new());
        let extension = certificate.subject_alternative_name().ok().flatten();
        for name in extension.map(|e| e.value.general_names.as_slice()).unwrap_or_default() {
            if let GeneralName::URI(uri) = name {
                uris.push((*uri).to_owned());
            } else if let GeneralName::DNSName(host) = name {
                hosts.push((*host).to_owned());
            } else if let GeneralName::IPAddress(bytes) = name {
                hosts.push(ip_address(bytes));
            } else if let GeneralName::Invalid(tag, _) = name
                && tag.0 == 6
            {
                uris.push("(unreadable)".to_owned());
            }
        }
        let id = if let [uri] = uris.as_slice() { uri.parse().ok() } else { None };
        Self { uris, hosts, id }
    }
}

/// What the key is and what the certificate lets it do.
struct Usage {
    key: &'static str,
    named: bool,
    server: bool,
    client: bool,
    signing: bool,
    any: bool,
}

impl Usage {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let algorithm = &certificate.public_key().algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        let key = if algorithm.algorithm == OID_SIG_ED25519 {
            "Ed25519"
        } else if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) {
            "ECDSA P-256"
        } else {
            "another kind"
        };
        let extension = certificate.extended_key_usage().ok().flatten();
        let usage = extension.map(|e| e.value);
        Self {
            key,
            named: usage.is_some(),
            server: usage.is_some_and(|u| u.server_auth),
            client: usage.is_some_and(|u| u.client_auth),
            signing: usage.is_some_and(|u| u.other.iter().any(|oid| oid.as_bytes() == SIGNING_EKU_DER)),
            any: usage.is_some_and(|u| u.any),
        }
    }

    fn purposes(&self) -> Vec<(Purpose, &'static str)> {
        [
            (self.server, Purpose::Server, "be a TLS server"),
            (self.client, Purpose::Client, "call servers over TLS"),
            (self.signing, Purpose::Signing, "sign messages"),
        ]
        .into_iter()
        .filter(|(allowed, ..)| *allowed)
        .map(|(_, purpose, words)| (purpose, words))
        .collect()
    }
}

fn headline(certificate: &X509Certificate<'_>, names: &Names, usage: &Usage) -> String {
    if certificate.is_ca() {
        return match names.uris.as_slice() {
            [uri] => format!("The certificate of an authority: it issues certificates for {uri}."),
            _ => "The certificate of an authority.".to_owned(),
        };
    }
    let who = match (&names.id, names.uris.as_slice()) {
        (Some(id), _) => format!("the {} {} ({id})", id.role(), id.member()),
        (None, []) => "nobody in this network".to_owned(),
        (None, uris) => uris.join(" and "),
    };
    let purposes: Vec<_> = usage.purposes().into_iter().map(|(_, words)| words).collect();
    let what = if purposes.is_empty() {
        "It states no use that the network knows.".to_owned()
    } else {
        format!("It may {}.", purposes.join(" and "))
    };
    format!("A certificate of {who}. {what}")
}

fn warn_of_dates(report: &mut Report, certificate: &X509Certificate<'_>, context: &Context<'_>) {
    let first = system_time(certificate.validity().not_before);
    let last = system_time(certificate.validity().not_after);
    if context.now < first {
        report.warn(format!("It is not valid yet; it will be on {}. Check this computer's clock.", date(first)));
    } else if let Ok(left) = last.duration_since(context.now) {
        if left <= SOON {
            report.warn(format!("It ends in {}; issue a new one.", span(left)));
        }
    } else if certificate.is_ca() {
        report.warn("It has expired, and with it everything that it issued; make a new authority.");
    } else {
        report.warn("It has expired; issue a new one.");
    }
}

fn warn_of_authority(report: &mut Report, certificate: &X509Certificate<'_>, names: &Names) {
    if names.id.is_some() {
        report.warn("An authority must not carry a member's id; verifiers refuse it as a leaf.");
    }
    let usage = certificate.key_usage().ok().flatten();
    if !usage.is_some_and(|u| u.value.key_cert_sign() && u.value.crl_sign()) {
        report.warn("Its key usage does not allow signing both certificates and revocation lists.");
    }
}

fn warn_of_names(report: &mut Report, names: &Names, usage: &Usage) {
    match (names.uris.as_slice(), &names.id) {
        ([], _) => report.warn("It has no URI name; members need exactly one, spiffe://<trust domain>/<role>/<id>."),
        ([_], Some(_)) => {}
        ([uri], None) => report.warn(format!("{uri} is not of the form spiffe://<trust domain>/<role>/<id>.")),
        (several, _) => report.warn(format!("It has {} URI names; servers refuse all but exactly one.", several.len())),
    }
    if usage.server && names.hosts.is_empty() {
        report.warn("It has no DNS name and no IP address; ordinary TLS clients refuse such a server.");
    }
}

fn warn_of_usage(report: &mut Report, names: &Names, usage: &Usage) {
    if !usage.named {
        report.warn("It states no extended key usage; it is accepted for TLS by some, and for signing by nobody.");
    } else if usage.purposes().is_empty() {
        report.warn("Its extended key usage is of no use in this network.");
    }
    if usage.any {
        report.warn("It may be used for anything; issue one for each purpose.");
    }
    if usage.signing && (usage.server || usage.client) {
        report.warn("It mixes signing with TLS; issue one certificate for each.");
    }
    if usage.signing && usage.key != "Ed25519" {
        report.warn("It is for signing, but its key is not Ed25519; no signature of it is accepted.");
    }
    let Some(role) = names.id.as_ref().map(SpiffeId::role) else { return };
    for (purpose, words) in usage.purposes() {
        if !purpose.fits(role) {
            report.warn(format!("{} has no business in this network to {words}.", article(role)));
        }
    }
}

fn warn_of_issuer(report: &mut Report, certificate: &X509Certificate<'_>, context: &Context<'_>) {
    let signed_by = |authority: &&X509Certificate<'_>| {
        authority.subject().as_raw() == certificate.issuer().as_raw()
            && certificate.verify_signature(Some(authority.public_key())).is_ok()
    };
    if !certificate.is_ca() && !context.authorities.is_empty() {
        match context.authorities.iter().find(signed_by) {
            Some(authority) => report.fact("issued by", format!("{}, whose signature is right", authority.subject())),
            None => report.warn("None of the authorities inspected with it has issued it."),
        }
    }
    for list in &context.crls {
        let entry = list.iter_revoked_certificates().find(|entry| entry.raw_serial() == certificate.raw_serial());
        if let Some(entry) = entry
            && list.issuer().as_raw() == certificate.issuer().as_raw()
        {
            report.warn(format!("It was revoked on {}.", date(system_time(entry.revocation_date))));
        }
    }
}

fn article(role: Role) -> String {
    match role {
        Role::Acquirer | Role::Issuer | Role::Operator => format!("An {role}"),
        Role::Platform | Role::Merchant => format!("A {role}"),
    }
}

fn ip_address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        std::net::Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        std::net::Ipv6Addr::from(v6).to_string()
    } else {
        "(unreadable address)".to_owned()
    }
}
