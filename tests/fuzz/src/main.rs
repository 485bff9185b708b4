//! Hostile bytes for every decoder at an edge, and for every RPC of the real servers over real sockets.
//!
//! Messages are made from the contracts' own descriptors, with values that the parsers take seriously, and
//! then damaged. A run has a seed and can be repeated; what breaks something is printed as hexadecimal
//! digits, to be tried alone.

use std::process::ExitCode;

mod cli;
mod decoders;
mod messages;
mod mutate;
mod wire;

fn main() -> ExitCode {
    cli::main()
}
