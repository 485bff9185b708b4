#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::FieldError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    attempts: u32,
    listen: ListenConfig,
    #[serde(default)]
    telemetry: TelemetryConfig,
}

impl Config for Sample {
    fn validate(&self) -> Vec<FieldError> {
        if self.attempts == 0 {
            return vec![FieldError::new("attempts", "must be at least 1")];
        }
        Vec::new()
    }

    fn resolve_paths(&mut self, _folder: &Path) {}
}

impl RoleConfig for Sample {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        vec![("listen", &self.listen)]
    }
}

const GOOD: &str = "attempts = 1\n[listen]\naddress = \"127.0.0.1:0\"\n";

fn prepared(text: &str, extra: &[&str], environment: &[(&str, &str)]) -> Prepared<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.toml");
    std::fs::write(&file, text).unwrap();
    let mut arguments: Vec<OsString> = vec!["sample".into(), "--config".into(), file.into()];
    arguments.extend(extra.iter().map(OsString::from));
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    prepare("sample", arguments, &environment)
}

fn refusal(prepared: Prepared<Sample>) -> Failure {
    match prepared {
        Prepared::Refused(failure) => failure,
        other @ (Prepared::Run(..) | Prepared::Done(_)) => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_bad_configuration_exits_64_and_names_the_field() {
    let failure = refusal(prepared(&GOOD.replace("= 1", "= 0"), &[], &[]));
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("`attempts`"), "{failure}");

    let failure = refusal(prepared(&GOOD.replace("address", "adress"), &[], &[]));
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("`listen.adress`"), "{failure}");

    let failure = refusal(prepared(GOOD, &[], &[("BANKSIDE_LOG", "mesh=loud")]));
    assert_eq!(failure.code(), 64);
    assert!(failure.to_string().contains("`telemetry.filter`"), "{failure}");
}

#[test]
fn a_wrong_command_line_exits_64() {
    assert_eq!(refusal(prepared(GOOD, &["--verbose"], &[])).code(), 64);
    let nothing = prepare::<Sample>("sample", ["sample".into()], &BTreeMap::new());
    assert_eq!(refusal(nothing).code(), 64);
}

#[test]
fn check_and_version_print_and_do_not_run() {
    for flag in ["--check", "--version", "--help"] {
        assert!(matches!(prepared(GOOD, &[flag], &[]), Prepared::Done(text) if !text.is_empty()), "{flag}");
    }
    assert_eq!(refusal(prepared("", &["--check"], &[])).code(), 64);
}

#[test]
fn the_environment_overrides_the_filter() {
    match prepared(GOOD, &[], &[("BANKSIDE_LOG", "debug")]) {
        Prepared::Run(_, telemetry) => assert_eq!(telemetry.filter, "debug"),
        other @ (Prepared::Done(_) | Prepared::Refused(_)) => panic!("{other:?}"),
    }
}

fn config(address: std::net::SocketAddr) -> Sample {
    Sample { attempts: 1, listen: ListenConfig { address }, telemetry: TelemetryConfig::default() }
}

#[test]
fn a_port_in_use_exits_69_and_names_field_and_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let failure = supervise("sample", config(address), |_, _| async { Ok(()) }).unwrap_err();
    assert_eq!(failure.code(), 69);
    let text = failure.to_string();
    assert!(text.contains("`listen.address`"), "{text}");
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("another process has the port"), "{text}");
}

#[test]
fn a_role_gets_its_ports_and_its_end_is_the_outcome() {
    let address = "127.0.0.1:0".parse().unwrap();
    let ran = supervise("sample", config(address), |config, mut context| async move {
        assert_eq!(config.attempts, 1);
        let listener = context.listeners.take("listen")?;
        let bound = listener.local_addr().unwrap();
        assert_eq!(context.listeners.address("listen"), Some(bound));
        assert_ne!(bound.port(), 0);
        assert_eq!(context.listeners.to_string(), format!("listen={bound}"));
        assert_eq!(context.listeners.take("listen").unwrap_err().code(), 70);
        Ok(())
    });
    assert!(ran.is_ok());

    let failure = supervise("sample", config(address), |_, _| async {
        Err(Failure::DataFolder {
            folder: "/var/lib/sample".into(),
            problem: "is read-only; mount it writable".to_owned(),
        })
    })
    .unwrap_err();
    assert_eq!(failure.code(), 73);
}

#[test]
fn a_role_that_panics_exits_70() {
    let address = "127.0.0.1:0".parse().unwrap();
    let failure =
        supervise("sample", config(address), |_, _| async { panic!("the text of a panic stays inside") }).unwrap_err();
    assert_eq!(failure.code(), 70);
    assert!(!failure.to_string().contains("stays inside"));
}

#[test]
fn a_data_folders_failure_says_what_caused_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot create it")]
    struct Outer(#[source] std::io::Error);

    let failure = Failure::data_folder("/data".into(), &Outer(std::io::Error::other("the disk is full")));
    assert_eq!(failure.code(), 73);
    assert_eq!(failure.to_string(), "data folder /data: cannot create it: the disk is full");
}
