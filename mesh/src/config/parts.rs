//! The tables that every role's configuration has.

use super::{FieldError, Period, resolve};
use crate::channel;
use crate::identity::MemberId;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One port to listen on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// The address and port, for example `0.0.0.0:7443`. Port 0 takes a free one, which the log names.
    pub address: SocketAddr,
}

impl ListenConfig {
    /// The address must be a loopback one, for a port without TLS.
    #[must_use]
    pub fn validate_loopback(&self) -> Vec<FieldError> {
        if self.address.ip().is_loopback() {
            return Vec::new();
        }
        vec![FieldError::new("address", "must be a loopback address: the port has no TLS")]
    }
}

/// A port for browsers.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PageListenTable")]
pub struct PageListenConfig {
    /// Where it listens.
    pub listen: ListenConfig,
    /// Whether it speaks TLS. Default: yes.
    pub tls: PageTls,
}

/// Whether a port for browsers speaks TLS itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PageTls {
    /// It does.
    #[default]
    On,
    /// It speaks plain HTTP, on a loopback address alone: to a proxy on this machine that ends TLS, or to
    /// a developer's browser.
    None,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageListenTable {
    address: SocketAddr,
    #[serde(default)]
    tls: PageTls,
}

impl From<PageListenTable> for PageListenConfig {
    fn from(table: PageListenTable) -> Self {
        Self { listen: ListenConfig { address: table.address }, tls: table.tls }
    }
}

impl PageListenConfig {
    /// Without TLS the address must be a loopback one.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        if self.has_tls() || self.listen.address.ip().is_loopback() {
            return Vec::new();
        }
        let problem = "\"none\" needs a loopback address, which a proxy on this machine that ends TLS passes on to; \
                       leave it out, or listen on 127.0.0.1";
        vec![FieldError::new("tls", problem)]
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls == PageTls::On
    }
}

/// The PEM files of one identity. All of them are read again when they change.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate, followed by intermediates if there are any.
    pub certificate: PathBuf,
    /// Our private key, PKCS#8, SEC1 or PKCS#1. Readable by this process alone.
    pub key: PathBuf,
    /// The certificates of the authorities whose peers we accept.
    pub authority: PathBuf,
    /// Revocation lists. With a list given, every authority needs one: a certificate whose issuer has
    /// no list is refused.
    pub revocations: Option<PathBuf>,
}

impl TlsFiles {
    /// Makes the paths relative to `folder`, where they are relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        resolve(&mut self.certificate, folder);
        resolve(&mut self.key, folder);
        resolve(&mut self.authority, folder);
        if let Some(path) = &mut self.revocations {
            resolve(path, folder);
        }
    }
}

/// What goes to the log, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// A tracing filter, for example `info,mesh=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Human }
    }
}

impl TelemetryConfig {
    /// The filter must parse.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        match tracing_subscriber::EnvFilter::try_new(&self.filter) {
            Ok(_) => Vec::new(),
            Err(error) => vec![FieldError::new(
                "filter",
                format!("is not a tracing filter ({error}); write for example \"info,mesh=debug\""),
            )],
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Where the embedded store keeps its files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The folder, for this process alone.
    pub folder: PathBuf,
    /// Memory for the cache, in MiB.
    #[serde(default = "default_cache_mib")]
    pub cache_mib: u32,
}

/// Enough for a few hundred thousand orders, and small beside any server's memory.
fn default_cache_mib() -> u32 {
    64
}

impl StoreConfig {
    /// The cache must have a size.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        if self.cache_mib == 0 {
            return vec![FieldError::new("cache_mib", "must be at least 1")];
        }
        Vec::new()
    }

    /// Makes the folder relative to `folder`, where it is relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        resolve(&mut self.folder, folder);
    }
}

/// The platform that an acquirer or an issuer takes part in.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct MembershipConfig {
    /// The platform's id: the last part of `spiffe://<trust domain>/platform/<id>`. No other platform counts.
    pub id: MemberId,
    /// Where its members' port is, `https://host:port`.
    pub endpoint: String,
    /// Where the last good copy of its bank directory is kept, to start with while the platform is away.
    pub directory_copy: PathBuf,
    /// How long a start without any directory waits for the platform's. Default 10 s.
    #[serde(default = "default_first_directory_wait")]
    pub first_directory_wait: Period,
}

fn default_first_directory_wait() -> Period {
    Period::new(Duration::from_secs(10))
}

impl MembershipConfig {
    /// The endpoint must be an address, and the wait more than zero.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !channel::is_address(&self.endpoint) {
            errors.push(FieldError::new("endpoint", "must be https://host:port"));
        }
        if self.first_directory_wait.get().is_zero() {
            errors.push(FieldError::new("first_directory_wait", "must be more than zero"));
        }
        errors
    }

    /// Makes the copy's path relative to `folder`, where it is relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        resolve(&mut self.directory_copy, folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let config = TelemetryConfig { filter: "mesh=loud".to_owned(), format: LogFormat::Json };
        let errors = config.validate();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].clone().under("telemetry").field, "telemetry.filter");
        assert!(TelemetryConfig::default().validate().is_empty());
    }

    #[test]
    fn plain_http_is_for_loopback_addresses_alone() {
        let config = |text: &str| toml::from_str::<PageListenConfig>(text);
        for (text, has_tls, fields) in [
            ("address = \"0.0.0.0:8443\"", true, &[][..]),
            ("address = \"0.0.0.0:8443\"\ntls = \"on\"", true, &[]),
            ("address = \"127.0.0.1:8080\"\ntls = \"none\"", false, &[]),
            ("address = \"[::1]:8080\"\ntls = \"none\"", false, &[]),
            ("address = \"0.0.0.0:8080\"\ntls = \"none\"", false, &["tls"]),
            ("address = \"192.168.0.1:8080\"\ntls = \"none\"", false, &["tls"]),
        ] {
            let config = config(text).expect("it parses");
            let wrong: Vec<String> = config.validate().into_iter().map(|error| error.field).collect();
            assert_eq!(
                (config.has_tls(), wrong.as_slice()),
                (has_tls, &fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        for wrong in ["address = \"127.0.0.1:1\"\ntls = \"off\"", "address = \"127.0.0.1:1\"\nport = 1"] {
            assert!(config(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_platform_without_an_address_or_a_wait_is_named() {
        let config = |text: &str| toml::from_str::<MembershipConfig>(text).expect("it parses");
        let good = "id = \"hub\"\nendpoint = \"https://hub.example:7443\"\ndirectory_copy = \"copy\"\n";
        assert_eq!(config(good).validate(), []);
        assert_eq!(config(good).first_directory_wait, default_first_directory_wait());
        let wrong = good.replace("https://", "http://") + "first_directory_wait = \"0s\"\n";
        let fields: Vec<String> = config(&wrong).validate().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["endpoint", "first_directory_wait"]);
        assert!(toml::from_str::<MembershipConfig>(&good.replace("hub\"", "Hub!\"")).is_err());
    }
}
