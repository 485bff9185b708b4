//! The issuer's configuration file.

use std::path::{Path, PathBuf};

use mesh::{
    admin,
    boot::RoleConfig,
    config::{
        Config, FieldError, ListenConfig, MembershipConfig, PageListenConfig, Period, StoreConfig, TelemetryConfig,
        TlsFiles, resolve,
    },
    identity::TrustDomain,
    serve,
};
use proto::ids::IssuerId;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{auth::PasswordConfig, vault::VerificationProfile};

mod app;
mod audit;
mod devices;
mod limits;
mod passkeys;
mod policy;
mod retention;
mod vault;

pub use app::{AppConfig, AppPlatformConfig};
pub use audit::AuditConfig;
pub use devices::{DeviceLimits, FeatureLimits};
pub use limits::{AuthLimits, ChargeLimits};
pub use passkeys::PasskeyConfig;
pub use policy::{AmountConfig, DeviceState, LowValueConfig, PolicyConfig, Profile, RequirementConfig, RuleConfig};
pub use retention::RetentionConfig;
pub use vault::VaultFiles;

/// The operations port's name in the configuration.
pub(crate) const OPERATIONS: &str = "listen.operations";

/// The pages' port's name in the configuration.
pub(crate) const APP: &str = "listen.app";

/// The whole file. `issuer.sample.toml` shows every field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// This bank's id in the network, which must be the one in its certificates.
    #[serde(deserialize_with = "from_text")]
    pub issuer_id: IssuerId,
    /// The network.
    pub trust_domain: TrustDomain,
    /// The ports.
    pub listen: Listen,
    /// Our certificate in the network: for outgoing calls, and for devices unless `device_tls` is there.
    pub tls: TlsFiles,
    /// A certificate for devices alone, typically of a public authority.
    pub device_tls: Option<DeviceTls>,
    /// The key that signs authorization requests.
    pub signing: SigningFiles,
    /// The keys that encrypt what is kept.
    pub vault: VaultFiles,
    /// Where the state is kept.
    pub store: StoreConfig,
    /// The platform that relays to the acquirers and publishes the bank directory. Without it the acquirers
    /// are called directly.
    pub platform: Option<MembershipConfig>,
    /// Who the acquirers are, and what verifies their signatures. With a platform it is the directory to
    /// begin with, as long as there is no copy of the platform's, and may be left out.
    pub directory: Option<DirectoryFiles>,
    /// Where card verification values come from.
    #[serde(default)]
    pub card_verification: VerificationProfile,
    /// Sign-in and sessions.
    #[serde(default)]
    pub auth: AuthLimits,
    /// How passwords are hashed.
    #[serde(default)]
    pub passwords: PasswordConfig,
    /// Bound devices.
    #[serde(default)]
    pub devices: DeviceLimits,
    /// Biometric features.
    #[serde(default)]
    pub features: FeatureLimits,
    /// Passkeys; without this table they are not offered.
    pub passkeys: Option<PasskeyConfig>,
    /// Which proofs let a customer in, and which pay.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// Charges.
    #[serde(default)]
    pub charges: ChargeLimits,
    /// The bank's app in browsers; without this table and the port `listen.app` there is none.
    pub app: Option<AppConfig>,
    /// How long what is finished is kept.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// The audit trail.
    #[serde(default)]
    pub audit: AuditConfig,
    /// The device port.
    #[serde(default)]
    pub serve: serve::Limits,
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
    /// For customers' devices: server TLS, no client certificate.
    pub devices: ListenConfig,
    /// The bank's app for browsers: TLS by `device_tls` or our own certificate, or plain HTTP behind a proxy.
    pub app: Option<PageListenConfig>,
    /// Plain HTTP on a loopback address: the process's numbers. Without this table there is no such port.
    pub admin: Option<ListenConfig>,
    /// For the bank's own people (`issuer operate`): mutual TLS, and nobody but the bank's own certificate. Without
    /// this table there is no such port.
    pub operations: Option<ListenConfig>,
}

/// A certificate for devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceTls {
    /// The certificate, followed by intermediates if there are any.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The signing certificate and its key, in PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, PKCS #8.
    pub key: PathBuf,
}

