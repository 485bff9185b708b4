//! What the levels say together, and whether it is what is promised.

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, as_float};
use super::servers::{LOAD, Pid, Usage};
use super::{GOODPUT_SHARE_MIN, LEVELS, MEMORY_GROWTH_MIB_MAX, Path, RECOVERY_MAX, plot};
use crate::console::{Console, Style, column};

/// One level of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// How many times what is carried.
    pub times: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// What each process used.
    pub usage: Vec<Usage>,
}

/// All levels, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// How many a second the closed loop had done.
    pub carried: f64,
    /// The levels, as one followed the other.
    pub levels: Vec<Level>,
}

/// One path under all levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which.
    pub path: Path,
    /// Who had which processors, in words.
    pub processors: String,
    /// How many a second the closed loop had done: the middle of the rounds.
    pub carried: f64,
    /// What the rounds say of each level together, the lowest first.
    pub levels: Vec<Level>,
    /// The servers that the load goes to.
    pub loaded: Vec<Loaded>,
}

/// A server under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its resident memory in MiB over all rounds.
    pub memory_mib: Vec<f64>,
    /// The same, at the end of the first level of the first round.
    pub memory_before_mib: f64,
}

/// The figures that are promised, of one path or the worst of several.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    share: f64,
    p99_ms: f64,
    growth_mib: f64,
    /// Without end, where nothing was done after a level for as long as it was tried.
    recovered_ms: f64,
}

impl Report {
    /// Puts the rounds together; none of no round.
    pub(super) fn new(path: Path, processors: String, rounds: &[Round], loaded: &[Pid]) -> Option<Self> {
        let mut carried: Vec<f64> = rounds.iter().map(|round| round.carried).collect();
        carried.sort_by(f64::total_cmp);
        let in_order = || rounds.iter().flat_map(|round| &round.levels);
        let levels: Option<Vec<Level>> = LEVELS.into_iter().map(|times| Level::together(times, in_order())).collect();
        let loaded = loaded.iter().map(|Pid { name, .. }| {
            let mut memory = in_order().map(|level| level.usage_of(name).map_or(&[][..], |usage| &usage.memory_mib));
            let first = memory.clone().next().unwrap_or_default();
            let memory_before_mib = first.last().copied().unwrap_or_default();
            let memory_mib = memory.by_ref().flatten().copied().collect();
            Loaded { name: name.clone(), memory_mib, memory_before_mib }
        });
        let carried = *carried.get(rounds.len().saturating_sub(1) / 2)?;
        Some(Self { path, processors, carried, levels: levels?, loaded: loaded.collect() })
    }

    /// What is not as it should be; nothing where all is.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Figures { growth_mib, .. } = self.figures();
        let peak = self.peak();
        let mut problems = Vec::new();
        let mut check = |is_good: bool, words: String| {
            if !is_good {
                problems.push(format!("{}: {words}", self.path.unit()));
            }
        };
        check(growth_mib <= MEMORY_GROWTH_MIB_MAX, format!("a server's memory grew by {growth_mib:.0} MiB"));
        for level @ Level { times, outcome, .. } in &self.levels {
            // Where no more is sent than is carried, no more than that can be done.
            let share = outcome.goodput() / peak;
            let is_kept = *times == 1 || share >= GOODPUT_SHARE_MIN;
            check(is_kept, format!("goodput at {times}x fell to {:.0} % of its peak", share * 100.0));
            let bound = self.path.p99_max().as_secs_f64() * 1e3;
            check(outcome.p99_ms <= bound, format!("p99 at {times}x is {:.0} ms, over {bound:.0}", outcome.p99_ms));
            check(
                outcome.refused_bare == 0,
                format!("{} refusals at {times}x without RetryInfo", outcome.refused_bare),
            );
            let why = outcome.first_failure.as_deref().unwrap_or_default();
            check(outcome.failed == 0, format!("{} failed at {times}x: {why}", outcome.failed));
            // Work that nobody waits for any more when it is done is what an overload must not turn into.
            let late = as_float(outcome.late) <= as_float(outcome.begun) / 100.0;
            check(late, format!("{} had no answer in time at {times}x", outcome.late));
            let recovered = recovered_ms(level);
            let bound = RECOVERY_MAX.as_secs_f64() * 1e3;
            check(
                recovered <= bound,
                format!("nothing was done for {recovered:.0} ms after {times}x, over {bound:.0}"),
            );
        }
        problems
    }

    /// The most that was ever done in a second.
    fn peak(&self) -> f64 {
        let goodput = |level: &Level| level.outcome.goodput();
        self.levels.iter().map(goodput).fold(self.carried, f64::max).max(f64::MIN_POSITIVE)
    }

    /// The worst of all levels, but for the goodput where no more is sent than is carried.
    fn figures(&self) -> Figures {
        let overloaded = self.levels.iter().filter(|level| level.times > 1);
        let lowest = overloaded.map(|level| level.outcome.goodput()).reduce(f64::min);
        Figures {
            share: lowest.unwrap_or_default() / self.peak(),
            p99_ms: self.levels.iter().map(|level| level.outcome.p99_ms).fold(0.0, f64::max),
            growth_mib: self.loaded.iter().map(Loaded::growth_mib).fold(0.0, f64::max),
            recovered_ms: self.levels.iter().map(recovered_ms).fold(0.0, f64::max),
        }
    }
}

