//! Who gets in: certificates, roles, and whom our own client accepts.

use crate::pki::{Authority, Files, Leaf, spiffe};
use crate::service::{ECHO, FORGOTTEN, Network, Running, WHO, acquirer, ask, soon};
use mesh::channel::{MeshChannel, device_channel};
use mesh::identity::Role;
use mesh::serve::Limits;
use mesh::status::{is_transport, reason_of};
use mesh::tls::{ExpectedServer, ServerTls};
use proto::reason::Reason;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

/// Shakes hands with any certificate, speaks the first words of HTTP/2 and waits for the answer: in
/// TLS 1.3 that is when a client learns that it was refused, and the text says why.
async fn knock(
    running: &Running,
    authority: &Authority,
    shown: Option<&Leaf>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let chain = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![chain], key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let knocking = async {
        let stream = TcpStream::connect(running.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(HELLO).await?;
        stream.read_u8().await
    };
    soon("a knock", knocking).await.map(|_| ()).map_err(|error| error.to_string())
}

/// The first words of HTTP/2: the preface and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

async fn refusal(network: &Network, shown: Option<&Leaf>) -> String {
    let running = network.serve().await;
    knock(&running, &network.authority, shown, TLS13).await.expect_err("the handshake must be refused")
}

#[tokio::test]
async fn a_member_gets_in_and_is_who_its_certificate_says() {
    let network = Network::new();
    let running = network.serve().await;
    let leaf = network.authority.member("merchant/shop-9");
    assert_eq!(knock(&running, &network.authority, Some(&leaf), TLS13).await, Ok(()));
    let answer = ask(&network.channel(&running), WHO).await.expect("an answer");
    assert_eq!(answer, spiffe("merchant/shop-1"));
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let text = refusal(&Network::new(), None).await;
    assert!(text.contains("CertificateRequired"), "{text}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let other = Authority::new("another network");
    let leaf = other.member("merchant/shop-1");
    let text = refusal(&Network::new(), Some(&leaf)).await;
    assert!(text.contains("UnknownCA"), "{text}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let network = Network::new();
    let uri = spiffe("merchant/shop-1");
    let leaf = network.authority.leaf(&[&uri], Duration::minutes(-1));
    let text = refusal(&network, Some(&leaf)).await;
    assert!(text.contains("CertificateExpired"), "{text}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let network = Network::new();
    let leaf = network.authority.member("merchant/shop-2");
    let list = network.authority.revocations(&[leaf.serial]);
    network.server_files.write("crl.pem", &list);
    network.server_identity.reload().expect("a good list");
    let text = refusal(&network, Some(&leaf)).await;
    assert!(text.contains("CertificateRevoked"), "{text}");
}

#[tokio::test]
async fn a_certificate_must_have_exactly_one_id_of_our_trust_domain() {
    let one = spiffe("merchant/shop-1");
    let other = spiffe("issuer/bank-1");
    let cases: [(&str, &[&str]); 5] = [
        ("no URI", &[]),
        ("two ids", &[&one, &other]),
        ("an id and a web address", &[&one, "https://shop.example/"]),
        ("a web address", &["https://shop.example/"]),
        ("another trust domain", &["spiffe://other.example/merchant/shop-1"]),
    ];
    for (what, uris) in cases {
        let network = Network::new();
        let leaf = network.authority.leaf(uris, Duration::hours(1));
        let running = network.serve().await;
        let knocked = knock(&running, &network.authority, Some(&leaf), TLS13).await;
        assert!(knocked.is_err(), "{what} got in");
        assert!(network.server_identity.connections().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn an_older_version_of_tls_is_refused() {
    let network = Network::new();
    let running = network.serve().await;
    let versions = &[&rustls::version::TLS12];
    let shown = Some(&network.merchant_leaf);
    let text = knock(&running, &network.authority, shown, versions).await.expect_err("TLS 1.2 must be refused");
    assert!(text.contains("ProtocolVersion"), "{text}");
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    let network = Network::new();
    let running = network.serve().await;
    // A client that would like to resume, unlike ours.
    let mut config = network.merchant_identity.client_config(&acquirer()).expect("a member");
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let stream = TcpStream::connect(running.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = soon("a handshake", connector.connect(name, stream)).await.expect("TLS");
        stream.write_all(HELLO).await.expect("a hello");
        // Tickets come before the first byte of HTTP/2.
        soon("an answer", stream.read_u8()).await.expect("an answer");
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn an_identity_knows_when_its_parts_end() {
    let network = Network::new();
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3_500);
    let later = soon + std::time::Duration::from_secs(200);
    for end in [network.server_identity.not_after(), network.server_identity.revocations_until()] {
        let end = end.expect("an end");
        assert!(soon < end && end < later, "{end:?}");
    }
}

#[tokio::test]
async fn a_wrong_role_is_denied_with_its_reason() {
    let network = Network::new();
    let running = network.serve().await;
    let issuer = network.channel_of(&running, "issuer/bank-1");
    assert_eq!(ask(&issuer, ECHO).await.expect("open to anyone"), "hello");
    let status = ask(&issuer, WHO).await.expect_err("for merchants alone");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::RoleNotAllowed.as_wire()));
    assert!(!is_transport(&status));
}

#[tokio::test]
async fn an_rpc_without_a_row_does_not_exist_even_if_it_is_mounted() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    for path in [FORGOTTEN, "/trial.Other/Echo"] {
        let status = ask(&channel, path).await.expect_err("no row");
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn a_device_needs_no_certificate_and_is_nobody() {
    let network = Network::new();
    let tls = ServerTls::device(Arc::clone(&network.server_identity));
    let running = Running::start(tls, Limits::default()).await;
    let channel = device_channel(&running.url(), &network.merchant_files.path("ca.pem")).expect("a channel");
    assert_eq!(ask(&channel, ECHO).await.expect("open to anyone"), "hello");
    let status = ask(&channel, WHO).await.expect_err("for members alone");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason_of(&status).as_deref(), Some(Reason::CertificateMissing.as_wire()));
}

#[tokio::test]
async fn our_client_refuses_a_server_that_is_somebody_else() {
    let network = Network::new();
    let running = network.serve().await;
    let identity = &network.merchant_identity;
    let expectations = [
        (acquirer(), true),
        (ExpectedServer::any(Role::Acquirer), true),
        (ExpectedServer::member(Role::Acquirer, "acq-2".parse().expect("an id")), false),
        (ExpectedServer::member(Role::Platform, "acq-1".parse().expect("an id")), false),
        (ExpectedServer::any_of(Role::Acquirer, []), false),
    ];
    for (expected, accepted) in expectations {
        let what = expected.to_string();
        let channel = MeshChannel::new(&running.url(), Arc::clone(identity), expected).expect("a channel");
        match ask(&channel, WHO).await {
            Ok(_) => assert!(accepted, "{what} was accepted"),
            Err(status) => {
                assert!(!accepted, "{what}: {status}");
                assert!(is_transport(&status), "{status}");
                assert_eq!(status.code(), Code::Unavailable, "{status}");
            }
        }
    }
}

#[tokio::test]
async fn our_client_refuses_a_revoked_server() {
    let network = Network::new();
    let running = network.serve().await;
    let channel = network.channel(&running);
    ask(&channel, WHO).await.expect("not revoked yet");
    let list = network.authority.revocations(&[network.server_leaf.serial]);
    network.merchant_files.write("crl.pem", &list);
    network.merchant_identity.reload().expect("a good list");
    let status = ask(&channel, WHO).await.expect_err("revoked");
    assert!(is_transport(&status), "{status}");
}

#[test]
fn an_identity_that_peers_would_refuse_does_not_load() {
    let authority = Authority::new("network");
    let other = Authority::new("another network");
    let uri = spiffe("merchant/shop-1");
    let good = authority.member("merchant/shop-1");
    let cases = [
        ("the network's authority", other.member("merchant/shop-1")),
        ("one SPIFFE id", authority.leaf(&[], Duration::hours(1))),
        ("refused by our peers", authority.leaf(&[&uri], Duration::minutes(-1))),
        (
            "belong to each other",
            Leaf { certificate: good.certificate.clone(), key: authority.member("merchant/shop-1").key, serial: 0 },
        ),
        ("convert it to PKCS#8", Leaf { certificate: good.certificate.clone(), key: "no key".to_owned(), serial: 0 }),
        ("BEGIN CERTIFICATE", Leaf { certificate: String::new(), key: good.key.clone(), serial: 0 }),
    ];
    for (advice, leaf) in cases {
        let error = Files::new(&authority, &leaf).load().expect_err("must not load").to_string();
        assert!(error.contains(advice), "{error}");
        assert!(error.contains("own."), "names the file: {error}");
    }
    let files = Files::new(&authority, &good);
    std::fs::remove_file(files.path("ca.pem")).expect("a file");
    let error = files.load().expect_err("must not load").to_string();
    assert!(error.contains("ca.pem"), "{error}");
}
