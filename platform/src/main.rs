//! The platform's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::boot::main("platform", platform::run)
}