impl Level {
    /// What the runs of one level say together.
    fn together<'a>(times: u32, all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let runs: Vec<&Self> = all.filter(|level| level.times == times).collect();
        let outcomes: Vec<&Outcome> = runs.iter().map(|level| &level.outcome).collect();
        Some(Self { times, outcome: Outcome::together(&outcomes)?, usage: runs.last()?.usage.clone() })
    }

    fn usage_of(&self, name: &str) -> Option<&Usage> {
        self.usage.iter().find(|usage| usage.name == name)
    }
}

impl Loaded {
    /// From the end of the first level of all to the highest of all.
    fn growth_mib(&self) -> f64 {
        self.memory_mib.iter().copied().fold(self.memory_before_mib, f64::max) - self.memory_before_mib
    }
}

fn recovered_ms(level: &Level) -> f64 {
    level.outcome.recovered_ms.unwrap_or(f64::INFINITY)
}

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

fn in_words(what: &str, Figures { share, p99_ms, growth_mib, recovered_ms }: Figures) -> String {
    format!(
        "{what}: up to 10x the load, goodput at least {:.0} % of its peak, p99 at most {p99_ms:.0} ms, \
         memory +{growth_mib:.0} MiB, the first success at most {recovered_ms:.0} ms after the load",
        share * 100.0
    )
}

