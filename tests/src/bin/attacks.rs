//! Plays every table of attacks against real servers and says how many were refused.

use std::process::ExitCode;

use tests::{attacks::Table, hostile_customers, hostile_members, hostile_platform};

#[tokio::main]
async fn main() -> ExitCode {
    let tables = [
        shown(hostile_platform::table().await),
        shown(hostile_members::table().await),
        shown(hostile_customers::table().await),
    ];
    let attacks: usize = tables.iter().map(Table::attacks).sum();
    let refused: usize = tables.iter().map(Table::refused).sum();
    say(&format!("{attacks} attacks, {refused} refused"));
    if tables.iter().all(Table::is_refused) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A table is shown as soon as it was played.
fn shown(table: Table) -> Table {
    say(&format!("{table}\n"));
    table
}

#[allow(clippy::print_stdout, reason = "the tables are what this program is for")]
fn say(text: &str) {
    println!("{text}");
}
