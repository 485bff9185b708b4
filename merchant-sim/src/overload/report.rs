//! What the levels say together, and whether it is what is promised.

use super::outcome::{Outcome, as_float};
use super::servers::Usage;
use super::{GOODPUT_SHARE_LOWEST, GOODPUT_SHARE_MIN, LEVELS, MEMORY_GROWTH_MIB_MAX, Path, RECOVERY_MAX};

/// One level of load, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// How many times what is carried.
    pub times: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// What each process used.
    pub usage: Vec<Usage>,
}

/// All levels, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// How many a second the closed loop had done.
    pub carried: f64,
    /// The levels, as one followed the other.
    pub levels: Vec<Level>,
}

/// One path under all levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which.
    pub path: Path,
    /// Who had which processors, in words.
    pub processors: String,
    /// The rounds, at least one.
    pub rounds: Vec<Round>,
    /// The servers that the load goes to.
    pub loaded: Vec<String>,
}

/// The figures that are promised, of one path or the worst of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) share: f64,
    pub(super) share_lowest: f64,
    pub(super) p99_ms: f64,
    pub(super) growth_mib: f64,
    /// Without end, where nothing was done after a level for as long as it was tried.
    pub(super) recovered_ms: f64,
}

impl Round {
    /// What was done at a level, as a share of the most that was done in a second of this round.
    fn share(&self, level: &Level) -> f64 {
        let goodput = |level: &Level| level.outcome.goodput();
        let peak = self.levels.iter().map(goodput).fold(self.carried, f64::max);
        goodput(level) / peak.max(f64::MIN_POSITIVE)
    }
}

impl Report {
    /// What is not as it should be; nothing where all is.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Figures { growth_mib, .. } = self.figures();
        let mut problems = Vec::new();
        let mut check = |is_good: bool, words: String| {
            if !is_good {
                problems.push(format!("{}: {words}", self.path.unit()));
            }
        };
        check(growth_mib <= MEMORY_GROWTH_MIB_MAX, format!("a server's memory grew by {growth_mib:.0} MiB"));
        for times in overloads() {
            let (share, lowest) = (self.share(times), self.share_lowest(times));
            let fell = format!("goodput at {times}x fell to");
            check(share >= GOODPUT_SHARE_MIN, format!("{fell} {:.0} % of its peak", share * 100.0));
            check(lowest >= GOODPUT_SHARE_LOWEST, format!("{fell} {:.0} % of its peak in one round", lowest * 100.0));
        }
        self.levels().for_each(|level| judge(level, self.path, &mut check));
        problems
    }

    /// Every level of every round, as one followed the other.
    fn levels(&self) -> impl Iterator<Item = &Level> {
        self.rounds.iter().flat_map(|round| &round.levels)
    }

    fn shares(&self, times: u32) -> Vec<f64> {
        let of_round = |round: &Round| {
            let levels = round.levels.iter().filter(|level| level.times == times);
            levels.map(|level| round.share(level)).collect::<Vec<f64>>()
        };
        self.rounds.iter().flat_map(of_round).collect()
    }

    /// What was done at a level as a share of its round's peak, in the middle of the rounds.
    pub(super) fn share(&self, times: u32) -> f64 {
        middle(self.shares(times))
    }

    /// The same in the worst round.
    fn share_lowest(&self, times: u32) -> f64 {
        self.shares(times).into_iter().reduce(f64::min).unwrap_or_default()
    }

    /// Of each level the run whose goodput is in the middle, the lowest level first.
    pub(super) fn middles(&self) -> Vec<&Level> {
        let middle = |times: u32| {
            let mut runs: Vec<&Level> = self.levels().filter(|level| level.times == times).collect();
            runs.sort_by(|one, other| one.outcome.goodput().total_cmp(&other.outcome.goodput()));
            runs.get(middle_of(runs.len())).copied()
        };
        LEVELS.into_iter().filter_map(middle).collect()
    }

    /// What the closed loop had done in a second, in the middle of the rounds.
    pub(super) fn carried(&self) -> f64 {
        middle(self.rounds.iter().map(|round| round.carried).collect())
    }

    /// The worst of all levels, but for the goodput where no more is sent than is carried.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            share: overloads().map(|times| self.share(times)).fold(1.0, f64::min),
            share_lowest: overloads().map(|times| self.share_lowest(times)).fold(1.0, f64::min),
            p99_ms: self.levels().map(|level| level.outcome.p99_ms).fold(0.0, f64::max),
            growth_mib: self.loaded.iter().map(|server| self.growth_mib(server)).fold(0.0, f64::max),
            recovered_ms: self.levels().map(recovered_ms).fold(0.0, f64::max),
        }
    }

    /// A server's resident memory in MiB, over all rounds.
    pub(super) fn memory_mib(&self, server: &str) -> Vec<f64> {
        self.levels().flat_map(|level| level.memory_mib(server)).copied().collect()
    }

    /// From the end of the first level of all to the highest since.
    fn growth_mib(&self, server: &str) -> f64 {
        let mut levels = self.levels().map(|level| level.memory_mib(server));
        let before = levels.next().and_then(|memory| memory.last().copied()).unwrap_or_default();
        levels.flatten().copied().fold(before, f64::max) - before
    }
}

