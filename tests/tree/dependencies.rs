//! `proto` knows nobody, `mesh` knows `proto`, a role knows those two, and only the simulator and the
//! tests may know everything.

use std::{collections::BTreeSet, fs};

use anyhow::Result;

use super::{members, rust_files, workspace};

/// Each crate, with the workspace's crates that it may depend on. Build and test code is bound too.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("proto", &[]),
    ("mesh", &["proto"]),
    ("certs", &["proto", "mesh"]),
    ("acquirer", &["proto", "mesh"]),
    ("issuer", &["proto", "mesh"]),
    ("platform", &["proto", "mesh"]),
];
/// What may depend on everything.
const FREE: [&str; 5] = ["merchant-sim", "tests", "tests/fuzz", "tests/model", "tests/simulation"];

#[test]
fn dependencies_point_inwards() -> Result<()> {
    let members = members()?;
    let ours: BTreeSet<&str> = members.iter().map(String::as_str).collect();
    for member in &members {
        if FREE.contains(&member.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == member) else {
            panic!("{member} is new: say here what it may depend on");
        };
        let manifest: toml::Table = fs::read_to_string(workspace().join(member).join("Cargo.toml"))?.parse()?;
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = manifest.get(table).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            for name in names.filter(|name| ours.contains(name.as_str())) {
                // A role's tests may build their certificates with the real tool.
                let test_pki = table == "dev-dependencies" && name == "certs";
                assert!(allowed.contains(&name.as_str()) || test_pki, "{member} may not depend on {name}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_domain_is_pure() -> Result<()> {
    /// What would let the outside in: a runtime, a wire, a clock, chance, a disk.
    const IMPURE: [&str; 14] = [
        "tokio",
        "tonic",
        "async fn",
        ".await",
        "SystemTime::now",
        "Instant::now",
        "ring::rand",
        "getrandom",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "mesh::store",
    ];
    let mut found = Vec::new();
    let mut seen = 0;
    for file in rust_files()?.into_iter().filter(|file| file.path.components().any(|part| part.as_os_str() == "domain"))
    {
        seen += 1;
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            found.extend(
                IMPURE
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{}:{}: {word}", file.path.display(), number + 1)),
            );
        }
    }
    assert!(seen > 0, "no domain folder was found");
    assert!(
        found.is_empty(),
        "the domain takes time and chance as arguments and does no input or output:\n{}",
        found.join("\n")
    );
    Ok(())
}
