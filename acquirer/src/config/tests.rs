#![allow(clippy::unwrap_used)]

use mesh::config::{Error, parse};

use super::*;

const SAMPLE: &str = include_str!("../../acquirer.sample.toml");

fn read(text: &str) -> Result<AcquirerConfig, Error> {
    parse(text, Path::new("acquirer.toml"), Path::new("/etc/bankside"))
}

#[test]
fn the_sample_file_is_good_and_its_defaults_are_the_ones_in_code() {
    let config = read(SAMPLE).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.signing.key, Path::new("/etc/bankside/certs/signing.key"));
    assert_eq!(config.store.folder, Path::new("/etc/bankside/data"));
    let profiles = config.profiles().unwrap();
    assert_eq!(profiles[0].merchant.display_name, "Lantern Books");
    let usd = "USD".parse().unwrap();
    assert_eq!(profiles[0].terms.day_max(usd), None);
}

/// The sample with what it says of a platform in: what stands right behind a "#" is no default.
fn with_platform() -> String {
    let opened = |line: &str| match line.strip_prefix('#') {
        Some(text) if text.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => text.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    SAMPLE.lines().map(opened).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_samples_platform_parses_too() {
    assert_eq!(read(SAMPLE).unwrap().platform, None, "the sample is of the direct way");
    let config = read(&with_platform()).unwrap();
    let platform = config.platform.unwrap();
    assert_eq!((platform.id.as_str(), platform.endpoint.as_str()), ("hub", "https://hub.pay.example:7443"));
    assert_eq!(platform.directory_copy, Path::new("/etc/bankside/directory.copy"));
    assert_eq!(config.page.bank_picker.unwrap().as_str(), "https://pay.network.example");
    for (from, to, field) in [
        ("https://hub.pay.example:7443", "https://hub.pay.example", "platform.endpoint"),
        ("first_directory_wait = \"10s\"", "first_directory_wait = \"0s\"", "platform.first_directory_wait"),
        ("id = \"hub\"", "id = \"The Hub\"", "platform.id"),
        ("https://pay.network.example", "https://pay.network.example/c", "page.bank_picker"),
        ("https://pay.network.example", "http://pay.network.example", "page.bank_picker"),
    ] {
        assert!(with_platform().contains(from), "{from}");
        let error = read(&with_platform().replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
}

#[test]
fn the_numbers_and_our_own_people_have_a_port_only_where_it_is_named() {
    let names =
        |text: &str| -> Vec<&str> { read(text).unwrap().listeners().into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names(SAMPLE), ["listen.members", "listen.page"]);
    assert_eq!(names(&with_platform()), ["listen.members", "listen.page", "listen.admin", "listen.operations"]);
}

#[test]
fn a_directory_comes_from_a_file_or_from_a_platform() {
    let table = "[directory]\nfile = \"directory.binpb\"";
    let without = |text: &str| text.replacen(table, "", 1);
    assert!(SAMPLE.contains(table));
    let error = read(&without(SAMPLE)).unwrap_err().to_string();
    assert!(error.contains("`directory.file`") && error.contains("platform"), "{error}");
    assert!(read(&without(&with_platform())).unwrap().directory.is_none());
    let picker = SAMPLE.replacen("#bank_picker", "bank_picker", 1);
    let error = read(&picker).unwrap_err().to_string();
    assert!(error.contains("`page.bank_picker`"), "a picker needs its platform: {error}");
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    let cases = [
        ("acquirer-one\"", "Acquirer\"", "acquirer_id"),
        ("\"15m\"", "\"30s\"", "limits.order_life_default"),
        ("network_deadline = \"5s\"", "network_deadline = \"0s\"", "limits.network_deadline"),
        ("requests_max = 1024", "requests_max = 0", "serve.requests_max"),
        ("\"5942\"", "\"594\"", "merchant[0].category_code"),
        ("[\"https://books.example/checkout\"]", "[]", "merchant[0].return_urls"),
        ("\"https://books.example/checkout\"", "\"http://books.example\"", "merchant[0].return_urls[0]"),
        ("\"https://127.0.0.1:9443\"", "\"nowhere\"", "merchant[0].notification_endpoint"),
        ("order_max_minor_units = 300000", "order_max_minor_units = 0", "merchant[0].currencies[1].order_max"),
        ("day_max_minor_units = 500000000", "day_max_minor_units = -1", "merchant[0].currencies[0].day_max"),
        ("# certificate = \"web.pem\"", "certificate = \"web.pem\"", "page.certificate"),
        ("8443\"\n# tls = \"none\"", "8443\"\ntls = \"off\"", "listen.page"),
        ("127.0.0.1:8443\"\n# tls", "10.0.0.1:8443\"\ntls", "listen.page.tls"),
        ("app_link = \"https://app.pay.example/\"", "", "page.app_link"),
        (
            "# same_device_above = [{ currency = \"TWD\", minor_units = 5000000 }]",
            "same_device_above = [{ currency = \"TWD\", minor_units = -1 }]",
            "page.same_device_above[0].minor_units",
        ),
        ("cache_mib = 64", "cache_mib = 0", "store.cache_mib"),
        ("#[listen.admin]\n#address = \"127", "[listen.admin]\naddress = \"10", "listen.admin.address"),
    ];
    for (from, to, field) in cases {
        assert!(SAMPLE.contains(from), "{from}");
        let error = read(&SAMPLE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}")), "{to}: {error}");
    }
    assert!(matches!(read(&format!("colour = 1\n{SAMPLE}")), Err(Error::Syntax { .. })));
}

/// The examples are indented behind their "#".
#[test]
fn the_samples_demands_on_identity_verification_parse_too() {
    let example = |line: &str| line.strip_prefix("#   ").map_or_else(|| line.to_owned(), str::to_owned);
    let with_rules = SAMPLE.lines().map(example).collect::<Vec<_>>().join("\n");
    assert_eq!(read(SAMPLE).unwrap().authentication, AuthenticationConfig::default());
    let config = read(&with_rules).unwrap();
    assert_eq!(config.authentication.rules.len(), 3);
    let error = read(&with_rules.replacen("kinds = 2", "kinds = 5", 1)).unwrap_err().to_string();
    assert!(error.contains("`authentication.rules[0].kinds`"), "{error}");
}

#[test]
fn a_merchant_is_taken_on_once() {
    let merchant = SAMPLE.split("[[merchant]]").nth(1).unwrap();
    let error = read(&format!("{SAMPLE}\n[[merchant]]{merchant}")).unwrap_err().to_string();
    assert!(error.contains("`merchant[1].id`"), "{error}");
}
