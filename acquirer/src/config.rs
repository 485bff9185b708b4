//! The acquirer's configuration file. `acquirer.sample.toml` shows every field.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use mesh::{
    admin,
    boot::RoleConfig,
    config::{
        Config, FieldError, ListenConfig, MembershipConfig, PageListenConfig, Period, StoreConfig, TelemetryConfig,
        TlsFiles, resolve,
    },
    identity::TrustDomain,
    operate, serve,
};
use proto::ids::AcquirerId;
use serde::Deserialize;

mod authentication;
mod card_network;
mod merchant;
mod page;
mod retention;
mod text;

pub use authentication::{AmountConfig, AuthenticationConfig, AuthenticationRule};
pub use card_network::{CardNetworkConfig, CardNetworkKind, LineTls};
pub use merchant::{AllowedCurrency, MerchantConfig};
pub use page::PageConfig;
pub use retention::RetentionConfig;
pub(crate) use text::from_text;

use crate::domain::merchant::Profile;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcquirerConfig {
    /// Our id, which must be the one in our certificates.
    #[serde(deserialize_with = "from_text")]
    pub acquirer_id: AcquirerId,
    /// The network's name, as in `spiffe://<trust domain>/`.
    pub trust_domain: TrustDomain,
    /// The ports.
    pub listen: Listen,
    /// Our certificate among members, and whom we trust.
    pub tls: TlsFiles,
    /// The key that signs orders, results and events.
    pub signing: SigningFiles,
    /// The keys that encrypt what is kept.
    pub vault: VaultFiles,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// The platform that relays for issuers, offers its banks to shoppers and publishes the bank directory.
    /// Without it issuers call directly, and no platform is listened to.
    pub platform: Option<MembershipConfig>,
    /// Who is a member. With a platform it is the directory to begin with, as long as there is no copy of
    /// the platform's, and may be left out.
    pub directory: Option<DirectoryFiles>,
    /// The payment page.
    pub page: PageConfig,
    /// Limits of orders and authorizations.
    #[serde(default)]
    pub limits: Limits,
    /// The card network.
    #[serde(default)]
    pub card_network: CardNetworkConfig,
    /// How long what is finished is kept.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// What is demanded of the issuers' identity verification.
    #[serde(default)]
    pub authentication: AuthenticationConfig,
    /// Limits of the ports.
    #[serde(default)]
    pub serve: serve::Limits,
    /// Whether server reflection is on.
    #[serde(default)]
    pub reflection: bool,
    /// The log.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// The merchants.
    #[serde(rename = "merchant")]
    pub merchants: Vec<MerchantConfig>,
}

/// The ports.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// gRPC over mutual TLS, for merchants, issuers and platforms.
    pub members: ListenConfig,
    /// HTTPS for browsers, or plain HTTP on a loopback address.
    pub page: PageListenConfig,
    /// Plain HTTP on a loopback address: the process's numbers. Without this table there is no such port.
    pub admin: Option<ListenConfig>,
    /// For the acquirer's own people (`acquirer operate`): mutual TLS, and nobody but the acquirer's own
    /// certificate. Without this table there is no such port.
    pub operations: Option<ListenConfig>,
}

/// The signing certificate and its key, in PEM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, PKCS #8.
    pub key: PathBuf,
}

/// The key encryption keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultFiles {
    /// A file with a line `<version>:<32 bytes in hexadecimal or base64>` for each key, mode 0600.
    pub keys: PathBuf,
}

/// The bank directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFiles {
    /// The directory file that the operator has signed. Without a platform it is read again when it changes.
    pub file: PathBuf,
}

/// The limits of orders and authorizations.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// An order's life where its shop names none. Default 15 min.
    pub order_life_default: Period,
    /// How long the card network may take to answer. Default 5 s, so that an issuer that waits 10 s hears
    /// of a silent network too.
    pub network_deadline: Period,
    /// How long an inquiry or a reversal may take. Default 2 s.
    pub network_inquiry_deadline: Period,
    /// What an issuer is told to wait that asks for a result under way. Default 200 ms.
    pub resolve_retry_after: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            order_life_default: Period::new(Duration::from_secs(15 * 60)),
            network_deadline: Period::new(Duration::from_secs(5)),
            network_inquiry_deadline: Period::new(Duration::from_secs(2)),
            resolve_retry_after: Period::new(Duration::from_millis(200)),
        }
    }
}

