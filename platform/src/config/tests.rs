#![allow(clippy::unwrap_used)]

use super::*;

const SAMPLE: &str = include_str!("../../platform.sample.toml");

fn parse(text: &str) -> Result<PlatformConfig, mesh::config::Error> {
    mesh::config::parse(text, Path::new("platform.toml"), Path::new("/etc/bankside"))
}

#[test]
fn the_sample_shows_every_field_and_parses() {
    let config = parse(SAMPLE).unwrap();
    assert_eq!(config.platform.as_str(), "hub");
    assert_eq!(config.keys.tickets, Path::new("/etc/bankside/ticket.keys"));
    assert_eq!(config.directory.operator_certificates, [Path::new("/etc/bankside/operator/signing.pem")]);
    assert_eq!(config.directory.first.as_deref(), Some(Path::new("/etc/bankside/directory.binpb")));
    assert_eq!(config.health.authority.as_deref(), Some(Path::new("/etc/bankside/tls/ca.pem")));
    assert_eq!(config.checkout.limits, CheckoutLimits::default());
    let names: Vec<_> = config.listeners().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["listen.members", "listen.devices", "listen.pages", "listen.admin"]);
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (from, to, field) in [
        ("\"127.0.0.1:9443\"", "\"0.0.0.0:9443\"", "listen.admin.address"),
        ("# tls = \"none\"", "tls = \"none\"", "listen.pages.tls"),
        ("[\"operator/signing.pem\"]", "[]", "directory.operator_certificates"),
        ("\"https://pay.network.example\"", "\"https://pay.network.example/c\"", "checkout.public_url"),
        ("\"https://pay.network.example\"", "\"https://pay.network.example?x=1\"", "checkout.public_url"),
        ("\"https://pay.network.example\"", "\"http://pay.network.example\"", "checkout.public_url"),
        ("code_life = \"10m\"", "code_life = \"0s\"", "checkout.limits.code_life"),
        ("failures = 2", "failures = 0", "health.failures"),
        ("interval = \"3s\"", "interval = \"0s\"", "health.interval"),
        ("cache_mib = 64", "cache_mib = 0", "store.cache_mib"),
        ("[health]", "[health]\nloud = true", "health.loud"),
        ("platform = \"hub\"", "platform = \"Hub\"", "platform"),
    ] {
        let error = parse(&SAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{to}: {error}");
    }
}
