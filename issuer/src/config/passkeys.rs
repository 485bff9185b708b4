//! Passkeys: for which domain, from which pages and apps, and how many.

use data_encoding::BASE64URL_NOPAD;
use mesh::config::FieldError;
use serde::Deserialize;

/// The longest domain name (RFC 1035, section 2.3.4), in bytes of its text.
const DOMAIN_BYTES_MAX: usize = 253;
/// The longest label of a domain name.
const LABEL_BYTES_MAX: usize = 63;
/// How an Android app's origin begins; its signing certificate's SHA-256 follows.
const ANDROID: &str = "android:apk-key-hash:";
/// More would not fit the record that lists a customer's passkeys, and nobody keeps track of so many.
const PASSKEYS_MAX: u32 = 100;

/// The table `passkeys`. Without it passkeys are not offered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PasskeyConfig {
    /// The relying party id: a domain of the bank, for example `bank.example`. Passkeys are bound to it for
    /// ever, so that another one makes all of them worthless.
    pub relying_party_id: String,
    /// Where assertions may come from: `https://` origins of that domain or below it, as a browser writes them,
    /// and `android:apk-key-hash:<base64url of SHA-256>` for apps. For development, with a relying party id that is
    /// `localhost` or below it, also `http://<host>:<port>`: browsers take such hosts for secure ones.
    pub origins: Vec<String>,
    /// How many passkeys a customer may have. Default 10: one for each device, and some that are lost.
    #[serde(default = "passkeys_max")]
    pub passkeys_max: u32,
}

impl PasskeyConfig {
    /// Every field that can't be used.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let id = self.relying_party_id.as_str();
        if !is_domain(id) || (!id.contains('.') && id != "localhost") {
            let problem = "must be a domain in lower case, such as \"bank.example\", without scheme, port and path";
            errors.push(FieldError::new("relying_party_id", problem));
        }
        if self.origins.is_empty() {
            errors.push(FieldError::new("origins", "must name at least one origin"));
        }
        for (place, origin) in self.origins.iter().enumerate() {
            if !is_origin(origin, id) {
                let problem = format!(
                    "must be https://<host>[:<port>] as a browser writes it, the host being \"{id}\" or below it, or \
                     {ANDROID}<base64url>"
                );
                errors.push(FieldError::new(format!("origins[{place}]"), problem));
            } else if self.origins[..place].contains(origin) {
                errors.push(FieldError::new(format!("origins[{place}]"), "stands there twice; remove one"));
            }
        }
        if !(1..=PASSKEYS_MAX).contains(&self.passkeys_max) {
            errors.push(FieldError::new("passkeys_max", format!("must be 1 to {PASSKEYS_MAX}")));
        }
        errors
    }
}

fn passkeys_max() -> u32 {
    10
}

/// Whether an origin is as its browser or Android writes it, and may use this relying party id.
fn is_origin(origin: &str, relying_party_id: &str) -> bool {
    if let Some(digest) = origin.strip_prefix(ANDROID) {
        return BASE64URL_NOPAD.decode(digest.as_bytes()).is_ok_and(|digest| digest.len() == 32);
    }
    let (authority, default_port, is_secure) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(authority), _) => (authority, 443, true),
        (None, Some(authority)) => (authority, 80, false),
        (None, None) => return false,
    };
    let (host, port_fits) = match authority.split_once(':') {
        None => (authority, true),
        // A browser leaves the scheme's own port and leading zeros out.
        Some((host, port)) => {
            (host, port.parse::<u16>().is_ok_and(|number| number != default_port && number.to_string() == port))
        }
    };
    let below = host.strip_suffix(relying_party_id).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_local = host == "localhost" || host.ends_with(".localhost");
    port_fits && is_domain(host) && below && (is_secure || is_local)
}

/// Whether it is a domain name in its form for the wire: lower case, international labels as `xn--…`.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone is an address's end.
    let is_address = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(label) && !is_address
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config(id: &str, origins: &[&str]) -> PasskeyConfig {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        PasskeyConfig { relying_party_id: id.into(), origins, passkeys_max: passkeys_max() }
    }

    fn wrong(config: &PasskeyConfig) -> Vec<String> {
        config.validate().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_browsers_and_apps_write_is_accepted() {
        let android = format!("{ANDROID}{}", BASE64URL_NOPAD.encode(&[7; 32]));
        let good = config(
            "bank.example",
            &["https://bank.example", "https://my.bank.example:8443", "https://a.b.bank.example", &android],
        );
        assert_eq!(wrong(&good), Vec::<String>::new());
        assert_eq!(wrong(&config("localhost", &["http://localhost", "http://localhost:8080"])), Vec::<String>::new());
        assert_eq!(wrong(&config("aurora.localhost", &["http://aurora.localhost:7545"])), Vec::<String>::new());
        assert_eq!(wrong(&config("xn--bcher-kva.example", &["https://xn--bcher-kva.example"])), Vec::<String>::new());
        let text = "relying_party_id = \"bank.example\"\norigins = [\"https://bank.example\"]";
        assert_eq!(toml::from_str::<PasskeyConfig>(text).unwrap(), config("bank.example", &["https://bank.example"]));
    }

    #[test]
    fn the_samples_table_is_good() {
        let (_, table) = include_str!("../../issuer.sample.toml").split_once("#[passkeys]\n").unwrap();
        let lines: Vec<&str> = table.lines().map_while(|line| line.strip_prefix('#')).collect();
        let config: PasskeyConfig = toml::from_str(&lines.join("\n")).unwrap();
        assert_eq!((wrong(&config), config.passkeys_max), (Vec::new(), passkeys_max()));
    }

    #[test]
    fn a_relying_party_id_is_a_domain() {
        let long = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            "example",
            "Bank.example",
            "bank..example",
            ".bank.example",
            "bank.example.",
            "-bank.example",
            "bank-.example",
            "bank.example:443",
            "https://bank.example",
            "bank.example/",
            "bücher.example",
            "192.0.2.1",
            &long,
        ] {
            assert_eq!(wrong(&config(bad, &[&format!("https://{bad}")]))[0], "relying_party_id", "{bad}");
        }
    }

    #[test]
    fn an_origin_is_of_the_relying_party_and_in_its_one_form() {
        for bad in [
            "",
            "bank.example",
            "http://bank.example",
            "http://localhost:8080",
            "https://localhost",
            "https://evil.example",
            "https://evilbank.example",
            "https://bank.example.evil.example",
            "https://bank.example/",
            "https://bank.example:443",
            "https://bank.example:08443",
            "https://bank.example:",
            "https://bank.example:99999",
            "https://user@bank.example",
            "https://Bank.example",
            "https://.bank.example",
            "HTTPS://bank.example",
            "android:apk-key-hash:",
            "android:apk-key-hash:AAAA",
            "android:apk-key-hash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "ios:bundle-id:example",
        ] {
            assert_eq!(wrong(&config("bank.example", &[bad])), ["origins[0]"], "{bad}");
        }
        let twice = config("bank.example", &["https://bank.example", "https://bank.example"]);
        assert_eq!(wrong(&twice), ["origins[1]"]);
        assert_eq!(wrong(&config("bank.example", &[])), ["origins"]);
    }

    #[test]
    fn their_number_has_bounds() {
        let good = config("bank.example", &["https://bank.example"]);
        for passkeys_max in [0, 101] {
            assert_eq!(wrong(&PasskeyConfig { passkeys_max, ..good.clone() }), ["passkeys_max"]);
        }
        assert!(toml::from_str::<PasskeyConfig>("relying_party_id = \"a.example\"\norigins = []\nrp = 1").is_err());
    }
}
