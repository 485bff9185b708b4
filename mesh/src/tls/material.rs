//! What the PEM files hold, parsed, checked against each other and made into configurations.

use super::Error;
use super::verify::{ExpectedServer, MemberClients, MemberServer};
use crate::config::TlsFiles;
use crate::identity::{LeafCertificate, SpiffeId, TrustDomain};
use ring::digest::{Context, SHA256};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";
const AUTHORITY: &str = "authority";
const REVOCATIONS: &str = "revocation list";

/// Where an identity comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A member of the network.
    Member { files: TlsFiles, trust_domain: TrustDomain },
    /// A certificate for devices and browsers.
    Web { certificate: PathBuf, key: PathBuf },
}

impl Source {
    pub(super) fn certificate(&self) -> &Path {
        match self {
            Self::Member { files, .. } => &files.certificate,
            Self::Web { certificate, .. } => certificate,
        }
    }

    fn key(&self) -> &Path {
        match self {
            Self::Member { files, .. } => &files.key,
            Self::Web { key, .. } => key,
        }
    }

    pub(super) fn read(&self) -> Result<Bytes, Error> {
        let (authority, revocations) = match self {
            Self::Member { files, .. } => {
                let revocations = match &files.revocations {
                    Some(path) => Some(read(REVOCATIONS, path)?),
                    None => None,
                };
                (Some(read(AUTHORITY, &files.authority)?), revocations)
            }
            Self::Web { .. } => (None, None),
        };
        Ok(Bytes {
            certificate: read(CERTIFICATE, self.certificate())?,
            key: zeroize::Zeroizing::new(read(KEY, self.key())?),
            authority,
            revocations,
        })
    }
}

/// The files as they were read.
pub(super) struct Bytes {
    certificate: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
    authority: Option<Vec<u8>>,
    revocations: Option<Vec<u8>>,
}

impl Bytes {
    /// Tells one content from another. It is kept in memory alone.
    pub(super) fn digest(&self) -> [u8; 32] {
        digest(&[
            &self.certificate,
            &self.key,
            self.authority.as_deref().unwrap_or_default(),
            self.revocations.as_deref().unwrap_or_default(),
        ])
    }

    /// As [`Bytes::digest`], without the revocation list.
    fn digest_without_revocations(&self) -> [u8; 32] {
        digest(&[&self.certificate, &self.key, self.authority.as_deref().unwrap_or_default()])
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// One generation of an identity.
pub(super) struct Material {
    pub(super) generation: u64,
    pub(super) digest: [u8; 32],
    digest_without_revocations: [u8; 32],
    pub(super) own_id: Option<SpiffeId>,
    pub(super) not_after: Option<SystemTime>,
    /// For members; `None` for a web identity.
    pub(super) mutual: Option<Arc<ServerConfig>>,
    pub(super) device: Arc<ServerConfig>,
    trust: Option<Trust>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Whom a member trusts.
struct Trust {
    domain: TrustDomain,
    clients: Arc<MemberClients>,
    roots: Arc<RootCertStore>,
    revocations: Vec<CertificateRevocationListDer<'static>>,
    /// The earliest next update of the lists.
    revocations_until: Option<SystemTime>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material")
            .field("generation", &self.generation)
            .field("own_id", &self.own_id)
            .finish_non_exhaustive()
    }
}

impl Material {
    /// Builds the generation that follows `previous`, or the first.
    pub(super) fn build(source: &Source, bytes: &Bytes, previous: Option<&Self>) -> Result<Self, Error> {
        let digest_without_revocations = bytes.digest_without_revocations();
        let own = match previous {
            Some(old) if old.digest_without_revocations == digest_without_revocations => Own::Kept,
            Some(_) | None => Own::New,
        };
        let certificate = source.certificate();
        let chain = certificates(CERTIFICATE, certificate, &bytes.certificate)?;
        let key = private_key(source.key(), &bytes.key)?;
        let (trust, leaf) = match source {
            Source::Member { files, trust_domain } => {
                let trust = Trust::build(files, trust_domain, bytes)?;
                let leaf = own_leaf(files, &chain, &trust, own)?;
                (Some(trust), Some(leaf))
            }
            Source::Web { .. } => (None, None),
        };
        let mutual = match &trust {
            Some(trust) => Some(server_config(certificate, Some(Arc::clone(&trust.clients)), &chain, &key)?),
            None => None,
        };
        Ok(Self {
            generation: previous.map_or(0, |old| old.generation + 1),
            digest: bytes.digest(),
            digest_without_revocations,
            not_after: leaf.as_ref().map(|leaf| leaf.not_after),
            own_id: leaf.map(|leaf| leaf.id),
            mutual,
            device: server_config(certificate, None, &chain, &key)?,
            trust,
            chain,
            key,
        })
    }

    pub(super) fn revocations_until(&self) -> Option<SystemTime> {
        self.trust.as_ref()?.revocations_until
    }

    /// Judges a client's chain now, as a new handshake would.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (Some(trust), Some((leaf, intermediates))) = (&self.trust, chain.split_first()) else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        trust.clients.verify_client_cert(leaf, intermediates, UnixTime::now()).map(|_| ())
    }

    pub(super) fn client_config(&self, expected: &ExpectedServer) -> Result<ClientConfig, Error> {
        let trust = self.trust.as_ref().ok_or(Error::NoAuthority)?;
        let refused = |problem: String| Error::Identity { certificate: PathBuf::from("(in memory)"), problem };
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
            .with_crls(trust.revocations.iter().cloned())
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let verifier = MemberServer { chain, trust_domain: trust.domain.clone(), expected: expected.clone() };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| refused(error.to_string()))?;
        finish_client(&mut config);
        Ok(config)
    }
}

