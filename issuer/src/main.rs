//! The issuer's process: `issuer --config FILE` serves, `issuer import …` loads customers,
//! `issuer vault check …` looks for damage, `issuer audit …` checks the audit trail, `issuer operate …` asks
//! something of a running issuer.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::boot::forbid_core_dumps();
    let arguments = || std::env::args_os().skip(1);
    let first = arguments().next();
    match first.as_ref().and_then(|first| first.to_str()) {
        Some("import") => issuer::import_command(arguments()),
        Some("vault") => issuer::vault_command(arguments()),
        Some("audit") => issuer::audit_command(arguments()),
        Some("operate") => issuer::operate_command(arguments()),
        Some(_) | None => mesh::boot::main("issuer", issuer::run),
    }
}
