//! All roles' real code in one process under a seeded scheduler with faults.

use std::process::ExitCode;

fn main() -> ExitCode {
    simulation::cli::main()
}
