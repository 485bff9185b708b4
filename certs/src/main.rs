//! The `certs` program: see `certs --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    certs::cli::run()
}