fn show_one(report: &Report, console: &Console) {
    let unit = report.path.unit();
    console.heading(&format!("Overload by {unit}"));
    console.line(format!(
        "Carried: {:.0} {unit} a second, one after another by each caller; {}",
        report.carried, report.processors
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
    let peak = report.peak();
    for level @ Level { times, outcome, .. } in &report.levels {
        console.line(format!(
            "{:>10}{:>10.0}{:>10.0}{:>9.0}%{:>10.1}{:>10.1}{:>10.0}{:>10.1}{:>10}{:>10}{:>10}{:>10.0}",
            format!("{times}x"),
            outcome.offered(),
            outcome.goodput(),
            100.0 * outcome.goodput() / peak,
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
    let head = "processors used, and memory in MiB at the end";
    console.line(console.paint(Style::Faint, &format!("{}{head}", column("", 18))));
    for server in report.loaded.iter().map(|server| server.name.as_str()).chain([LOAD]) {
        let cell = |level: &Level| {
            let usage = level.usage_of(server);
            usage.map_or_else(String::new, |usage| {
                format!("{:>8.2} {:>6.0}", usage.processors, usage.memory_mib.last().copied().unwrap_or_default())
            })
        };
        let cells: String = report.levels.iter().map(cell).collect();
        console.line(format!("{}{cells}", column(server, 18)));
    }
    console.line("");
    plot::lines(report).iter().for_each(|line| console.line(line));
    console.line("");
    console.line(in_words(unit, report.figures()));
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A report in which all is well.
    pub(in super::super) fn sound() -> Report {
        let level = |times: u32, good: u64| Level {
            times,
            outcome: Outcome {
                seconds: 10.0,
                begun: good,
                good,
                p99_ms: 200.0,
                recovered_ms: Some(60.0),
                ..Outcome::default()
            },
            usage: vec![Usage { name: "a".to_owned(), processors: 1.0, memory_mib: vec![50.0, 60.0] }],
        };
        let levels = vec![level(1, 10_000), level(2, 9_900), level(5, 9_500), level(10, 9_000)];
        let rounds = [Round { carried: 1_000.0, levels }];
        Report::new(Path::Authorize, String::new(), &rounds, &[Pid { name: "a".to_owned(), id: 1 }]).unwrap()
    }

    fn changed(change: impl FnOnce(&mut Level)) -> Vec<String> {
        let mut report = sound();
        if let Some(last) = report.levels.last_mut() {
            change(last);
        }
        report.problems()
    }

    #[test]
    fn each_promise_is_checked() {
        assert_eq!(sound().problems(), Vec::<String>::new());
        assert_eq!(
            changed(|level| level.outcome.good = 7_900),
            ["authorizations: goodput at 10x fell to 79 % of its peak"]
        );
        assert_eq!(changed(|level| level.outcome.p99_ms = 1_001.0).len(), 1);
        assert_eq!(changed(|level| level.outcome.refused_bare = 1).len(), 1);
        assert_eq!(changed(|level| level.outcome.failed = 1).len(), 1);
        assert_eq!(changed(|level| level.outcome.late = 91).len(), 1);
        assert_eq!(changed(|level| level.outcome.recovered_ms = Some(3_000.0)).len(), 0);
        assert_eq!(
            changed(|level| level.outcome.recovered_ms = Some(19_000.0)),
            ["authorizations: nothing was done for 19000 ms after 10x, over 3000"]
        );
        assert_eq!(changed(|level| level.outcome.recovered_ms = None).len(), 1);
        let mut grown = sound();
        grown.loaded[0].memory_mib.push(157.0);
        assert_eq!(grown.problems(), ["authorizations: a server's memory grew by 97 MiB"]);
    }

    #[test]
    fn rounds_are_put_together_level_by_level() {
        let round = |carried: f64, factor: u64| {
            let mut levels = sound().levels;
            levels.iter_mut().for_each(|level| level.outcome.good = level.outcome.good * factor / 10);
            Round { carried, levels }
        };
        let mut rounds = [round(900.0, 10), round(1_100.0, 8), round(1_000.0, 9)];
        rounds[1].levels.reverse();
        rounds[1].levels[0].usage[0].memory_mib = vec![90.0];
        let report =
            Report::new(Path::Authorize, String::new(), &rounds, &[Pid { name: "a".to_owned(), id: 1 }]).unwrap();
        assert!((report.carried - 1_000.0).abs() < 1e-9);
        let good: Vec<(u32, u64)> = report.levels.iter().map(|level| (level.times, level.outcome.good)).collect();
        assert_eq!(good, [(1, 9_000), (2, 8_910), (5, 8_550), (10, 8_100)]);
        assert!((report.figures().growth_mib - 30.0).abs() < 1e-9, "from 60 to 90");
        assert_eq!(Report::new(Path::Authorize, String::new(), &[], &[]), None);
    }

    #[test]
    fn the_last_line_has_the_worst_figures() {
        let mut report = sound();
        report.levels[1].outcome.p99_ms = 300.0;
        report.levels[2].outcome.good = 8_500;
        report.levels[3].outcome.recovered_ms = Some(900.0);
        let words = in_words("overload", report.figures());
        let expected = "overload: up to 10x the load, goodput at least 85 % of its peak, p99 at most 300 ms, memory +0 \
                        MiB, the first success at most 900 ms after the load";
        assert_eq!(words, expected);
    }
}
