//! What is issued stands before the verifier that servers use, webpki, and before nobody else's rules.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mesh::identity::{CertificateSerial, Role, spiffe_id_of};
use mesh::signing::{SIGNING_EKU_DER, Signer, SigningError, SigningTrust};
use rustls_pki_types::UnixTime;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use x509_parser::prelude::CertificateRevocationList;

use super::*;

/// 2026-01-01.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn authority() -> Authority {
    Authority::create("pay.example".parse().expect("a domain"), "Pilot", AUTHORITY_LIFETIME, now())
        .expect("an authority")
}

fn member() -> mesh::identity::MemberId {
    "bank-a".parse().expect("an id")
}

fn server() -> LeafRequest {
    LeafRequest::server(
        Role::Issuer,
        member(),
        vec!["localhost".parse().expect("a name"), "127.0.0.1".parse().expect("an address")],
    )
}

/// The chain check of a server, with or without a revocation list.
fn verify(
    authority: &Authority,
    leaf: &CertificateDer<'_>,
    usage: KeyUsage,
    crl: Option<&Crl>,
    time: SystemTime,
) -> Result<(), webpki::Error> {
    let anchors = [anchor_from_trusted_cert(authority.certificate()).expect("an anchor")];
    let list = crl.map(|crl| CertRevocationList::from(BorrowedCertRevocationList::from_der(&crl.der).expect("a list")));
    let lists: Vec<_> = list.iter().collect();
    let revocation = (!lists.is_empty()).then(|| {
        RevocationOptionsBuilder::new(&lists)
            .expect("not empty")
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build()
    });
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            UnixTime::since_unix_epoch(since_epoch),
            usage,
            revocation,
            None,
        )
        .map(|_| ())
}

#[test]
fn a_server_certificate_serves_and_calls() {
    let authority = authority();
    let issued = authority.issue(&server(), now()).expect("issued");
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        assert_eq!(verify(&authority, &issued.certificate, usage, None, now()), Ok(()));
    }
    assert_eq!(spiffe_id_of(&issued.certificate), Ok(issued.id.clone()));
    assert_eq!(issued.id.to_string(), "spiffe://pay.example/issuer/bank-a");
    let leaf = EndEntityCert::try_from(&issued.certificate).expect("readable");
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(leaf.verify_is_valid_for_subject_name(&host.try_into().expect("a name")), Ok(()));
    }
    assert!(leaf.verify_is_valid_for_subject_name(&"bank-b.example".try_into().expect("a name")).is_err());
}

#[test]
fn each_certificate_is_for_its_purpose_alone() {
    let authority = authority();
    let client = authority.issue(&LeafRequest::client(Role::Operator, member()), now()).expect("issued");
    let signing = authority.issue(&LeafRequest::signing(Role::Issuer, member()), now()).expect("issued");
    let tls = |leaf: &Issued, usage| verify(&authority, &leaf.certificate, usage, None, now()).is_ok();
    assert!(tls(&client, KeyUsage::client_auth()));
    assert!(!tls(&client, KeyUsage::server_auth()));
    assert!(!tls(&signing, KeyUsage::client_auth()));
    assert!(!tls(&signing, KeyUsage::server_auth()));
    let trust = SigningTrust::new([authority.certificate().clone()]).expect("an authority");
    assert_eq!(trust.certificate(&client.certificate).map(|_| ()), Err(SigningError::NotEd25519));
    let signer = Signer::from_pem(signing.certificate_pem().as_bytes(), signing.key_pem.as_bytes()).expect("a signer");
    let certificate = trust.certificate(&signing.certificate).expect("trusted");
    assert_eq!(certificate.key_id(), signing.key_id());
    assert_eq!(certificate.verify("Order", b"body", &signer.sign("Order", b"body"), now()), Ok(()));
}

