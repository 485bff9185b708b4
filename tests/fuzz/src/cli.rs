//! The command line.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use data_encoding::HEXLOWER;

use crate::{decoders, wire};

/// Feeds hostile bytes to every decoder and every RPC.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long, in seconds: half of it for the decoders, half for the servers.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where chance begins; another number each time where it is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this decoder.
    #[arg(long, value_name = "NAME")]
    decoder: Option<String>,
    /// Only this input for the decoder, in hexadecimal digits.
    #[arg(long, value_name = "HEX", requires = "decoder")]
    input: Option<String>,
}

/// The program from its command line to its exit code.
pub(crate) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => {
            say(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("fuzz: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let targets = decoders::all();
    let wanted = |target: &&decoders::Decoder| arguments.decoder.as_ref().is_none_or(|name| *name == target.name);
    let chosen: Vec<&decoders::Decoder> = targets.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        bail!("there is no such decoder; there are: {}", names.join(", "));
    }
    if let Some(input) = &arguments.input {
        let bytes = HEXLOWER.decode(input.as_bytes()).context("--input is not hexadecimal digits")?;
        chosen.iter().for_each(|target| (target.decode)(&bytes));
        return Ok("fuzz: 1 input, 0 panics".to_owned());
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("seed {seed}"));
    let began = Instant::now();
    let half = Duration::from_secs(arguments.seconds) / 2;
    let decoded = decoders::run(&chosen, seed, half)?;
    let called = if arguments.decoder.is_none() { wire::run(seed, half)? } else { wire::Called::default() };
    Ok(format!(
        "fuzz: {decoded} inputs for {} decoders and {} calls of {} RPCs in {:.0} s, {} of them answered well; 0 panics, 0 internal errors",
        chosen.len(),
        called.calls,
        called.rpcs,
        began.elapsed().as_secs_f64(),
        called.answered,
    ))
}

#[allow(clippy::print_stdout, reason = "what was tried is what this program is for")]
fn say(text: &str) {
    println!("{text}");
}