/// The bank directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFiles {
    /// The directory file that the operator has signed. Without a platform it is read again when it changes.
    pub file: PathBuf,
}

impl Config for IssuerConfig {
    fn validate(&self) -> Vec<FieldError> {
        let platform = self.platform.as_ref().map(MembershipConfig::validate);
        let directory = match (&self.platform, &self.directory) {
            (None, None) => vec![FieldError::new("file", "must be set where there is no table `platform`")],
            (Some(_), Some(_) | None) | (None, Some(_)) => Vec::new(),
        };
        let admin = self.listen.admin.as_ref().map(ListenConfig::validate_loopback);
        let parts = [
            (admin::LISTENER, admin.unwrap_or_default()),
            (APP, self.listen.app.as_ref().map(PageListenConfig::validate).unwrap_or_default()),
            ("app", self.check_app()),
            ("directory", directory),
            ("platform", platform.unwrap_or_default()),
            ("vault", self.vault.validate()),
            ("store", self.store.validate()),
            ("auth", self.auth.validate()),
            ("passwords", self.passwords.validate()),
            ("devices", self.devices.validate()),
            ("features", self.features.validate()),
            ("passkeys", self.passkeys.as_ref().map(PasskeyConfig::validate).unwrap_or_default()),
            ("policy", self.policy.validate(self.passkeys.is_some())),
            ("charges", self.charges.validate()),
            ("retention", self.retention.validate()),
            ("audit", self.audit.validate()),
            ("serve", self.serve.validate()),
            ("telemetry", self.telemetry.validate()),
        ];
        parts.into_iter().flat_map(|(table, errors)| errors.into_iter().map(|error| error.under(table))).collect()
    }

    fn resolve_paths(&mut self, folder: &Path) {
        self.tls.resolve_paths(folder);
        if let Some(files) = &mut self.device_tls {
            resolve(&mut files.certificate, folder);
            resolve(&mut files.key, folder);
        }
        resolve(&mut self.signing.certificate, folder);
        resolve(&mut self.signing.key, folder);
        self.vault.resolve_paths(folder);
        self.store.resolve_paths(folder);
        self.audit.resolve_paths(folder);
        if let Some(platform) = &mut self.platform {
            platform.resolve_paths(folder);
        }
        if let Some(app) = &mut self.app {
            app.resolve_paths(folder);
        }
        if let Some(directory) = &mut self.directory {
            resolve(&mut directory.file, folder);
        }
    }
}

impl RoleConfig for IssuerConfig {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        let admin = self.listen.admin.iter().map(|admin| (admin::LISTENER, admin));
        let operations = self.listen.operations.iter().map(|operations| (OPERATIONS, operations));
        let app = self.listen.app.iter().map(|app| (APP, &app.listen));
        [("listen.devices", &self.listen.devices)].into_iter().chain(app).chain(admin).chain(operations).collect()
    }
}

impl IssuerConfig {
    /// What keeps the app from being served as it is configured.
    fn check_app(&self) -> Vec<FieldError> {
        match (&self.app, &self.listen.app) {
            (None, None) => Vec::new(),
            (None, Some(_)) => vec![FieldError::new("public_url", "must be set where there is a port `listen.app`")],
            (Some(_), None) => vec![FieldError::new("public_url", "needs a port `listen.app` to be served on")],
            (Some(app), Some(port)) => {
                let mut errors = app.validate(self.platform.is_some(), !port.has_tls());
                if self.policy.bind_sessions {
                    let problem = "can't be served with policy.bind_sessions: a page is loaded without a device's \
                                   signature, which such a session must carry in every call; leave one of the two out";
                    errors.push(FieldError::new("public_url", problem));
                }
                errors
            }
        }
    }
}

/// Reads an id from its text.
fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IssuerId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// More than zero, for the tables' own checks.
fn check_period(field: &str, period: Period, errors: &mut Vec<FieldError>) {
    if period.get().is_zero() {
        errors.push(FieldError::new(field, "must be more than zero"));
    }
}

#[cfg(test)]
mod tests;
