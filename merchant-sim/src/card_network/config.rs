//! The card network's configuration file.

use std::path::Path;

use mesh::boot::RoleConfig;
use mesh::config::{Config, FieldError, ListenConfig, StoreConfig, TelemetryConfig, TlsFiles};
use mesh::identity::TrustDomain;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardNetworkConfig {
    /// The card network's own trust domain; needed with `tls`.
    pub trust_domain: Option<TrustDomain>,
    /// The ports.
    pub listen: Listen,
    /// Its certificate, and the authority whose acquirers it serves. Without it the line is a loopback one.
    pub tls: Option<TlsFiles>,
    /// Where the ledger is.
    pub store: StoreConfig,
    /// The log.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// The ports.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For acquirers.
    pub line: ListenConfig,
    /// For whoever tells it to fail.
    pub control: ListenConfig,
}

impl Config for CardNetworkConfig {
    fn validate(&self) -> Vec<FieldError> {
        let under = |parent: &str, errors: Vec<FieldError>| -> Vec<FieldError> {
            errors.into_iter().map(|error| error.under(parent)).collect()
        };
        let mut errors = under("listen.control", self.listen.control.validate_loopback());
        if self.tls.is_none() {
            errors.extend(under("listen.line", self.listen.line.validate_loopback()));
        }
        if self.tls.is_some() != self.trust_domain.is_some() {
            errors.push(FieldError::new("trust_domain", "must stand together with the table `tls`, or neither"));
        }
        errors.extend(under("store", self.store.validate()));
        errors.extend(under("telemetry", self.telemetry.validate()));
        errors
    }

    fn resolve_paths(&mut self, folder: &Path) {
        self.store.resolve_paths(folder);
        if let Some(tls) = &mut self.tls {
            tls.resolve_paths(folder);
        }
    }
}

impl RoleConfig for CardNetworkConfig {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        vec![("listen.line", &self.listen.line), ("listen.control", &self.listen.control)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::config::parse;

    use super::*;

    const PLAIN: &str = "[listen.line]\naddress = \"127.0.0.1:0\"\n[listen.control]\naddress = \"127.0.0.1:0\"\n\
                         [store]\nfolder = \"data\"\n";

    fn read(text: &str) -> Result<CardNetworkConfig, String> {
        parse(text, Path::new("card-network.toml"), Path::new("/srv/cards")).map_err(|error| error.to_string())
    }

    #[test]
    fn without_tls_nothing_leaves_the_machine() {
        assert_eq!(read(PLAIN).unwrap().store.folder, Path::new("/srv/cards/data"));
        for (place, field) in [(0, "`listen.line.address`"), (1, "`listen.control.address`")] {
            let parts: Vec<&str> = PLAIN.split("127.0.0.1").collect();
            let open = format!(
                "{}{}{}{}{}",
                parts[0],
                if place == 0 { "0.0.0.0" } else { "127.0.0.1" },
                parts[1],
                if place == 1 { "0.0.0.0" } else { "127.0.0.1" },
                parts[2]
            );
            let error = read(&open).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
        let error = read(&format!("trust_domain = \"cards.example\"\n{PLAIN}")).unwrap_err();
        assert!(error.contains("`trust_domain`"), "{error}");
    }
}
