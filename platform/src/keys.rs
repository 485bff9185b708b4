//! The platform's keys and whom it trusts, read once at start.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mesh::{
    identity::{MemberId, Role, TrustDomain},
    signing::{Signer, SigningError, SigningTrust},
};

use proto::{pb, signed::SignedBody};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{
    config::PlatformConfig,
    ticket::{TicketKey, TicketKeys},
};

/// More than any of the files has.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The bits of a file's mode that let anybody but its owner in.
const OTHERS: u32 = 0o077;

/// The platform's keys. Nothing of them is printed.
pub struct Keys {
    /// Signs the directory's heads.
    pub seal: Seal,
    /// Makes and verifies tickets.
    pub tickets: TicketKeys,
    /// The network's authorities, and what they have revoked.
    pub trust: SigningTrust,
    /// The operator's signing certificates in DER form, by which new entries are judged.
    pub operators: Vec<Bytes>,
}

/// Signs what the platform says.
#[derive(Clone, Debug)]
pub struct Seal(Signer);

/// Why a key or a certificate can't be used. No variant carries key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file can't be read.
    #[error("{what} {}: cannot be read ({kind}); check the path and the file's permissions", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        kind: std::io::ErrorKind,
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
    /// The signing key and its certificate can't be used.
    #[error("fields `keys.signing_certificate` and `keys.signing_key`: {0}")]
    Signing(#[from] SigningError),
    /// The signing certificate is somebody else's.
    #[error("field `keys.signing_certificate`: is of {found}; it must be of spiffe://{domain}/platform/{expected}")]
    OtherSigner {
        /// Whom the certificate names.
        found: String,
        /// Our network.
        domain: TrustDomain,
        /// Our id.
        expected: MemberId,
    },
}

impl Keys {
    /// Reads every key and certificate.
    ///
    /// # Errors
    /// [`KeyError`], which names the file.
    pub fn load(config: &PlatformConfig) -> Result<Self, KeyError> {
        let trust = load_trust(&config.tls.authority, config.tls.revocations.as_deref())?;
        let certificate = read("signing certificate", &config.keys.signing_certificate)?;
        let key = read("signing key", &config.keys.signing_key)?;
        let signer = Signer::from_pem(&certificate, &key)?;
        // Members would refuse every head of a certificate that doesn't lead to the network's authority.
        let named = trust.certificate(signer.certificate_der())?.identity().clone();
        let is_ours = named.role() == Role::Platform
            && named.trust_domain() == &config.trust_domain
            && named.member() == &config.platform;
        if !is_ours {
            let (domain, expected) = (config.trust_domain.clone(), config.platform.clone());
            return Err(KeyError::OtherSigner { found: named.to_string(), domain, expected });
        }
        let mut operators = Vec::new();
        for path in &config.directory.operator_certificates {
            operators
                .extend(certificates("operator's certificate", path)?.iter().map(|der| Bytes::copy_from_slice(der)));
        }
        Ok(Self { seal: Seal(signer), tickets: load_tickets(&config.keys.tickets)?, trust, operators })
    }
}

impl Seal {
    /// Signs with this key.
    #[must_use]
    pub const fn new(signer: Signer) -> Self {
        Self(signer)
    }

    /// Serialises a message once and signs those bytes.
    #[must_use]
    pub fn sign<M: SignedBody>(&self, message: &M) -> pb::Signed {
        let body = Bytes::from(message.encode_to_vec());
        let signature = Bytes::copy_from_slice(&self.0.sign(M::NAME, &body));
        pb::Signed { key_id: self.0.key_id().to_string(), signature, body }
    }

    /// The certificate that verifies it, in DER form.
    #[must_use]
    pub fn certificate(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.certificate_der())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("seal", &self.seal).finish_non_exhaustive()
    }
}

