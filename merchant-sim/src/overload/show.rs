//! The report, as people read it.

use super::outcome::as_float;
use super::plot;
use super::report::{Figures, Level, Report, recovered_ms};
use super::servers::LOAD;
use crate::console::{Console, Style, column};

/// Shows everything, and last the worst of the figures that are promised.
pub fn show(reports: &[Report], console: &Console) {
    for report in reports {
        show_one(report, console);
    }
    let problems: Vec<String> = reports.iter().flat_map(Report::problems).collect();
    if !problems.is_empty() {
        console.heading("Not as it should be");
        problems.iter().for_each(|problem| console.line(console.paint(Style::Bad, problem)));
    }
    let all = reports.iter().map(Report::figures);
    let worst = all.reduce(|one, other| Figures {
        share: one.share.min(other.share),
        share_lowest: one.share_lowest.min(other.share_lowest),
        p99_ms: one.p99_ms.max(other.p99_ms),
        growth_mib: one.growth_mib.max(other.growth_mib),
        recovered_ms: one.recovered_ms.max(other.recovered_ms),
    });
    if let Some(worst) = worst {
        let verdict = if problems.is_empty() { "all as promised" } else { "NOT as promised" };
        console.line("");
        console.line(format!("{}; {verdict}", in_words("overload", worst)));
    }
}

fn in_words(what: &str, figures: Figures) -> String {
    let Figures { share, share_lowest, p99_ms, growth_mib, recovered_ms } = figures;
    format!(
        "{what}: up to 10x the load, goodput at least {:.0} % of its peak ({:.0} % in the worst round), p99 at most \
         {p99_ms:.0} ms, memory +{growth_mib:.0} MiB, the first success at most {recovered_ms:.0} ms after the load",
        share * 100.0,
        share_lowest * 100.0
    )
}

fn show_one(report: &Report, console: &Console) {
    let unit = report.path.unit();
    console.heading(&format!("Overload by {unit}"));
    let rounds = match report.rounds.len() {
        1 => "one round".to_owned(),
        count => format!("{count} rounds, of which this is the middle by what was done at each level"),
    };
    console.line(format!(
        "Carried: {:.0} {unit} a second, one after another by each caller; {}; {rounds}",
        report.carried(),
        report.processors
    ));
    console.line("");
    let head = [
        "load",
        "offered/s",
        "done/s",
        "of peak",
        "p50 ms",
        "p99 ms",
        "refused/s",
        "p99 ms",
        "late",
        "failed",
        "held back",
        "again ms",
    ];
    let head: String = head.iter().map(|name| format!("{name:>10}")).collect();
    console.line(console.paint(Style::Faint, &head));
    let middles = report.middles();
    for level @ Level { times, outcome, .. } in &middles {
        console.line(format!(
            "{:>10}{:>10.0}{:>10.0}{:>9.0}%{:>10.1}{:>10.1}{:>10.0}{:>10.1}{:>10}{:>10}{:>10}{:>10.0}",
            format!("{times}x"),
            outcome.offered(),
            outcome.goodput(),
            100.0 * report.share(*times),
            outcome.p50_ms,
            outcome.p99_ms,
            as_float(outcome.refused) / outcome.seconds,
            outcome.refused_p99_ms,
            outcome.late,
            outcome.failed,
            outcome.held_back,
            recovered_ms(level),
        ));
    }
    console.line("");
    let head = "processors used, and memory in MiB, at the end of these";
    console.line(console.paint(Style::Faint, &format!("{}{head}", column("", 18))));
    for server in report.loaded.iter().map(String::as_str).chain([LOAD]) {
        let cell = |level: &&Level| {
            let usage = level.usage_of(server);
            usage.map_or_else(String::new, |usage| {
                format!("{:>8.2} {:>6.0}", usage.processors, usage.memory_mib.last().copied().unwrap_or_default())
            })
        };
        let cells: String = middles.iter().map(cell).collect();
        console.line(format!("{}{cells}", column(server, 18)));
    }
    console.line("");
    plot::lines(report).iter().for_each(|line| console.line(line));
    console.line("");
    console.line(in_words(unit, report.figures()));
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sound;
    use super::*;

    #[test]
    fn the_last_line_has_the_worst_figures() {
        let mut report = sound();
        let mut better = report.rounds[0].clone();
        let levels = &mut report.rounds[0].levels;
        levels[1].outcome.p99_ms = 300.0;
        levels[2].outcome.good = 8_500;
        levels[3].outcome.recovered_ms = Some(900.0);
        better.levels[3].outcome.good = 8_800;
        report.rounds.push(better);
        let words = in_words("overload", report.figures());
        let expected = "overload: up to 10x the load, goodput at least 85 % of its peak (85 % in the worst round), p99 at \
                        most 300 ms, memory +0 MiB, the first success at most 900 ms after the load";
        assert_eq!(words, expected);
    }
}