#[test]
fn certificates_say_what_they_must() {
    let authority = authority();
    let (_, ca) = X509Certificate::from_der(authority.certificate()).expect("readable");
    let constraints = ca.basic_constraints().expect("one").expect("there");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = ca.key_usage().expect("one").expect("there");
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    for request in [server(), LeafRequest::client(Role::Issuer, member()), LeafRequest::signing(Role::Issuer, member())]
    {
        let issued = authority.issue(&request, now()).expect("issued");
        let (_, leaf) = X509Certificate::from_der(&issued.certificate).expect("readable");
        assert!(!leaf.is_ca());
        assert_ne!(leaf.subject().as_raw(), ca.subject().as_raw());
        assert_eq!(leaf.raw_serial().len(), SERIAL_BYTES);
        let usage = leaf.key_usage().expect("one").expect("there");
        assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
        let named = |oid: &str| leaf.extensions().iter().filter(|e| e.oid.to_id_string() == oid).count();
        for oid in ["2.5.29.14", "2.5.29.35", "2.5.29.37", "2.5.29.17", "2.5.29.19"] {
            assert_eq!(named(oid), 1, "{oid} in {issued:?}");
        }
        let first: SystemTime = leaf.validity().not_before.to_datetime().into();
        assert_eq!(first, now() - BACKDATING);
        assert_eq!(issued.not_after, now() + issued.purpose.lifetime());
    }
    let signing = authority.issue(&LeafRequest::signing(Role::Issuer, member()), now()).expect("issued");
    let (_, leaf) = X509Certificate::from_der(&signing.certificate).expect("readable");
    let usage = leaf.extended_key_usage().expect("one").expect("there").value;
    assert_eq!(usage.other.iter().map(|oid| oid.as_bytes()).collect::<Vec<_>>(), [SIGNING_EKU_DER]);
    // The bank directory takes signing certificates of at most this size.
    assert!(signing.certificate.len() <= 1024, "{} bytes", signing.certificate.len());
}

#[test]
fn validity_is_judged() {
    let authority = authority();
    let issued = authority.issue(&server(), now()).expect("issued");
    let judge = |time| verify(&authority, &issued.certificate, KeyUsage::server_auth(), None, time);
    assert!(judge(now() - BACKDATING).is_ok());
    assert!(matches!(judge(now() - BACKDATING - Duration::from_secs(1)), Err(webpki::Error::CertNotValidYet { .. })));
    assert!(matches!(judge(issued.not_after + Duration::from_secs(1)), Err(webpki::Error::CertExpired { .. })));
}

#[test]
fn another_authority_of_the_same_name_is_another() {
    let (one, other) = (authority(), authority());
    let issued = other.issue(&server(), now()).expect("issued");
    assert!(verify(&one, &issued.certificate, KeyUsage::server_auth(), None, now()).is_err());
    let subject = |a: &Authority| X509Certificate::from_der(a.certificate()).expect("readable").1.subject().to_string();
    assert_ne!(subject(&one), subject(&other));
}

#[test]
fn an_empty_list_accepts_and_a_revoking_one_refuses() {
    let mut authority = authority();
    let (kept, lost) =
        (authority.issue(&server(), now()).expect("issued"), authority.issue(&server(), now()).expect("issued"));
    let empty = authority.crl(now(), Crl::LIFETIME).expect("a list");
    let judge = |authority: &Authority, leaf: &Issued, crl: &Crl, time| {
        verify(authority, &leaf.certificate, KeyUsage::client_auth(), Some(crl), time)
    };
    assert_eq!((empty.number, empty.entries), (1, 0));
    assert_eq!(judge(&authority, &lost, &empty, now()), Ok(()));
    authority.revoke(&lost.serial, Reason::KeyCompromise, None, now()).expect("revoked");
    let list = authority.crl(now(), Crl::LIFETIME).expect("a list");
    assert_eq!((list.number, list.entries), (2, 1));
    assert_eq!(judge(&authority, &lost, &list, now()), Err(webpki::Error::CertRevoked));
    assert_eq!(judge(&authority, &kept, &list, now()), Ok(()));
    let late = list.next_update + Duration::from_secs(1);
    assert!(matches!(judge(&authority, &kept, &list, late), Err(webpki::Error::CrlExpired { .. })));
    // A list of another authority says nothing about this one's certificates.
    let foreign = self::authority().crl(now(), Crl::LIFETIME).expect("a list");
    assert_eq!(judge(&authority, &kept, &foreign, now()), Err(webpki::Error::UnknownRevocationStatus));
}

