//! The same seed tells the same story.

use simulation::{model::Plan, run::run};

/// Enough for every kind of accident to occur several times.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=80;

#[test]
fn the_same_seed_tells_the_same_story_line_for_line() {
    for seed in SEEDS {
        let [first, second] = [run(Plan::of(seed), None, true), run(Plan::of(seed), None, true)];
        let differs = first.history.lines().zip(second.history.lines()).position(|(one, other)| one != other);
        if let Some(line) = differs {
            let [one, other] =
                [&first, &second].map(|run| run.history.lines().nth(line).unwrap_or_default().to_owned());
            panic!("seed {seed}, line {}:\n{one}\n{other}", line + 1);
        }
        assert_eq!(first.history.len(), second.history.len(), "seed {seed}");
        assert_eq!((first.payments, first.faults), (second.payments, second.faults), "seed {seed}");
    }
}

#[test]
fn whether_the_history_is_kept_changes_nothing() {
    for seed in SEEDS {
        let [kept, not] = [run(Plan::of(seed), None, true), run(Plan::of(seed), None, false)];
        assert_eq!((kept.payments, kept.faults, kept.failure), (not.payments, not.faults, not.failure), "seed {seed}");
        assert!(!kept.history.is_empty() && not.history.is_empty());
    }
}
