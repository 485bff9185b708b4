//! The issuer's process: `issuer --config FILE` serves, `issuer import …` loads customers.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == "import") {
        return issuer::import_command(std::env::args_os().skip(1));
    }
    mesh::boot::main("issuer", issuer::run)
}