/// The keys of the tickets: the first line's makes them, the second's verifies too.
///
/// # Errors
/// [`KeyError::Unreadable`]; [`KeyError::Content`] for a file that others may read, and for what is no key.
pub fn load_tickets(path: &Path) -> Result<TicketKeys, KeyError> {
    const WHAT: &str = "ticket keys";
    let wrong = |problem: &str| KeyError::Content { what: WHAT, path: path.to_owned(), problem: problem.to_owned() };
    let file = File::open(path).map_err(|error| unreadable(WHAT, path, &error))?;
    // The opened file is asked, not the path, so that what was checked is what is read.
    let mode = file.metadata().map_err(|error| unreadable(WHAT, path, &error))?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(wrong("others may read it; make it readable by its owner alone (chmod 600)"));
    }
    let bytes = read_open(WHAT, path, file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is no text"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<TicketKey> = lines
        .map(|line| {
            ticket_key(line).ok_or_else(|| wrong("each line must be <number from 0 to 255>:<64 hexadecimal digits>"))
        })
        .collect::<Result<_, _>>()?;
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next(), keys.next()) {
        (Some(current), Some(previous), None) if current.number() == previous.number() => {
            Err(wrong("the two keys must have different numbers"))
        }
        (Some(current), previous, None) => Ok(TicketKeys::new(current, previous)),
        (Some(_), _, Some(_)) | (None, _, _) => Err(wrong("must hold one key or two")),
    }
}

fn ticket_key(line: &str) -> Option<TicketKey> {
    let (number, digits) = line.split_once(':')?;
    let bytes = Zeroizing::new(data_encoding::HEXLOWER_PERMISSIVE.decode(digits.trim().as_bytes()).ok()?);
    let secret = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
    Some(TicketKey::new(number.trim().parse().ok()?, &secret))
}

fn load_trust(authority: &Path, revocations: Option<&Path>) -> Result<SigningTrust, KeyError> {
    let trust = SigningTrust::new(certificates("authority", authority)?)?;
    let Some(path) = revocations else { return Ok(trust) };
    let what = "revocation list";
    let pem = read(what, path)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| not_pem(what, path, &error))?;
    Ok(trust.with_crls(lists.iter().map(AsRef::as_ref))?)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, KeyError> {
    let pem = read(what, path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| not_pem(what, path, &error))?;
    if found.is_empty() {
        let problem = "holds no section `-----BEGIN CERTIFICATE-----`; check that it is the right file".to_owned();
        return Err(KeyError::Content { what, path: path.to_owned(), problem });
    }
    Ok(found)
}

fn not_pem(what: &'static str, path: &Path, error: &dyn fmt::Display) -> KeyError {
    KeyError::Content { what, path: path.to_owned(), problem: format!("is not well-formed PEM ({error})") }
}

fn read(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let file = File::open(path).map_err(|error| unreadable(what, path, &error))?;
    read_open(what, path, file)
}

fn read_open(what: &'static str, path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| unreadable(what, path, &error))?;
    Ok(bytes)
}

fn unreadable(what: &'static str, path: &Path, error: &std::io::Error) -> KeyError {
    KeyError::Unreadable { what, path: path.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, Permissions};

    use super::*;

    fn load(text: &str, mode: u32) -> Result<TicketKeys, KeyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ticket.keys");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        load_tickets(&path)
    }

    #[test]
    fn one_key_or_two_are_taken() {
        let (one, two) = ("ab".repeat(32), "CD".repeat(32));
        load(&format!("1:{one}\n"), 0o600).unwrap();
        load(&format!("# the new one first\n2: {two}\n\n1:{one}"), 0o400).unwrap();
    }

    #[test]
    fn anything_else_is_refused_without_a_word_of_the_key() {
        let key = "ab".repeat(32);
        for (text, mode, says) in [
            (format!("1:{key}"), 0o640, "chmod 600"),
            (String::new(), 0o600, "one key or two"),
            (format!("1:{key}\n2:{key}\n3:{key}"), 0o600, "one key or two"),
            (format!("1:{key}\n1:{key}"), 0o600, "different numbers"),
            (key.clone(), 0o600, "each line"),
            (format!("1:{key}ab"), 0o600, "each line"),
            (format!("256:{key}"), 0o600, "each line"),
            (format!("1:{}", "xy".repeat(32)), 0o600, "each line"),
        ] {
            let error = load(&text, mode).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("abab"), "{error}");
        }
        let missing = load_tickets(Path::new("/nonexistent/ticket.keys")).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/ticket.keys"), "{missing}");
    }
}
