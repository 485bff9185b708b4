//! The command: one line for each configuration and each mistake, and a last line with the sum.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    configuration::{self, Configuration},
    mistake::Mistake,
    run::{self, Checked},
    story::Story,
};

/// Checks the protocol of a payment exhaustively within small bounds.
#[derive(Debug, Parser)]
#[command(name = "protocol-model")]
struct Arguments {
    /// Check the deep configuration as well, which takes minutes
    #[arg(long)]
    deep: bool,
    /// Check this configuration alone
    #[arg(long, value_name = "NAME", conflicts_with_all = ["deep", "mistake"])]
    configuration: Option<String>,
    /// Make this mistake and print the shortest way to its discovery
    #[arg(long, value_name = "NAME")]
    mistake: Option<Mistake>,
    /// Name the configurations and the mistakes
    #[arg(long)]
    list: bool,
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn run(arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    if arguments.list {
        return list(out);
    }
    if let Some(mistake) = arguments.mistake {
        return tell(mistake, out);
    }
    match &arguments.configuration {
        Some(name) => match configuration::find(name) {
            Some(configuration) => Ok(check(configuration, out)?.holds()),
            None => {
                writeln!(out, "{name:?} is no configuration; --list names them")?;
                Ok(false)
            }
        },
        None => check_all(arguments.deep, out),
    }
}

fn check_all(deep: bool, out: &mut impl Write) -> io::Result<bool> {
    let wanted = configuration::ALL.iter().chain(configuration::DEEP.iter().filter(|_| deep));
    let (mut configurations, mut states, mut violations, mut unseen) = (0, 0, 0, 0);
    for configuration in wanted {
        let checked = check(configuration, out)?;
        configurations += 1;
        states += checked.unique;
        violations += checked.violations.len();
        unseen += checked.unseen.len();
    }
    let mut found = 0;
    for mistake in Mistake::ALL {
        let searched = run::search(*mistake);
        let verdict = match &searched.way {
            Some(way) if way.steps() == 1 => "found in 1 step".to_owned(),
            Some(way) => format!("found in {} steps", way.steps()),
            None => "NOT FOUND".to_owned(),
        };
        found += usize::from(searched.way.is_some());
        let took = searched.took.as_secs_f64();
        writeln!(out, "mistake {mistake}: {verdict}, {took:.1} s: {}", mistake.found_by())?;
    }
    let mistakes = Mistake::ALL.len();
    writeln!(
        out,
        "model: {configurations} configurations, {states} states, {violations} violations; \
         {mistakes} seeded mistakes, {found} found"
    )?;
    Ok(violations == 0 && unseen == 0 && found == mistakes)
}

fn check(configuration: &Configuration, out: &mut impl Write) -> io::Result<Checked> {
    let checked = run::check(configuration);
    writeln!(
        out,
        "{}: {} states, {} unique, depth {}, {:.1} s, certain within {} rounds, {} violations",
        configuration.name,
        checked.states,
        checked.unique,
        checked.depth,
        checked.took.as_secs_f64(),
        checked.rounds_max,
        checked.violations.len(),
    )?;
    for (name, way) in &checked.violations {
        writeln!(out, "  violated: {name}\n{}", Story(way))?;
    }
    for sight in &checked.unseen {
        writeln!(out, "  not {sight}")?;
    }
    Ok(checked)
}

fn tell(mistake: Mistake, out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "{mistake}: {}", mistake.description())?;
    writeln!(out, "looked for in {}", mistake.configuration())?;
    match run::search(mistake).way {
        Some(way) => {
            writeln!(out, "found by: {}\n{}", mistake.found_by(), Story(&way))?;
            Ok(true)
        }
        None => {
            writeln!(out, "NOT FOUND by: {}", mistake.found_by())?;
            Ok(false)
        }
    }
}

fn list(out: &mut impl Write) -> io::Result<bool> {
    for configuration in configuration::ALL.iter().chain(configuration::DEEP) {
        writeln!(out, "configuration {}", configuration.name)?;
    }
    for mistake in Mistake::ALL {
        writeln!(out, "mistake {mistake}: {}", mistake.description())?;
    }
    Ok(true)
}
