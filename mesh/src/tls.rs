//! Mutual TLS 1.3 between servers, server TLS towards devices.
//!
//! A [`TlsIdentity`] is read from PEM files and read again whenever they change. From it come the
//! configurations of both sides:
//!
//! - as a server, for members ([`ServerTls::mutual`]: a client certificate under the network's
//!   authority with exactly one SPIFFE id of our trust domain, not revoked) and for devices
//!   ([`ServerTls::device`]: no client certificate);
//! - as a client, for an [`ExpectedServer`]: the usual check of the DNS name or address, and on top of
//!   it the role and the member that must stand in the server's certificate.
//!
//! Sessions are never resumed, on either side: a resumed session skips the check of the certificate,
//! and with it the revocation list. For live connections there is a registry, [`Connections`]: each
//! new revocation list and each expiry ends the connections that it concerns.

mod connections;
mod material;
mod verify;

pub use connections::{Connections, Registration};
pub use verify::ExpectedServer;

use crate::config::TlsFiles;
use crate::identity::{IdentityError, SpiffeId, TrustDomain};
use arc_swap::ArcSwap;
use material::{Material, Source};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at. Together with the time a reload takes this must stay well below
/// the 5 seconds within which a revoked peer has to be refused.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// How long before its end our own certificate is warned about, and how often.
const OWN_CERTIFICATE_NOTICE: Duration = Duration::from_secs(24 * 3_600);
const WARN_INTERVAL: Duration = Duration::from_secs(3_600);

/// Why an identity can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{what} {}: cannot be read ({reason}); check the path and the file's permissions", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// A file isn't what it should be.
    #[error("{what} {}: {problem}", path.display())]
    Content {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The parts don't fit together.
    #[error("identity {}: {problem}", certificate.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The certificate names nobody.
    #[error("certificate {}: {source}; issue it again with one SPIFFE id", certificate.display())]
    Name {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong with the name.
        source: IdentityError,
    },
    /// The identity was loaded for devices and browsers alone and knows no peers.
    #[error("this identity has no authority to judge peers by; load it with one")]
    NoAuthority,
}

/// What [`TlsIdentity::reload`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The files have the content that is in use.
    Unchanged,
    /// The new content is in use, and this many live connections were ended by it.
    Swapped {
        /// Connections whose certificate the new authority or revocation list refuses.
        closed: usize,
    },
}

/// Our certificate, its key, and whom we trust; swapped as one when the files change.
#[derive(Debug)]
pub struct TlsIdentity {
    source: Source,
    current: ArcSwap<Material>,
    connections: Connections,
    notices: Mutex<Notices>,
    /// Held by a reload, so that of two at one time the later one sees what the earlier has done: a
    /// generation then stands for one content, and older files never replace newer ones.
    reloading: Mutex<()>,
}

/// What was said already, so that it isn't said every two seconds.
#[derive(Debug, Default)]
struct Notices {
    refused: Option<String>,
    warned: Option<Instant>,
}

impl TlsIdentity {
    /// Loads a member's identity: a certificate under the network's authority, with one SPIFFE id of
    /// the trust domain, good now.
    ///
    /// # Errors
    /// [`Error`], which names the file and says what to do.
    pub fn load(files: &TlsFiles, trust_domain: TrustDomain) -> Result<Arc<Self>, Error> {
        Self::from_source(Source::Member { files: files.clone(), trust_domain })
    }

    /// Loads a certificate for devices and browsers alone, typically of a public authority. It needs
    /// no SPIFFE id and serves [`ServerTls::device`] only.
    ///
    /// # Errors
    /// As [`TlsIdentity::load`].
    pub fn load_web(certificate: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        Self::from_source(Source::Web { certificate: certificate.to_owned(), key: key.to_owned() })
    }

    fn from_source(source: Source) -> Result<Arc<Self>, Error> {
        let bytes = source.read()?;
        let material = Material::build(&source, &bytes, None)?;
        Ok(Arc::new(Self {
            source,
            current: ArcSwap::from_pointee(material),
            connections: Connections::default(),
            notices: Mutex::default(),
            reloading: Mutex::default(),
        }))
    }

    /// Who we are; `None` for an identity that was loaded for the web.
    #[must_use]
    pub fn own_id(&self) -> Option<SpiffeId> {
        self.current.load().own_id.clone()
    }

