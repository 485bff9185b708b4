//! Which card network decides, and how it is reached.

use std::path::{Path, PathBuf};

use mesh::{
    channel,
    config::{FieldError, TlsFiles, resolve},
    identity::{MemberId, TrustDomain},
};
use serde::Deserialize;

use crate::network::is_plain_line;

/// The card network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CardNetworkConfig {
    /// What it is.
    #[serde(default)]
    pub kind: CardNetworkKind,
    /// Where a remote one is: `https://host:port` with `tls`, or `http://` with a loopback address and a port for
    /// one on this machine.
    pub address: Option<String>,
    /// Our identity on its line, and its own.
    pub tls: Option<LineTls>,
}

/// What a card network is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum CardNetworkKind {
    /// Inside this process, over test cards.
    #[default]
    Simulated,
    /// At the end of a line, by the contract `CardNetwork`.
    Remote,
}

/// Mutual TLS on the line. A card network is no member of the network of banks: it has an authority and a trust
/// domain of its own, in which it is the platform between acquirers and issuers, and gives each acquirer its
/// certificate.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LineTls {
    /// The card network's name, as in `spiffe://<trust domain>/platform/<member>`.
    pub trust_domain: TrustDomain,
    /// The card network's id there.
    pub member: MemberId,
    /// Our certificate there, `spiffe://<trust domain>/acquirer/<our id>`, in PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The card network's authority.
    pub authority: PathBuf,
    /// Its revocation lists.
    pub revocations: Option<PathBuf>,
}

impl LineTls {
    /// The files, as every identity has them.
    #[must_use]
    pub fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            authority: self.authority.clone(),
            revocations: self.revocations.clone(),
        }
    }
}

impl CardNetworkConfig {
    pub(super) fn validate(&self) -> Vec<FieldError> {
        let wrong = |field: &str, problem: &str| vec![FieldError::new(field, problem)];
        match (self.kind, &self.address, &self.tls) {
            (CardNetworkKind::Simulated, None, None) => Vec::new(),
            (CardNetworkKind::Simulated, Some(_), _) => wrong("address", "needs kind = \"remote\""),
            (CardNetworkKind::Simulated, None, Some(_)) => wrong("tls", "needs kind = \"remote\""),
            (CardNetworkKind::Remote, None, _) => wrong("address", "must be set for a remote card network"),
            (CardNetworkKind::Remote, Some(address), Some(_)) if !channel::is_address(address) => {
                wrong("address", "must be https://host:port where there is a table `tls`")
            }
            (CardNetworkKind::Remote, Some(_), Some(_)) => Vec::new(),
            (CardNetworkKind::Remote, Some(address), None) if !is_plain_line(address) => {
                wrong("address", "must be http:// with a loopback address and a port, or have a table `tls`")
            }
            (CardNetworkKind::Remote, Some(_), None) => Vec::new(),
        }
    }

    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let Some(tls) = &mut self.tls else { return };
        for path in [&mut tls.certificate, &mut tls.key, &mut tls.authority].into_iter().chain(&mut tls.revocations) {
            resolve(path, folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TLS: &str = "[tls]\ntrust_domain = \"cards.example\"\nmember = \"cards\"\ncertificate = \"a.pem\"\n\
                       key = \"a.key\"\nauthority = \"/etc/cards/ca.pem\"\n";

    fn read(text: &str) -> CardNetworkConfig {
        let mut config: CardNetworkConfig = toml::from_str(text).unwrap();
        config.resolve_paths(Path::new("/etc/bankside"));
        config
    }

    #[test]
    fn without_a_word_the_network_is_the_simulated_one() {
        assert_eq!(read(""), CardNetworkConfig::default());
        assert_eq!(read("kind = \"simulated\"").validate(), []);
    }

    #[test]
    fn a_line_has_mutual_tls_or_stays_on_the_machine() {
        let plain = read("kind = \"remote\"\naddress = \"http://127.0.0.1:7600\"\n");
        assert_eq!(plain.validate(), []);
        let mutual = read(&format!("kind = \"remote\"\naddress = \"https://line.cards.example:7600\"\n{TLS}"));
        assert_eq!(mutual.validate(), []);
        let files = mutual.tls.unwrap().files();
        assert_eq!(files.certificate, Path::new("/etc/bankside/a.pem"));
        assert_eq!(files.authority, Path::new("/etc/cards/ca.pem"));
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        for (text, field) in [
            ("address = \"http://127.0.0.1:7600\"".to_owned(), "address"),
            (TLS.to_owned(), "tls"),
            ("kind = \"remote\"".to_owned(), "address"),
            ("kind = \"remote\"\naddress = \"http://10.0.0.1:7600\"".to_owned(), "address"),
            ("kind = \"remote\"\naddress = \"https://line.cards.example:7600\"".to_owned(), "address"),
            (format!("kind = \"remote\"\naddress = \"http://127.0.0.1:7600\"\n{TLS}"), "address"),
        ] {
            let fields: Vec<String> = read(&text).validate().into_iter().map(|error| error.field).collect();
            assert_eq!(fields, [field], "{text}");
        }
        assert!(toml::from_str::<CardNetworkConfig>("kind = \"real\"").is_err());
        assert!(toml::from_str::<CardNetworkConfig>("colour = 1").is_err());
    }
}
