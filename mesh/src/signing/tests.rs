use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, RevocationReason, RevokedCertParams, SanType,
    date_time_ymd,
};
use ring::signature::UnparsedPublicKey;

use super::*;
use crate::identity::CertificateSerial;

const ID: &str = "spiffe://pay.example/issuer/bank-a";

/// An authority and one leaf of it, each with its key.
struct Fixture {
    ca: CertificateDer<'static>,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

struct Leaf {
    cert_pem: String,
    key_pem: String,
    der: Vec<u8>,
}

fn authority(name: &str) -> Fixture {
    let key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&key).expect("a certificate").der().clone();
    Fixture { ca, issuer: Issuer::new(params, key) }
}

impl Fixture {
    fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.ca.clone()]).expect("an authority")
    }

    fn leaf(&self, alter: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.leaf_with_key(&PKCS_ED25519, alter)
    }

    fn leaf_with_key(
        &self,
        algorithm: &'static rcgen::SignatureAlgorithm,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "bank-a signing");
        params.subject_alt_names = vec![SanType::URI(ID.try_into().expect("ASCII"))];
        params.custom_extensions = vec![usages(&[SIGNING_EKU_DER])];
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 1);
        params.serial_number = Some(vec![0x12, 0x34].into());
        alter(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf { cert_pem: certificate.pem(), key_pem: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    fn crl(&self, invalidity: Option<u8>) -> Vec<u8> {
        CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 7, 1),
            next_update: date_time_ymd(2025, 8, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: vec![0x12, 0x34].into(),
                revocation_time: date_time_ymd(2025, 6, 1),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: invalidity.map(|month| date_time_ymd(2025, month, 1)),
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .expect("a list")
        .der()
        .to_vec()
    }
}

/// An extended key usage extension with these object identifiers.
fn usages(oids: &[&[u8]]) -> CustomExtension {
    let mut list = Vec::new();
    for oid in oids {
        list.extend([0x06, oid.len() as u8]);
        list.extend(*oid);
    }
    let mut content = vec![0x30, list.len() as u8];
    content.extend(list);
    CustomExtension::from_oid_content(&[2, 5, 29, 37], content)
}

fn at(year: i32, month: u8, day: u8) -> SystemTime {
    date_time_ymd(year, month, day).into()
}

fn signer(leaf: &Leaf) -> Signer {
    Signer::from_pem(leaf.cert_pem.as_bytes(), leaf.key_pem.as_bytes()).expect("a signer")
}

#[test]
fn both_forms_of_the_usage_are_one_identifier() {
    let (first, rest) = SIGNING_EKU_DER.split_first().expect("not empty");
    assert_eq!(*first, 2 * 40 + 25);
    let number = rest.iter().fold(0_u128, |number, byte| (number << 7) | u128::from(byte & 0x7f));
    assert_eq!(SIGNING_EKU_OID, format!("2.25.{number}"));
    assert!(rest[..rest.len() - 1].iter().all(|byte| byte & 0x80 != 0) && rest[rest.len() - 1] < 0x80);
}

#[test]
fn a_signature_holds_for_its_message_and_no_other() {
    let network = authority("network");
    let leaf = network.leaf(|_| {});
    let signer = signer(&leaf);
    let certificate = network.trust().certificate(&leaf.der).expect("trusted");
    assert_eq!((certificate.key_id(), certificate.identity()), (signer.key_id(), signer.identity()));
    assert_eq!(signer.identity().to_string(), ID);
    let mid = at(2025, 5, 5);
    let signature = signer.sign("Order", b"body");
    assert_eq!(certificate.verify("Order", b"body", &signature, mid), Ok(()));
    let bad = Err(SigningError::BadSignature);
    assert_eq!(certificate.verify("Orde", b"rbody", &signature, mid), bad);
    assert_eq!(certificate.verify("OrderEvent", b"body", &signature, mid), bad);
    assert_eq!(certificate.verify("Order", b"bodY", &signature, mid), bad);
    assert_eq!(certificate.verify("Order", b"body", &signature[..63], mid), bad);
    assert_eq!(certificate.verify("Order", b"body", &[], mid), bad);
    for index in 0..SIGNATURE_BYTES {
        let mut altered = signature;
        altered[index] ^= 1;
        assert_eq!(certificate.verify("Order", b"body", &altered, mid), bad);
    }
}

#[test]
fn the_signed_bytes_are_what_the_protocol_says() {
    assert_eq!(signed_bytes("Order", b"body"), b"bankside.v1/Order\0body");
    let leaf = authority("network").leaf(|_| {});
    let public = UnparsedPublicKey::new(
        &ring::signature::ED25519,
        ed25519_key_of(&CertificateDer::from(leaf.der.clone())).expect("Ed25519"),
    );
    let signature = signer(&leaf).sign("Order", b"body");
    assert!(public.verify(b"bankside.v1/Order\0body", &signature).is_ok());
}

#[test]
fn a_key_id_is_the_head_of_the_certificates_digest() {
    let id = KeyId::of(b"abc");
    assert_eq!(id.to_string(), "ba7816bf8f01cfea414140de5dae2223");
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["", "ba78", "BA7816BF8F01CFEA414140DE5DAE2223", "ba7816bf8f01cfea414140de5dae22230"] {
        assert_eq!(bad.parse::<KeyId>(), Err(SigningError::KeyId));
    }
}

#[test]
fn a_retired_certificate_vouches_for_its_own_time() {
    let network = authority("network");
    let leaf = network.leaf(|_| {});
    let certificate = network.trust().certificate(&leaf.der).expect("retired, and still checkable");
    let signature = signer(&leaf).sign("Order", b"body");
    let verify = |time| certificate.verify("Order", b"body", &signature, time);
    assert_eq!(verify(certificate.not_before()), Ok(()));
    assert_eq!(verify(certificate.not_after()), Ok(()));
    let second = Duration::from_secs(1);
    assert_eq!(verify(certificate.not_before() - second), Err(SigningError::OutsideValidity));
    assert_eq!(verify(certificate.not_after() + second), Err(SigningError::OutsideValidity));
}

#[test]
fn only_a_signing_leaf_of_the_network_is_trusted() {
    const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];
    let network = authority("network");
    let trust = network.trust();
    let judge = |leaf: Leaf| trust.certificate(&leaf.der).map(|_| ());
    assert_eq!(judge(network.leaf(|p| p.custom_extensions.clear())), Err(SigningError::NotForSigning));
    for foreign in [SERVER_AUTH, ANY_USAGE] {
        let leaf = network.leaf(|p| p.custom_extensions = vec![usages(&[foreign])]);
        assert_eq!(judge(leaf), Err(SigningError::NotForSigning));
    }
    let both = network.leaf(|p| p.custom_extensions = vec![usages(&[SERVER_AUTH, SIGNING_EKU_DER])]);
    assert_eq!(judge(both), Ok(()));
    let p256 = network.leaf_with_key(&PKCS_ECDSA_P256_SHA256, |_| {});
    assert_eq!(judge(p256), Err(SigningError::NotEd25519));
    let nameless = network.leaf(|p| p.subject_alt_names.clear());
    assert_eq!(judge(nameless), Err(SigningError::Identity(IdentityError::NoUri)));
    let ca = network.leaf(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(matches!(judge(ca), Err(SigningError::Chain(_))));
    // Another authority of the same name doesn't become this one.
    assert!(matches!(judge(authority("network").leaf(|_| {})), Err(SigningError::Chain(_))));
    assert!(matches!(judge(authority("other").leaf(|_| {})), Err(SigningError::Chain(_))));
}

#[test]
fn a_revoked_certificate_ends_at_its_revocation() {
    let network = authority("network");
    let leaf = network.leaf(|_| {});
    let signature = signer(&leaf).sign("Order", b"body");
    let verdict = |trust: SigningTrust, time| {
        trust.certificate(&leaf.der).expect("a known chain").verify("Order", b"body", &signature, time)
    };
    let crl = network.crl(None);
    let listed = || network.trust().with_crls([crl.as_slice()]).expect("the authority's list");
    assert_eq!(verdict(listed(), at(2025, 5, 31)), Ok(()));
    assert_eq!(verdict(listed(), at(2025, 6, 1)), Err(SigningError::Revoked));
    // A stolen key: the list says since when it was unsafe, and the earlier of two dates counts.
    let stolen = network.crl(Some(3));
    let both = listed().with_crls([stolen.as_slice()]).expect("the authority's list");
    assert_eq!(verdict(both, at(2025, 3, 1)), Err(SigningError::Revoked));
    // An invalidity date behind the revocation gives nothing back.
    let late = network.crl(Some(9));
    let late = network.trust().with_crls([late.as_slice()]).expect("the authority's list");
    assert_eq!(verdict(late, at(2025, 6, 1)), Err(SigningError::Revoked));
    let named = Revocation { serial: CertificateSerial::from_bytes(&[0, 0x12, 0x34]), since: at(2025, 2, 1) };
    assert_eq!(verdict(network.trust().with_revoked([named]), at(2025, 2, 1)), Err(SigningError::Revoked));
}

#[test]
fn only_the_authoritys_lists_count() {
    let network = authority("network");
    let refused = |der: &[u8]| network.trust().with_crls([der]).map(|_| ()).expect_err("refused");
    let foreign = authority("network").crl(None);
    assert_eq!(refused(&foreign), SigningError::RevocationList("no trusted authority has signed it"));
    let mut altered = network.crl(None);
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert!(matches!(refused(&altered), SigningError::RevocationList(_)));
    assert!(matches!(refused(b"nothing"), SigningError::RevocationList(_)));
}

#[test]
fn a_signer_needs_the_certificates_own_key() {
    let network = authority("network");
    let (one, other) = (network.leaf(|_| {}), network.leaf(|_| {}));
    let refused =
        |cert: &str, key: &str| Signer::from_pem(cert.as_bytes(), key.as_bytes()).map(|_| ()).expect_err("refused");
    assert_eq!(refused(&one.cert_pem, &other.key_pem), SigningError::KeyMismatch);
    assert_eq!(refused(&one.cert_pem, &one.cert_pem), SigningError::KeyPem);
    assert!(matches!(refused("nothing", &one.key_pem), SigningError::CertificatePem(_)));
    let p256 = network.leaf_with_key(&PKCS_ECDSA_P256_SHA256, |_| {});
    assert_eq!(refused(&one.cert_pem, &p256.key_pem), SigningError::Key);
    assert_eq!(refused(&p256.cert_pem, &one.key_pem), SigningError::NotEd25519);
}

#[test]
fn there_must_be_an_authority() {
    assert_eq!(SigningTrust::new([]).map(|_| ()).expect_err("refused"), SigningError::NoAuthority);
    let broken = SigningTrust::new([CertificateDer::from(vec![1, 2, 3])]).map(|_| ());
    assert!(matches!(broken, Err(SigningError::Authority(_))));
}