impl Level {
    pub(super) fn usage_of(&self, server: &str) -> Option<&Usage> {
        self.usage.iter().find(|usage| usage.name == server)
    }

    fn memory_mib(&self, server: &str) -> &[f64] {
        self.usage_of(server).map_or(&[], |usage| &usage.memory_mib)
    }
}

/// The levels at which more is sent than is carried: at the others no more than what is sent can be done.
fn overloads() -> impl Iterator<Item = u32> {
    LEVELS.into_iter().filter(|times| *times > 1)
}

/// What must hold each time.
fn judge(level: &Level, path: Path, check: &mut impl FnMut(bool, String)) {
    let Level { times, outcome, .. } = level;
    let bound = path.p99_max().as_secs_f64() * 1e3;
    check(outcome.p99_ms <= bound, format!("p99 at {times}x is {:.0} ms, over {bound:.0}", outcome.p99_ms));
    check(outcome.refused_bare == 0, format!("{} refusals at {times}x without RetryInfo", outcome.refused_bare));
    let why = outcome.first_failure.as_deref().unwrap_or_default();
    check(outcome.failed == 0, format!("{} failed at {times}x: {why}", outcome.failed));
    // Work that nobody waits for any more when it is done is what an overload must not turn into.
    let late = as_float(outcome.late) <= as_float(outcome.begun) / 100.0;
    check(late, format!("{} had no answer in time at {times}x", outcome.late));
    let recovered = recovered_ms(level);
    let bound = RECOVERY_MAX.as_secs_f64() * 1e3;
    check(recovered <= bound, format!("nothing was done for {recovered:.0} ms after {times}x, over {bound:.0}"));
}

/// The one in the middle, or the lower of the two.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(middle_of(values.len())).copied().unwrap_or_default()
}

fn middle_of(count: usize) -> usize {
    count.saturating_sub(1) / 2
}

pub(super) fn recovered_ms(level: &Level) -> f64 {
    level.outcome.recovered_ms.unwrap_or(f64::INFINITY)
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
        Report {
            path: Path::Authorize,
            processors: String::new(),
            rounds: vec![Round { carried: 1_000.0, levels }],
            loaded: vec!["a".to_owned()],
        }
    }

    fn changed(change: impl FnOnce(&mut Level)) -> Vec<String> {
        let mut report = sound();
        change(&mut report.rounds[0].levels[3]);
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
        let grown = changed(|level| level.usage.iter_mut().for_each(|usage| usage.memory_mib.push(157.0)));
        assert_eq!(grown, ["authorizations: a server's memory grew by 97 MiB"]);
    }

    /// A sound report with more rounds, each with so many percent done at ten times the load.
    fn rounds(percent_at_most: &[u64]) -> Report {
        let mut report = sound();
        let round = report.rounds.remove(0);
        report.rounds = percent_at_most
            .iter()
            .map(|percent| {
                let mut round = round.clone();
                round.levels[3].outcome.good = percent * 100;
                round
            })
            .collect();
        report
    }

    #[test]
    fn of_several_rounds_the_middle_one_counts_and_the_worst_has_a_bound_of_its_own() {
        let report = rounds(&[79, 95, 81]);
        assert_eq!(report.problems(), Vec::<String>::new());
        let Figures { share, share_lowest, .. } = report.figures();
        assert!((share - 0.81).abs() < 1e-9 && (share_lowest - 0.79).abs() < 1e-9);
        assert_eq!(report.middles()[3].outcome.good, 8_100);
        assert_eq!(rounds(&[79, 95, 79]).problems(), ["authorizations: goodput at 10x fell to 79 % of its peak"]);
        assert_eq!(
            rounds(&[90, 59, 90]).problems(),
            ["authorizations: goodput at 10x fell to 59 % of its peak in one round"]
        );
        // A round in which everything was slow tells nothing of what an overload costs.
        let mut slow = rounds(&[90, 90]);
        slow.rounds[1].carried = 333.0;
        slow.rounds[1].levels.iter_mut().for_each(|level| level.outcome.good /= 3);
        assert_eq!(slow.problems(), Vec::<String>::new());
    }

    #[test]
    fn what_must_hold_each_time_is_looked_for_in_every_round() {
        let mut report = rounds(&[90, 90, 90]);
        report.rounds[1].levels[1].outcome.failed = 2;
        report.rounds[2].levels[0].usage[0].memory_mib = vec![70.0, 160.0, 80.0];
        assert_eq!(
            report.problems(),
            ["authorizations: a server's memory grew by 100 MiB", "authorizations: 2 failed at 2x: "]
        );
    }
}