impl Trust {
    fn build(files: &TlsFiles, domain: &TrustDomain, bytes: &Bytes) -> Result<Self, Error> {
        let authority = bytes.authority.as_deref().unwrap_or_default();
        let roots = Arc::new(roots(&files.authority, authority)?);
        let revocations = match (&files.revocations, &bytes.revocations) {
            (Some(path), Some(pem)) => revocation_lists(path, pem)?,
            (Some(_) | None, _) => Vec::new(),
        };
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .with_crls(revocations.iter().cloned())
            .build()
            .map_err(|error| Error::Content {
                what: AUTHORITY,
                path: files.authority.clone(),
                problem: format!("cannot be used together with its revocation list ({error})"),
            })?;
        Ok(Self {
            domain: domain.clone(),
            clients: Arc::new(MemberClients { chain, trust_domain: domain.clone() }),
            roots,
            revocations_until: revocations.iter().filter_map(next_update).min(),
            revocations,
        })
    }
}

/// Whether our own certificate came with this reload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    New,
    /// Nothing but the revocation list is new. That we have expired or were revoked must not keep us
    /// from refusing others.
    Kept,
}

/// Reads our own certificate and makes it pass the very check that our peers will make. With it, the
/// revocation lists are judged too: under lists of another authority nobody's status is known, and
/// every peer would be refused.
fn own_leaf(
    files: &TlsFiles,
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    own: Own,
) -> Result<LeafCertificate, Error> {
    let path = &files.certificate;
    let (leaf, intermediates) = chain.split_first().ok_or(Error::NoAuthority)?;
    let parsed = LeafCertificate::parse(leaf).map_err(|source| Error::Name { certificate: path.clone(), source })?;
    // A certificate that has expired is judged at its last moment, and then only its time was wrong.
    let time = match own {
        Own::New => SystemTime::now(),
        Own::Kept => SystemTime::now().min(parsed.not_after),
    };
    let time = UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default());
    let Err(error) = trust.clients.verify_client_cert(leaf, intermediates, time) else {
        return Ok(parsed);
    };
    match (own, &files.revocations) {
        (Own::Kept, _) if error == rustls::Error::InvalidCertificate(CertificateError::Revoked) => Ok(parsed),
        (Own::Kept, Some(path)) => Err(Error::Content {
            what: REVOCATIONS,
            path: path.clone(),
            problem: format!(
                "would make us refuse every peer, as it does ourselves ({error}); it must hold a list of each of \
                 the network's authorities"
            ),
        }),
        (Own::New, _) | (Own::Kept, None) => Err(Error::Identity {
            certificate: path.clone(),
            problem: format!(
                "our own certificate would be refused by our peers ({error}); issue it again under \
                 the network's authority, for both server and client use"
            ),
        }),
    }
}

fn server_config(
    path: &Path,
    clients: Option<Arc<MemberClients>>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let refused = |error: rustls::Error| Error::Identity {
        certificate: path.to_owned(),
        problem: format!(
            "certificate and private key cannot be used together ({error}); check that they belong \
             to each other"
        ),
    };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]).map_err(refused)?;
    let is_mutual = clients.is_some();
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain.to_vec(), key.clone_key()).map_err(refused)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec()];
    if !is_mutual {
        // Browsers, and gRPC-Web among them, may speak HTTP/1.1.
        config.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(Arc::new(config))
}

pub(super) fn device_client(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| Error::Identity { certificate: PathBuf::from("(none)"), problem: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    finish_client(&mut config);
    Ok(config)
}

fn finish_client(config: &mut ClientConfig) {
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec()];
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring_provider::default_provider())
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::Unreadable { what, path: path.to_owned(), reason: error.to_string() })
}

pub(super) fn read_roots(path: &Path) -> Result<RootCertStore, Error> {
    roots(path, &read(AUTHORITY, path)?)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(AUTHORITY, path, pem)? {
        store.add(certificate).map_err(|error| Error::Content {
            what: AUTHORITY,
            path: path.to_owned(),
            problem: format!("has a certificate that cannot be an authority ({error})"),
        })?;
    }
    Ok(store)
}

fn certificates(what: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wanted = "-----BEGIN CERTIFICATE-----";
    sections(what, path, CertificateDer::pem_slice_iter(pem), wanted)
}

fn revocation_lists(path: &Path, pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let wanted = "-----BEGIN X509 CRL-----";
    let iter = CertificateRevocationListDer::pem_slice_iter(pem);
    sections(REVOCATIONS, path, iter, wanted)
}

fn sections<T>(
    what: &'static str,
    path: &Path,
    iter: impl Iterator<Item = Result<T, rustls_pki_types::pem::Error>>,
    wanted: &str,
) -> Result<Vec<T>, Error> {
    let refused = |problem: String| Error::Content { what, path: path.to_owned(), problem };
    let items = iter
        .collect::<Result<Vec<T>, _>>()
        .map_err(|error| refused(format!("is not well-formed PEM ({error}); export it again")))?;
    if items.is_empty() {
        return Err(refused(format!("holds no section `{wanted}`; check that it is the right file, in PEM form")));
    }
    Ok(items)
}

/// The moment by which the issuer means to publish the next list.
fn next_update(list: &CertificateRevocationListDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
    let seconds = u64::try_from(parsed.next_update()?.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    // The parser's error could quote a part of the file, and this file is a secret.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| Error::Content {
        what: KEY,
        path: path.to_owned(),
        problem: "holds no private key in PEM form; convert it to PKCS#8, for example with \
                  `openssl pkcs8 -topk8 -nocrypt`"
            .to_owned(),
    })
}
