//! The protocol of a payment, checked exhaustively within small bounds.

use std::process::ExitCode;

fn main() -> ExitCode {
    protocol_model::cli::main()
}