#[test]
fn revoking_is_told_to_those_who_check_signatures() {
    let mut authority = authority();
    let signing = authority.issue(&LeafRequest::signing(Role::Issuer, member()), now()).expect("issued");
    let since = now() + DAY;
    authority.revoke(&signing.serial, Reason::KeyCompromise, None, now() + DAY * 9).expect("revoked");
    authority.revoke(&signing.serial, Reason::KeyCompromise, Some(since), now() + DAY * 9).expect("told more");
    // Later words on a certificate don't make it good again for a while.
    let other = authority.issue(&LeafRequest::signing(Role::Issuer, member()), now()).expect("issued");
    authority.revoke(&other.serial, Reason::KeyCompromise, None, now() + DAY * 2).expect("revoked");
    authority.revoke(&other.serial, Reason::KeyCompromise, Some(now() + DAY * 5), now() + DAY * 9).expect("told more");
    let crl = authority.crl(now() + DAY * 9, Crl::LIFETIME).expect("a list");
    assert_eq!(crl.entries, 2);
    let (_, list) = CertificateRevocationList::from_der(&crl.der).expect("a list");
    let of_other = list.iter_revoked_certificates().nth(1).expect("the second");
    assert_eq!(of_other.invalidity_date(), None, "it was distrusted before");
    let trust = SigningTrust::new([authority.certificate().clone()])
        .and_then(|trust| trust.with_crls([crl.der.as_ref()]))
        .expect("the authority's list");
    let certificate = trust.certificate(&signing.certificate).expect("trusted");
    assert_eq!(certificate.revoked_since(), Some(since));
    let future = authority.revoke(&signing.serial, Reason::Superseded, Some(now() + DAY * 10), now() + DAY * 9);
    assert!(matches!(future, Err(AuthorityError::Revocation(..))));
    let empty = authority.revoke(&CertificateSerial::from_bytes(&[]), Reason::Superseded, None, now());
    assert!(matches!(empty, Err(AuthorityError::Serial)));
}

#[test]
fn what_does_not_fit_is_refused_with_words() {
    let authority = authority();
    let refused = |request: LeafRequest| authority.issue(&request, now()).map(|_| ()).expect_err("refused").to_string();
    let host = || vec!["localhost".parse().expect("a name")];
    for (request, words) in [
        (LeafRequest::signing(Role::Merchant, member()), "merchant signs nothing"),
        (LeafRequest::server(Role::Operator, member(), host()), "client certificate instead"),
        (LeafRequest::server(Role::Issuer, member(), vec![]), "at least one DNS name"),
        (server().lasting(DAY * 399), "1 to 398 days; 399"),
        (server().lasting(Duration::ZERO), "1 to 398 days"),
        (LeafRequest::signing(Role::Issuer, member()).lasting(DAY * 731), "1 to 730 days"),
    ] {
        let said = refused(request);
        assert!(said.contains(words), "{said}");
    }
    let last_days = authority.not_after() - DAY * 30;
    let outlives = authority.issue(&server(), last_days).map(|_| ()).expect_err("refused");
    assert!(matches!(outlives, AuthorityError::OutlivesAuthority(_)), "{outlives}");
    for name in ["", " ", "a\nb", &"x".repeat(49)] {
        let made = Authority::create("pay.example".parse().expect("a domain"), name, AUTHORITY_LIFETIME, now());
        assert!(matches!(made, Err(AuthorityError::Name)));
    }
    let eternal = Authority::create("pay.example".parse().expect("a domain"), "x", AUTHORITY_LIFETIME_MAX + DAY, now());
    assert!(matches!(eternal, Err(AuthorityError::Lifetime { .. })));
    assert!("not a host".parse::<HostName>().is_err());
}

