//! The bank's app: its pages' address, and where it takes orders and tickets from.

use std::path::{Path, PathBuf};

use mesh::{
    channel,
    config::{FieldError, resolve},
};
use proto::link::WebAddress;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The table `app`. Without it there are no pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// The address by which browsers reach the pages, without a path: `https://app.bank.example`.
    #[serde(deserialize_with = "address")]
    pub public_url: WebAddress,
    /// The platform's port for devices; to be set where the bank pays by way of a platform, or can be picked at one.
    pub platform: Option<AppPlatformConfig>,
    /// Whether the proxy in front says in `X-Forwarded-For` where a request comes from, so that the limits of an
    /// address are those of the caller's. Its last address counts, which that proxy wrote. Only where the port
    /// speaks plain HTTP, which nobody but the proxy reaches. Default no.
    #[serde(default)]
    pub forwarded_for: bool,
    /// Whether features are measured by a demonstration that measures nobody. For sandboxes alone. Default no.
    #[serde(default)]
    pub demo_sensor: bool,
}

/// The platform as the app calls it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AppPlatformConfig {
    /// Its port for devices, `https://host:port`.
    pub endpoint: String,
    /// The authority that signed that port's certificate.
    pub authority: PathBuf,
}

impl AppConfig {
    /// Every field that can't be used; `relayed` says whether the bank pays by way of a platform, `plain`
    /// whether the port speaks plain HTTP.
    #[must_use]
    pub fn validate(&self, relayed: bool, plain: bool) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (_, authority) = self.public_url.as_str().split_once("://").unwrap_or_default();
        if authority.contains(['/', '?']) {
            errors.push(FieldError::new("public_url", "must be without a path, such as \"https://app.bank.example\""));
        }
        if self.forwarded_for && !plain {
            let problem = "needs `tls = \"none\"` in `listen.app`: otherwise anybody could name any address";
            errors.push(FieldError::new("forwarded_for", problem));
        }
        match (&self.platform, relayed) {
            (None, true) => {
                let problem = "must be set where there is a table `platform`: the app takes orders and tickets from it";
                errors.push(FieldError::new("platform", problem));
            }
            (Some(platform), _) if !channel::is_address(&platform.endpoint) => {
                errors.push(FieldError::new("platform.endpoint", "must be https://host:port"));
            }
            (Some(_), _) | (None, false) => {}
        }
        errors
    }

    /// Makes the paths relative to `folder`, where they are relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        if let Some(platform) = &mut self.platform {
            resolve(&mut platform.authority, folder);
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WebAddress, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PLATFORM: &str = "[platform]\nendpoint = \"https://hub.example:7642\"\nauthority = \"ca.pem\"\n";

    fn wrong(text: &str, relayed: bool) -> Vec<String> {
        let config: AppConfig = toml::from_str(text).unwrap();
        config.validate(relayed, true).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_address_is_an_origin() {
        assert_eq!(wrong("public_url = \"https://app.bank.example\"", false), Vec::<String>::new());
        assert_eq!(wrong("public_url = \"http://aurora.localhost:7545\"", false), Vec::<String>::new());
        assert_eq!(wrong("public_url = \"https://bank.example/app\"", false), ["public_url"]);
        for text in ["http://bank.example", "bank.example", "https://bank.example/#x"] {
            assert!(toml::from_str::<AppConfig>(&format!("public_url = \"{text}\"")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bank_of_a_platform_says_where_its_app_asks() {
        let url = "public_url = \"https://app.bank.example\"\n";
        assert_eq!(wrong(url, true), ["platform"]);
        assert_eq!(wrong(&format!("{url}{PLATFORM}"), true), Vec::<String>::new());
        // A bank that calls the acquirers itself is picked at the platform, too.
        assert_eq!(wrong(&format!("{url}{PLATFORM}"), false), Vec::<String>::new());
        let forwarded = toml::from_str::<AppConfig>(&format!("{url}forwarded_for = true")).unwrap();
        assert!(forwarded.validate(false, true).is_empty());
        assert_eq!(forwarded.validate(false, false)[0].field, "forwarded_for");
        let plain = PLATFORM.replace("https", "http");
        assert_eq!(wrong(&format!("{url}{plain}"), true), ["platform.endpoint"]);
        assert!(toml::from_str::<AppConfig>(&format!("{url}sensor = true")).is_err());
    }
}
