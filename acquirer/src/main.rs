//! The acquirer's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::boot::main("acquirer", acquirer::run)
}
