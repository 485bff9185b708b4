//! A shop and a cardholder's device for Bankside.

use std::process::ExitCode;

fn main() -> ExitCode {
    merchant_sim::cli::main()
}
