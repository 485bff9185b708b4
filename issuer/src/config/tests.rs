//! The sample parses, with and without its optional parts, and what is wrong is named.
#![allow(clippy::unwrap_used)]

use mesh::config::{Error, parse};

use super::*;

const SAMPLE: &str = include_str!("../../issuer.sample.toml");

fn load(text: &str) -> Result<IssuerConfig, Error> {
    parse(text, Path::new("issuer.toml"), Path::new("/etc/issuer"))
}

#[test]
fn the_sample_parses_and_its_paths_are_the_files_own() {
    let config = load(SAMPLE).unwrap();
    assert_eq!(config.issuer_id.as_str(), "bank-aurora");
    assert_eq!(config.vault.keys.as_deref(), Some(Path::new("/etc/issuer/bank-aurora.kek")));
    assert_eq!(config.directory.unwrap().file, Path::new("/etc/issuer/certs/directory.binpb"));
    assert_eq!(config.platform, None, "the sample is of the direct way");
    assert_eq!(config.store.folder, Path::new("/etc/issuer/data/bank-aurora"));
    assert_eq!(config.device_tls.unwrap().key, Path::new("/etc/issuer/certs/bank-aurora/web.key"));
}

/// Every commented default in the sample is a field, and the default: with all of them in, the
/// configuration is the same.
#[test]
fn the_samples_comments_tell_the_defaults() {
    let setting = |line: &str| -> Option<String> {
        let text = line.strip_prefix("# ")?;
        let (name, _) = text.split_once(" = ")?;
        name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then(|| text.to_owned())
    };
    let open = |line: &str| setting(line).unwrap_or_else(|| line.to_owned());
    let opened: Vec<String> = SAMPLE.lines().map(open).collect();
    assert!(opened.len() > 20 && opened.join("\n") != SAMPLE.trim_end());
    let (with, without) = (load(&opened.join("\n")).unwrap(), load(SAMPLE).unwrap());
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

/// The sample with its table of the platform in: what stands right behind a "#" is no default.
fn with_platform() -> String {
    let opened = |line: &str| match line.strip_prefix('#') {
        Some(text) if text.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => text.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    SAMPLE.lines().map(opened).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_samples_platform_parses_too() {
    let platform = load(&with_platform()).unwrap().platform.unwrap();
    assert_eq!((platform.id.as_str(), platform.endpoint.as_str()), ("hub", "https://127.0.0.1:7643"));
    assert_eq!(platform.directory_copy, Path::new("/etc/issuer/data/bank-aurora.directory"));
    for (from, to, field) in [
        ("https://127.0.0.1:7643", "127.0.0.1:7643", "platform.endpoint"),
        ("first_directory_wait = \"10s\"", "first_directory_wait = \"0s\"", "platform.first_directory_wait"),
        ("id = \"hub\"", "id = \"The Hub\"", "platform.id"),
    ] {
        let error = load(&with_platform().replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
}

#[test]
fn the_numbers_have_a_port_only_where_it_is_named() {
    let names =
        |text: &str| -> Vec<&str> { load(text).unwrap().listeners().into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names(SAMPLE), ["listen.devices"]);
    assert_eq!(names(&with_platform()), ["listen.devices", "listen.app", "listen.admin", "listen.operations"]);
}

#[test]
fn a_directory_comes_from_a_file_or_from_a_platform() {
    let table = "[directory]\nfile = \"certs/directory.binpb\"";
    let without = |text: &str| text.replacen(table, "", 1);
    assert!(SAMPLE.contains(table));
    let error = load(&without(SAMPLE)).unwrap_err().to_string();
    assert!(error.contains("`directory.file`") && error.contains("platform"), "{error}");
    assert!(load(&without(&with_platform())).unwrap().directory.is_none());
}

#[test]
fn a_wrong_field_is_named() {
    let cases = [
        ("issuer_id = \"bank-aurora\"", "issuer_id = \"Bank Aurora\"", "issuer_id"),
        ("# park_after = \"24h\"", "park_after = \"0s\"", "charges.park_after"),
        ("# inquiry_max = \"30s\"", "inquiry_max = \"100ms\"", "charges.inquiry_max"),
        ("# inquiries_max = 64", "inquiries_max = 0", "charges.inquiries_max"),
        ("# password_tries_max = 5", "password_tries_max = 0", "auth.password_tries_max"),
        ("# session_idle = \"5m\"", "session_idle = \"0s\"", "auth.session_idle"),
        ("# iterations = 2", "iterations = 0", "passwords.iterations"),
        ("profile = \"two_of_three\"", "profile = \"psd3\"", "policy.profile"),
        ("# sign_in = { kinds = 1 }", "sign_in = { kinds = 4 }", "policy.sign_in.kinds"),
        ("keys = \"bank-aurora.kek\"", "", "vault.keys"),
        ("keys = \"bank-aurora.kek\"", "keys = \"k\"\nkeys_env = \"KEYS\"", "vault.keys_env"),
        ("# rotation_rate = 500", "rotation_rate = 0", "vault.rotation_rate"),
        ("# cache_mib = 64", "cache_mib = 0", "store.cache_mib"),
        ("# requests_max = 1024", "requests_max = 0", "serve.requests_max"),
        ("# filter = \"info\"", "filter = \"issuer=loud\"", "telemetry.filter"),
        ("[telemetry]", "[telemetry]\nlevel = 3", "telemetry.level"),
        ("#[listen.admin]\n#address = \"127", "[listen.admin]\naddress = \"10", "listen.admin.address"),
    ];
    for (from, to, field) in cases {
        assert!(SAMPLE.contains(from), "{from}");
        let error = load(&SAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
}

#[test]
fn only_what_has_no_default_is_needed() {
    let needed: Vec<&str> = [
        "issuer_id = \"bank-aurora\"",
        "trust_domain = \"bankside.example\"",
        "listen.devices.address = \"127.0.0.1:0\"",
        "tls = { certificate = \"a\", key = \"b\", authority = \"c\" }",
        "signing = { certificate = \"a\", key = \"b\" }",
        "vault.keys = \"k\"",
        "store.folder = \"d\"",
        "directory.file = \"f\"",
    ]
    .to_vec();
    let config = load(&needed.join("\n")).unwrap();
    assert_eq!(config.charges, ChargeLimits::default());
    assert_eq!(config.auth, AuthLimits::default());
    for missing in 0..needed.len() {
        let mut lines = needed.clone();
        lines.remove(missing);
        assert!(load(&lines.join("\n")).is_err(), "{}", needed[missing]);
    }
}

#[test]
fn the_app_is_served_on_its_own_port_and_never_with_bound_sessions() {
    assert!(load(SAMPLE).unwrap().app.is_none(), "it is off unless somebody asks for it");
    let config = load(&with_platform()).unwrap();
    let app = config.app.as_ref().unwrap();
    assert_eq!((app.public_url.as_str(), app.demo_sensor), ("https://app.bank.example", false));
    assert_eq!(app.platform.as_ref().unwrap().authority, Path::new("/etc/issuer/certs/ca.pem"));
    assert!(config.listeners().iter().any(|(name, _)| *name == APP));
    for (from, to, field, why) in [
        ("# bind_sessions = false", "bind_sessions = true", "app.public_url", "policy.bind_sessions"),
        ("[listen.app]\naddress = \"127.0.0.1:7545\"\ntls = \"on\"\n", "", "app.public_url", "listen.app"),
        ("127.0.0.1:7545\"\ntls = \"on\"", "192.0.2.1:7545\"\ntls = \"none\"", "listen.app.tls", "loopback"),
        ("forwarded_for = false", "forwarded_for = true", "app.forwarded_for", "listen.app"),
    ] {
        let text = with_platform();
        assert!(text.contains(from), "{from}");
        let error = load(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")) && error.contains(why), "{field}: {error}");
    }
}
