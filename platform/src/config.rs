//! The platform's configuration file. `platform.sample.toml` shows every field.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use mesh::{
    admin,
    boot::RoleConfig,
    config::{Config, FieldError, ListenConfig, PageListenConfig, StoreConfig, TelemetryConfig, TlsFiles, resolve},
    identity::{MemberId, TrustDomain},
    serve,
};
use proto::link::WebAddress;
use serde::{Deserialize, Deserializer, de::Error as _};

mod limits;

pub use limits::{CheckoutLimits, HealthLimits};

use crate::relay::RelayLimits;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformConfig {
    /// Our id, which must be the one in our certificates.
    pub platform: MemberId,
    /// The network's name, as in `spiffe://<trust domain>/`.
    pub trust_domain: TrustDomain,
    /// The ports.
    pub listen: Listen,
    /// Our certificate among members, and whom we trust.
    pub tls: TlsFiles,
    /// A certificate for devices and browsers, where it is another than the members'.
    pub web_tls: Option<WebTls>,
    /// The keys beside those of TLS.
    pub keys: KeysConfig,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// The bank directory.
    pub directory: DirectoryConfig,
    /// Checkouts.
    pub checkout: CheckoutConfig,
    /// How the banks' servers are probed.
    #[serde(default)]
    pub health: HealthLimits,
    /// Limits of the ports.
    #[serde(default)]
    pub serve: serve::Limits,
    /// Limits of the relay.
    #[serde(default)]
    pub relay: RelayLimits,
    /// Whether server reflection is on.
    #[serde(default)]
    pub reflection: bool,
    /// The log.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// The ports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// gRPC over mutual TLS, for acquirers, issuers and the operator.
    pub members: ListenConfig,
    /// gRPC over server TLS, for shoppers' devices and banks' apps.
    pub devices: ListenConfig,
    /// HTTPS for browsers, or plain HTTP on a loopback address: the bank picker.
    pub pages: PageListenConfig,
    /// Plain HTTP on a loopback address: the process's numbers.
    pub admin: ListenConfig,
}

/// A certificate for devices and browsers, typically of a public authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebTls {
    /// The certificate, followed by intermediates if there are any.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The keys beside those of TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The certificate under which the directory's heads are signed, role platform.
    pub signing_certificate: PathBuf,
    /// Its Ed25519 private key, PKCS #8.
    pub signing_key: PathBuf,
    /// The keys of the tickets, one `<number>:<32 bytes in hexadecimal>` a line, mode 0600. The first
    /// makes new tickets; a second one verifies too. All replicas have the same keys. To exchange the
    /// key, write the new one second everywhere, then first everywhere, and drop the old one a day later.
    pub tickets: PathBuf,
}

/// The bank directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The operator's signing certificates, PEM: whose entries are taken from now on.
    pub operator_certificates: Vec<PathBuf>,
    /// A directory file that the operator has signed. Members in it that the store doesn't know are
    /// added at each start; about all others the store knows better.
    pub first: Option<PathBuf>,
}

/// Checkouts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutConfig {
    /// Where browsers reach the bank picker, without a path: `https://pay.network.example`.
    #[serde(deserialize_with = "from_text")]
    pub public_url: WebAddress,
    /// The limits.
    #[serde(default)]
    pub limits: CheckoutLimits,
}

impl Config for PlatformConfig {
    fn validate(&self) -> Vec<FieldError> {
        let under = |parent: &str, errors: Vec<FieldError>| -> Vec<FieldError> {
            errors.into_iter().map(|error| error.under(parent)).collect()
        };
        let mut errors = Vec::new();
        errors.extend(under("store", self.store.validate()));
        errors.extend(under("checkout.limits", self.checkout.limits.validate()));
        errors.extend(under("health", self.health.validate()));
        errors.extend(under("serve", self.serve.validate()));
        errors.extend(under("relay", self.relay.validate()));
        errors.extend(under("telemetry", self.telemetry.validate()));
        if self.directory.operator_certificates.is_empty() {
            errors.push(FieldError::new("directory.operator_certificates", "must name at least one file"));
        }
        let base = self.checkout.public_url.as_str().splitn(4, '/').nth(3).unwrap_or_default();
        if !base.is_empty() || self.checkout.public_url.as_str().contains('?') {
            errors.push(FieldError::new("checkout.public_url", "must be an origin, without a path and a query"));
        }
        errors.extend(under("listen.pages", self.listen.pages.validate()));
        errors.extend(under(admin::LISTENER, self.listen.admin.validate_loopback()));
        errors
    }

    fn resolve_paths(&mut self, folder: &Path) {
        self.tls.resolve_paths(folder);
        self.store.resolve_paths(folder);
        if let Some(files) = &mut self.web_tls {
            resolve(&mut files.certificate, folder);
            resolve(&mut files.key, folder);
        }
        let keys = [&mut self.keys.signing_certificate, &mut self.keys.signing_key, &mut self.keys.tickets];
        let optional = self.directory.first.iter_mut().chain(self.health.authority.iter_mut());
        for path in keys.into_iter().chain(&mut self.directory.operator_certificates).chain(optional) {
            resolve(path, folder);
        }
    }
}

impl RoleConfig for PlatformConfig {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        vec![
            ("listen.members", &self.listen.members),
            ("listen.devices", &self.listen.devices),
            ("listen.pages", &self.listen.pages.listen),
            (admin::LISTENER, &self.listen.admin),
        ]
    }
}

/// Reads a text field as the type that it stands for.
fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests;
