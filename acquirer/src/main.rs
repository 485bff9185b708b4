//! The acquirer's process: `acquirer --config FILE` serves, `acquirer operate …` asks something of a running one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = || std::env::args_os().skip(1);
    let first = arguments().next();
    match first.as_ref().and_then(|first| first.to_str()) {
        Some("operate") => acquirer::operate_command(arguments()),
        Some(_) | None => mesh::boot::main("acquirer", acquirer::run),
    }
}