    /// The last moment at which our certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.current.load().not_after
    }

    /// When the first of the revocation lists should have been replaced; `None` without any.
    #[must_use]
    pub fn revocations_until(&self) -> Option<SystemTime> {
        self.current.load().revocations_until()
    }

    /// Counts the swaps. A channel that was opened in an earlier generation still runs on the
    /// certificate, the authority and the revocation list of that time.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// The live connections that were accepted under this identity.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Reads the files again and, if they changed and are good, uses them from now on: for new
    /// connections at once, and for live ones by ending those that would now be refused.
    ///
    /// # Errors
    /// [`Error`]; the identity in use stays as it was.
    pub fn reload(&self) -> Result<Reload, Error> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.source.read()?;
        let current = self.current.load_full();
        if bytes.digest() == current.digest {
            return Ok(Reload::Unchanged);
        }
        let material = Arc::new(Material::build(&self.source, &bytes, Some(&current))?);
        // The order matters: whoever registers after the swap compares generations and judges itself
        // again, and whoever registered before it is found by this sweep.
        self.current.store(Arc::clone(&material));
        let closed = self.connections.close_chains(|chain| material.judge(chain).is_err());
        Ok(Reload::Swapped { closed })
    }

    /// Watches the files until `stop`: reloads them when they change, logs each change and each
    /// refusal once, and ends live connections whose certificate has expired.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let identity = Arc::clone(&self);
            // The files may lie on a slow disk or a network mount; a worker thread must not wait for it.
            let looked = tokio::task::spawn_blocking(move || identity.look_once()).await;
            if let Err(error) = looked {
                tracing::error!(panicked = error.is_panic(), "the certificate watch failed");
            }
        }
    }

    fn look_once(&self) {
        match self.reload() {
            Ok(Reload::Unchanged) => self.forget_refusal(),
            Ok(Reload::Swapped { closed }) => {
                self.forget_refusal();
                tracing::info!(
                    certificate = %self.source.certificate().display(),
                    generation = self.generation(),
                    closed,
                    "certificate files changed and are in use"
                );
            }
            Err(error) => self.log_refusal(&error),
        }
        let now = SystemTime::now();
        self.warn_of_time(now);
        let expired = self.connections.close_expired(now);
        if expired > 0 {
            tracing::info!(closed = expired, "peer certificates expired");
        }
    }

    fn log_refusal(&self, error: &Error) {
        let text = error.to_string();
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.refused.as_ref() != Some(&text) {
            tracing::error!(error = %text, "certificate files are refused; the old ones stay in use");
            notices.refused = Some(text);
        }
    }

    /// The files are good again, so that the next refusal is news even if it reads like the last.
    fn forget_refusal(&self) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).refused = None;
    }

    /// Warns once an hour of an own certificate about to end and of a revocation list past its time.
    /// An overdue list stays in use: to refuse everybody for want of a fresh one would let whoever
    /// holds back one file stop the network.
    fn warn_of_time(&self, now: SystemTime) {
        let material = self.current.load();
        let ends_soon = material.not_after.is_some_and(|end| end < now + OWN_CERTIFICATE_NOTICE);
        let overdue = material.revocations_until().is_some_and(|end| end < now);
        if !ends_soon && !overdue {
            return;
        }
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.warned.is_some_and(|last| last.elapsed() < WARN_INTERVAL) {
            return;
        }
        notices.warned = Some(Instant::now());
        let certificate = self.source.certificate().display();
        if ends_soon {
            tracing::warn!(%certificate, "our certificate ends within a day; renew it");
        }
        if overdue {
            tracing::warn!(%certificate, "a revocation list is past its next update; fetch a fresh one");
        }
    }

    /// Whether a client's chain is good under the identity in use now.
    pub(crate) fn judge(&self, chain: &[rustls_pki_types::CertificateDer<'_>]) -> bool {
        self.current.load().judge(chain).is_ok()
    }

    /// The configuration for one outgoing connection, made from the files in use now.
    ///
    /// # Errors
    /// [`Error::NoAuthority`] for a web identity.
    pub fn client_config(&self, expected: &ExpectedServer) -> Result<ClientConfig, Error> {
        self.current.load().client_config(expected)
    }
}

/// How a port speaks TLS.
#[derive(Clone, Debug)]
pub struct ServerTls {
    identity: Arc<TlsIdentity>,
    mutual: bool,
}

impl ServerTls {
    /// Members alone: a client certificate is required.
    ///
    /// # Errors
    /// [`Error::NoAuthority`] for a web identity.
    pub fn mutual(identity: Arc<TlsIdentity>) -> Result<Self, Error> {
        if identity.current.load().mutual.is_none() {
            return Err(Error::NoAuthority);
        }
        Ok(Self { identity, mutual: true })
    }

    /// Anyone: no client certificate is asked for.
    #[must_use]
    pub fn device(identity: Arc<TlsIdentity>) -> Self {
        Self { identity, mutual: false }
    }

    /// Whether a client certificate is required.
    #[must_use]
    pub fn is_mutual(&self) -> bool {
        self.mutual
    }

    /// The identity behind it.
    #[must_use]
    pub fn identity(&self) -> &Arc<TlsIdentity> {
        &self.identity
    }

    /// The configuration for the next handshake, and the generation that it belongs to.
    pub(crate) fn current(&self) -> (Arc<ServerConfig>, u64) {
        let material = self.identity.current.load();
        let config = match (&material.mutual, self.mutual) {
            (Some(mutual), true) => mutual,
            // A reload keeps the kind of source, so that a mutual port never gets here without its
            // verifier; and if it did, the pipeline refuses a caller without a peer.
            (Some(_) | None, false) | (None, true) => &material.device,
        };
        (Arc::clone(config), material.generation)
    }
}

/// The configuration of a device: it verifies the server against an authority and shows no
/// certificate of its own.
///
/// # Errors
/// [`Error`] where the authority's file can't be read.
pub fn device_client_config(authority: &Path) -> Result<ClientConfig, Error> {
    let roots: RootCertStore = material::read_roots(authority)?;
    material::device_client(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_refusal_is_said_again_after_the_files_were_good() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("web.pem"), folder.path().join("web.key"));
        let made = rcgen::generate_simple_self_signed(["pay.example".to_owned()]).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        let identity = TlsIdentity::load_web(&certificate, &key).unwrap();
        let refused = || identity.notices.lock().unwrap().refused.is_some();

        std::fs::write(&certificate, "half a certifi").unwrap();
        identity.look_once();
        assert!(refused());
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        identity.look_once();
        assert!(!refused());
    }
}
