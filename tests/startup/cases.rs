//! One thing that is wrong, for one role or for all of them.

use crate::site::{Kind, Site};

/// Something that is wrong.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// For which roles.
    pub(crate) kinds: &'static [Kind],
    /// Spoils the good files, and returns what must be kept until the role has failed.
    pub(crate) spoil: fn(&Site) -> Kept,
    /// The process's exit code.
    pub(crate) code: u8,
    /// What the message must contain; `{port}`, `{signing}`, `{folder}` and `{data}` stand for the role's own.
    pub(crate) says: &'static [&'static str],
}

/// What is kept open while the role starts.
pub(crate) type Kept = Option<Box<dyn std::any::Any>>;

/// Every role.
pub(crate) const ALL: &[Kind] = &Kind::ALL;
/// The roles that take part in somebody else's network.
pub(crate) const MEMBERS: &[Kind] = &[Kind::Acquirer, Kind::Issuer];

/// Plays each case for each of its roles.
#[allow(clippy::print_stdout, reason = "the messages are for whoever runs the test by hand")]
pub(crate) async fn run(cases: &[Case]) {
    for Case { name, kinds, spoil, code, says } in cases {
        for kind in *kinds {
            let site = Site::new(*kind);
            let kept = spoil(&site);
            let failure = site.fails(&[]).await;
            drop(kept);
            let text = failure.to_string();
            println!("{name}, {}: {} {text}", kind.name(), failure.code());
            assert_eq!(failure.code(), *code, "{name}, {kind:?}: {text}");
            for part in *says {
                let part = part.replace("{port}", kind.first_port()).replace("{folder}", &site.folder());
                let part = part.replace("{data}", &format!("{}-data", kind.id()));
                let part = part.replace("{signing}", kind.signing());
                assert!(text.contains(&part), "{name}, {kind:?}: {text:?} lacks {part:?}");
            }
            assert!(!text.contains('\n'), "{name}, {kind:?}: one line: {text:?}");
        }
    }
}

/// What is wrong with the configuration's text, before anything in it counts.
pub(crate) fn configuration() -> Vec<Case> {
    let case = |name, spoil, says| Case { name, kinds: ALL, spoil, code: 64, says };
    vec![
        case(
            "an unknown field",
            |site| edit(site, |text| format!("colour = \"red\"\n{text}")),
            &["role.toml", "line 1", "`colour`"],
        ),
        case(
            "an unknown field in a table",
            |site| edit(site, |text| text.replace("[tls]\n", "[tls]\ncolour = \"red\"\n")),
            &["role.toml", "`tls.colour`"],
        ),
        case("a field is missing", |site| edit(site, without("trust_domain")), &["role.toml", "trust_domain"]),
        case("a table is missing", |site| edit(site, |text| text.replace("[tls]", "[telemetry]")), &["role.toml"]),
        case(
            "a field of another type",
            |site| edit(site, |text| text.replace("trust_domain = \"pay.example\"", "trust_domain = 7")),
            &["role.toml", "`trust_domain`", "string"],
        ),
        case(
            "an address that is none",
            |site| edit(site, |text| text.replacen("127.0.0.1:0", "localhost", 1)),
            &["role.toml", "address"],
        ),
        case(
            "a trust domain that is none",
            |site| edit(site, |text| text.replace("pay.example\"\n", "pay example\"\n")),
            &["role.toml", "trust_domain"],
        ),
        case("no TOML", |site| edit(site, |_| "{ \"this\": \"is JSON\" }".into()), &["role.toml", "line 1"]),
        case("an empty file", |site| edit(site, |_| String::new()), &["role.toml"]),
        case(
            "no file",
            |site| {
                site.remove("role.toml");
                None
            },
            &["role.toml"],
        ),
    ]
}

/// What is wrong with a value that can be read.
pub(crate) fn values() -> Vec<Case> {
    let case = |name, spoil, says| Case { name, kinds: ALL, spoil, code: 64, says };
    vec![
        case(
            "a cache of no size",
            |site| {
                edit(site, |text| {
                    let text = text.replace("store.folder", "store.cache_mib = 0\nstore.folder");
                    text.replace("[store]\n", "[store]\ncache_mib = 0\n")
                })
            },
            &["`store.cache_mib`", "at least 1"],
        ),
        case(
            "a log filter that is none",
            |site| edit(site, |text| format!("telemetry.filter = \"mesh=loud\"\n{text}")),
            &["`telemetry.filter`", "info,mesh=debug"],
        ),
        Case {
            kinds: MEMBERS,
            ..case(
                "neither a directory nor a platform",
                |site| edit(site, |text| text.replace(tests::roles::direct(), "")),
                &["`directory.file`", "platform"],
            )
        },
        Case {
            kinds: &[Kind::Platform],
            ..case(
                "numbers that others could read",
                |site| {
                    edit(site, |text| text.replace("admin.address = \"127.0.0.1:0\"", "admin.address = \"0.0.0.0:0\""))
                },
                &["`listen.admin.address`", "loopback"],
            )
        },
    ]
}

fn edit(site: &Site, change: impl FnOnce(&str) -> String) -> Kept {
    site.edit(change);
    None
}

fn without(field: &'static str) -> impl FnOnce(&str) -> String {
    move |text| text.lines().filter(|line| !line.starts_with(field)).map(|line| format!("{line}\n")).collect()
}
