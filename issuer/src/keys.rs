//! The issuer's keys: the signing key, read once at start, and the vault's, which can change.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh::{
    config::Environment,
    identity::Role,
    sealing::at_rest::{KeyRing, Vault, VaultError},
    signing::{Signer, SigningError},
};
use proto::ids::IssuerId;
use zeroize::Zeroizing;

use crate::config::{IssuerConfig, VaultFiles};

/// The issuer's keys. Nothing of them is printed.
pub struct Keys {
    /// Signs authorization requests and questions.
    pub signer: Signer,
    /// Encrypts card data at rest.
    pub vault: Vault,
}

/// Why a key cannot be used. No variant carries key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{what} {}: cannot be read ({kind}); check the path and the file's permissions", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        kind: std::io::ErrorKind,
    },
    /// The signing key and its certificate cannot be used.
    #[error("fields `signing.certificate` and `signing.key`: {0}")]
    Signing(#[from] SigningError),
    /// The signing certificate is somebody else's.
    #[error("field `signing.certificate`: is of {found}; it must be of issuer/{expected}")]
    OtherSigner {
        /// Who the certificate names.
        found: String,
        /// Who it must name.
        expected: IssuerId,
    },
    /// The vault's keys cannot be used.
    #[error("{from}: {problem}")]
    Vault {
        /// Where they come from.
        from: KeySource,
        /// What is wrong.
        problem: VaultError,
    },
    /// The configuration names no place of the vault's keys.
    #[error("field `vault.keys`: must be set, or `vault.keys_env`, and not both")]
    NoSource,
}

impl Keys {
    /// Reads every key. The vault's are given apart, too, for whoever watches them.
    ///
    /// # Errors
    /// [`KeyError`], which names the file or the variable.
    pub fn load(config: &IssuerConfig, environment: &dyn Environment) -> Result<(Self, VaultKeys), KeyError> {
        let certificate = read("signing certificate", &config.signing.certificate)?;
        let key = read("signing key", &config.signing.key)?;
        let signer = Signer::from_pem(&certificate, &key)?;
        let named = signer.identity();
        let is_ours = named.trust_domain() == &config.trust_domain
            && named.role() == Role::Issuer
            && named.member().as_str() == config.issuer_id.as_str();
        if !is_ours {
            return Err(KeyError::OtherSigner { found: named.to_string(), expected: config.issuer_id.clone() });
        }
        let kept = VaultKeys::load(&config.vault, environment)?;
        Ok((Self { signer, vault: kept.vault() }, kept))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("signer", &self.signer).finish_non_exhaustive()
    }
}

/// Where the vault's keys come from. Shows as the configuration's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which can change.
    File(PathBuf),
    /// An environment variable, which can't.
    Variable(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "field `vault.keys`, key file {}", path.display()),
            Self::Variable(name) => write!(f, "field `vault.keys_env`, environment variable {name}"),
        }
    }
}

/// The vault's keys as they were read, and where they came from.
#[derive(Clone, Debug)]
pub struct VaultKeys {
    source: KeySource,
    ring: Arc<KeyRing>,
}

impl VaultKeys {
    /// Reads the keys from where the configuration says. Blocks.
    ///
    /// # Errors
    /// [`KeyError::NoSource`] and [`KeyError::Vault`].
    pub fn load(files: &VaultFiles, environment: &dyn Environment) -> Result<Self, KeyError> {
        let (source, ring) = match (&files.keys, &files.keys_env) {
            (Some(path), None) => (KeySource::File(path.clone()), KeyRing::from_file(path)),
            (None, Some(name)) => (KeySource::Variable(name.clone()), KeyRing::from_environment(name, environment)),
            (None, None) | (Some(_), Some(_)) => return Err(KeyError::NoSource),
        };
        match ring {
            Ok(ring) => Ok(Self { source, ring: Arc::new(ring) }),
            Err(problem) => Err(KeyError::Vault { from: source, problem }),
        }
    }

    /// A vault with these keys.
    #[must_use]
    pub fn vault(&self) -> Vault {
        Vault::over(Arc::clone(&self.ring) as Arc<_>)
    }

    /// Where they came from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys.
    #[must_use]
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }
}

fn read(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unreadable = |error: std::io::Error| KeyError::Unreadable { what, path: path.to_owned(), kind: error.kind() };
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}