impl Limits {
    fn validate(&self) -> Vec<FieldError> {
        use proto::order::{ORDER_LIFE_MAX, ORDER_LIFE_MIN};

        let mut errors = Vec::new();
        if !(ORDER_LIFE_MIN..=ORDER_LIFE_MAX).contains(&self.order_life_default.get()) {
            errors.push(FieldError::new("order_life_default", "must be 1m to 24h"));
        }
        let positive = [
            ("network_deadline", self.network_deadline),
            ("network_inquiry_deadline", self.network_inquiry_deadline),
            ("resolve_retry_after", self.resolve_retry_after),
        ];
        for (field, period) in positive {
            if period.get().is_zero() {
                errors.push(FieldError::new(field, "must be more than zero"));
            }
        }
        errors
    }
}

impl AcquirerConfig {
    /// The merchants as the domain knows them.
    ///
    /// # Errors
    /// Every field that can't be used.
    pub fn profiles(&self) -> Result<Vec<Profile>, Vec<FieldError>> {
        let mut profiles = Vec::new();
        let mut errors = Vec::new();
        let mut ids = BTreeSet::new();
        for (place, merchant) in self.merchants.iter().enumerate() {
            let parent = format!("merchant[{place}]");
            if !ids.insert(merchant.id.clone()) {
                errors.push(FieldError::new(format!("{parent}.id"), "is the id of an earlier merchant too"));
            }
            match merchant.profile() {
                Ok(profile) => profiles.push(profile),
                Err(wrong) => errors.extend(wrong.into_iter().map(|error| error.under(&parent))),
            }
        }
        if errors.is_empty() { Ok(profiles) } else { Err(errors) }
    }
}

impl Config for AcquirerConfig {
    fn validate(&self) -> Vec<FieldError> {
        let under = |parent: &str, errors: Vec<FieldError>| -> Vec<FieldError> {
            errors.into_iter().map(|error| error.under(parent)).collect()
        };
        let admin = self.listen.admin.as_ref();
        let mut errors = self.profiles().err().unwrap_or_default();
        errors.extend(under(admin::LISTENER, admin.map(ListenConfig::validate_loopback).unwrap_or_default()));
        errors.extend(under("limits", self.limits.validate()));
        errors.extend(under("card_network", self.card_network.validate()));
        errors.extend(under("retention", self.retention.validate()));
        errors.extend(under("authentication", self.authentication.validate()));
        errors.extend(under("serve", self.serve.validate()));
        errors.extend(under("store", self.store.validate()));
        errors.extend(under("telemetry", self.telemetry.validate()));
        errors.extend(under("listen.page", self.listen.page.validate()));
        errors.extend(under("page", self.page.validate()));
        errors.extend(under("platform", self.platform.as_ref().map(MembershipConfig::validate).unwrap_or_default()));
        if self.platform.is_none() && self.directory.is_none() {
            errors.push(FieldError::new("directory.file", "must be set where there is no table `platform`"));
        }
        if self.page.bank_picker.is_some() && self.platform.is_none() {
            errors.push(FieldError::new("page.bank_picker", "needs the table `platform`"));
        }
        errors
    }

    fn resolve_paths(&mut self, folder: &Path) {
        self.tls.resolve_paths(folder);
        self.store.resolve_paths(folder);
        self.card_network.resolve_paths(folder);
        if let Some(platform) = &mut self.platform {
            platform.resolve_paths(folder);
        }
        if let Some(directory) = &mut self.directory {
            resolve(&mut directory.file, folder);
        }
        let paths = [&mut self.signing.certificate, &mut self.signing.key, &mut self.vault.keys];
        for path in paths.into_iter().chain(&mut self.page.certificate).chain(&mut self.page.key) {
            resolve(path, folder);
        }
    }
}

impl RoleConfig for AcquirerConfig {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        let mut ports = vec![("listen.members", &self.listen.members), ("listen.page", &self.listen.page.listen)];
        ports.extend(self.listen.admin.iter().map(|admin| (admin::LISTENER, admin)));
        ports.extend(self.listen.operations.iter().map(|operations| (operate::LISTENER, operations)));
        ports
    }
}

#[cfg(test)]
mod tests;