#[test]
fn a_saved_authority_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = authority();
    first.save(folder.path(), now()).expect("saved");
    let issued = first.issue(&server(), now()).expect("issued");
    let mut again = Authority::load(folder.path()).expect("loaded");
    assert_eq!(again.certificate(), first.certificate());
    assert_eq!((again.trust_domain(), again.not_after()), (first.trust_domain(), first.not_after()));
    again.revoke(&issued.serial, Reason::Superseded, None, now()).expect("revoked");
    again.save_revocations(folder.path(), now(), Crl::LIFETIME).expect("saved");
    let mut third = Authority::load(folder.path()).expect("loaded");
    let crl = third.crl(now(), Crl::LIFETIME).expect("a list");
    assert_eq!((crl.number, crl.entries), (3, 1));
    let leaf = third.issue(&server(), now()).expect("issued");
    assert_eq!(verify(&first, &leaf.certificate, KeyUsage::server_auth(), Some(&crl), now()), Ok(()));
    assert_eq!(
        verify(&first, &issued.certificate, KeyUsage::server_auth(), Some(&crl), now()),
        Err(webpki::Error::CertRevoked)
    );
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = authority();
    first.save(folder.path(), now()).expect("saved");
    let key = folder.path().join("ca.key");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    let before = fs::read(&key).expect("there");
    let refused = authority().save(folder.path(), now()).expect_err("taken");
    assert!(refused.to_string().contains("ca.key") && refused.to_string().contains("not overwritten"), "{refused}");
    assert_eq!(fs::read(&key).expect("there"), before);
    let issued = first.issue(&server(), now()).expect("issued");
    let (certificate_path, key_path) = issued.save(&folder.path().join("bank-a")).expect("saved");
    assert_eq!(mode(&key_path), 0o600);
    assert!(issued.save(&folder.path().join("bank-a")).is_err());
    // Where only the certificate's name is taken, no lonely key is left either.
    fs::remove_file(&key_path).expect("removed");
    let refused = issued.save(&folder.path().join("bank-a")).expect_err("taken");
    assert!(refused.to_string().contains(&certificate_path.display().to_string()), "{refused}");
    assert!(!key_path.exists());
}

#[test]
fn a_damaged_authority_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    authority().save(folder.path(), now()).expect("saved");
    let refused = || Authority::load(folder.path()).expect_err("refused").to_string();
    let key = folder.path().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("mode set");
    assert!(refused().contains("ca.key") && refused().contains("chmod 600"), "{}", refused());
    fs::remove_file(&key).expect("removed");
    let other = Zeroizing::new(authority().key.serialize_pem());
    files::write_new(&key, other.as_bytes(), Access::Owner).expect("written");
    assert!(refused().contains("not the key of ca.pem"), "{}", refused());
    fs::write(folder.path().join("ca.pem"), "nothing").expect("written");
    assert!(refused().contains("ca.pem"), "{}", refused());
    let leaf = authority().issue(&server(), now()).expect("issued");
    fs::write(folder.path().join("ca.pem"), leaf.certificate_pem()).expect("written");
    assert!(refused().contains("not an authority's certificate"), "{}", refused());
}

#[test]
fn nothing_printed_holds_a_key() {
    let authority = authority();
    let issued = authority.issue(&server(), now()).expect("issued");
    let printed = format!("{authority:?} {issued:?}");
    assert!(!printed.contains("PRIVATE") && printed.contains("pay.example"), "{printed}");
    // The PEM text that is written here is what other tools would write.
    assert_eq!(CertificateDer::from_pem_slice(issued.certificate_pem().as_bytes()).expect("PEM"), issued.certificate);
}
