//! What a scenario found out: its steps, and its checks with what was expected beside what came.

use std::time::Duration;

use serde::Serialize;

use crate::console::{Console, Style, column, duration};

/// One step of a flow, as the specification numbers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// "S01" to "S20".
    pub number: &'static str,
    /// Who called.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// By what: an RPC, or an HTTP request.
    pub call: &'static str,
    /// What happened.
    pub what: String,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// One thing that had to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it belongs to.
    pub group: &'static str,
    /// What was tried.
    pub name: String,
    /// What had to come.
    pub expected: String,
    /// What came.
    pub got: String,
    /// Whether it was an attempt that had to be refused.
    pub refusal: bool,
    /// Whether they are the same.
    pub passed: bool,
}

/// Something that was not tried, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What would have been tried.
    pub name: &'static str,
    /// Why it was not.
    pub why: &'static str,
}

/// Everything that a run found out; the machine-readable report is this.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether every check passed.
    pub passed: bool,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The checks, in order.
    pub checks: Vec<Check>,
    /// What was not tried.
    pub skipped: Vec<Skipped>,
    /// Where the run's files are, if they were kept.
    pub folder: Option<std::path::PathBuf>,
    /// How long all of it took, in milliseconds.
    pub millis: u64,
}

impl Report {
    /// Notes a step and shows it.
    pub fn step(&mut self, console: &Console, step: Step) {
        let route = format!("{} → {}", step.from, step.to);
        let time = duration(Duration::from_micros(step.micros));
        let call = console.paint(Style::Strong, &column(step.call, 38));
        console.line(format!("{}  {} {call} {time:>8}", step.number, column(&route, 52)));
        for line in step.what.lines() {
            console.line(format!("     {}", console.paint(Style::Faint, line)));
        }
        self.steps.push(step);
    }

    /// Notes a check: the two texts must be the same.
    pub fn check(&mut self, console: &Console, group: &'static str, name: &str, expected: &str, got: &str) {
        self.note(console, group, name, [expected, got], false);
    }

    /// Notes an attempt that had to be refused; it comes again in the table of refusals.
    pub fn refusal(&mut self, console: &Console, group: &'static str, name: &str, expected: &str, got: &str) {
        self.note(console, group, name, [expected, got], true);
    }

    fn note(&mut self, console: &Console, group: &'static str, name: &str, texts: [&str; 2], refusal: bool) {
        let [expected, got] = texts.map(str::to_owned);
        let passed = expected == got;
        let check = Check { group, name: name.to_owned(), expected, got, refusal, passed };
        console.line(row(console, &check));
        self.checks.push(check);
    }

    /// Notes what is not tried.
    pub fn skip(&mut self, console: &Console, name: &'static str, why: &'static str) {
        console.line(format!("{} {name}: {why}", console.paint(Style::Faint, "skip")));
        self.skipped.push(Skipped { name, why });
    }

    /// Ends the report with a summary for each group and every check that failed.
    pub fn finish(&mut self, console: &Console, took: Duration) {
        self.millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let failed: Vec<&Check> = self.checks.iter().filter(|check| !check.passed).collect();
        self.passed = failed.is_empty() && !self.checks.is_empty();
        self.show_refusals(console);
        console.heading("Checks");
        let mut groups: Vec<&str> = Vec::new();
        for check in &self.checks {
            if !groups.contains(&check.group) {
                groups.push(check.group);
            }
        }
        for group in groups {
            let of_group: Vec<&Check> = self.checks.iter().filter(|check| check.group == group).collect();
            let passed = of_group.iter().filter(|check| check.passed).count();
            let mark = mark(console, passed == of_group.len());
            console.line(format!("{mark} {} {passed:>3} of {}", column(group, 60), of_group.len()));
        }
        for check in &failed {
            console.line(row(console, check));
        }
        let total = self.checks.len();
        let text = format!(
            "{} of {total} checks passed, {} skipped, in {}",
            total - failed.len(),
            self.skipped.len(),
            duration(took)
        );
        let style = if self.passed { Style::Good } else { Style::Bad };
        console.line("");
        console.line(console.paint(style, &text));
    }
}

impl Report {
    /// The table of refusals: what had to come, beside what came.
    fn show_refusals(&self, console: &Console) {
        let refusals: Vec<&Check> = self.checks.iter().filter(|check| check.refusal).collect();
        if refusals.is_empty() {
            return;
        }
        console.heading("Refusals");
        let head = format!("     {} {} {}", column("attempt", NAME_WIDTH), column("expected", REASON_WIDTH), "got");
        console.line(console.paint(Style::Faint, &head));
        for check in refusals {
            let name = column(&check.name, NAME_WIDTH);
            let expected = column(&check.expected, REASON_WIDTH);
            console.line(format!("{} {name} {expected} {}", mark(console, check.passed), check.got));
        }
    }
}

/// The widths of the columns.
const NAME_WIDTH: usize = 60;
const REASON_WIDTH: usize = 46;

fn mark(console: &Console, passed: bool) -> String {
    if passed { console.paint(Style::Good, "ok  ") } else { console.paint(Style::Bad, "FAIL") }
}

fn row(console: &Console, check: &Check) -> String {
    let name = column(&check.name, NAME_WIDTH);
    if check.passed {
        return format!("{} {name} {}", mark(console, true), check.got);
    }
    format!("{} {name} expected {}, got {}", mark(console, false), check.expected, check.got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Stream;

    #[test]
    fn one_failed_check_fails_the_report() {
        let console = Console::new(Stream::Nowhere);
        let mut report = Report::default();
        report.check(&console, "declines", "a lost card", "LOST_CARD", "LOST_CARD");
        report.finish(&console, Duration::from_millis(5));
        assert!(report.passed);
        report.check(&console, "declines", "a stolen card", "STOLEN_CARD", "APPROVED");
        report.finish(&console, Duration::from_millis(5));
        assert!(!report.passed);
        let json = serde_json::to_value(&report).expect("a report is JSON");
        assert_eq!(json["checks"][1]["got"], "APPROVED");
    }

    #[test]
    fn a_report_without_checks_has_not_passed() {
        let mut report = Report::default();
        report.finish(&Console::new(Stream::Nowhere), Duration::ZERO);
        assert!(!report.passed);
    }
}
