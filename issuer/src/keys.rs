//! The issuer's keys, read once at start.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use mesh::{
    identity::Role,
    sealing::at_rest::{Vault, VaultError},
    signing::{Signer, SigningError},
};
use proto::ids::IssuerId;
use zeroize::Zeroizing;

use crate::config::IssuerConfig;

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
    #[error("field `vault.keys`: the key file cannot be used: {0}")]
    Vault(#[from] VaultError),
}

impl Keys {
    /// Reads every key file.
    ///
    /// # Errors
    /// [`KeyError`], which names the file.
    pub fn load(config: &IssuerConfig) -> Result<Self, KeyError> {
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
        Ok(Self { signer, vault: Vault::from_file(&config.vault.keys)? })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("signer", &self.signer).finish_non_exhaustive()
    }
}

fn read(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unreadable = |error: std::io::Error| KeyError::Unreadable { what, path: path.to_owned(), kind: error.kind() };
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}
