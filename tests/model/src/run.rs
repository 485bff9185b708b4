//! Runs of the checker.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _, Path};

use crate::{
    action::Action,
    certainty::Certainty,
    configuration::{self, Configuration},
    mistake::Mistake,
    property,
    state::State,
    world::World,
};

/// A way from the beginning to a moment that violates a property.
#[derive(Debug)]
pub struct Way {
    /// The moments, each with what was done there; nothing was at the last one.
    pub moments: Vec<(State, Option<Action>)>,
    /// Where things stand when the faults have ended and nothing more happens, for a property that says that
    /// they are then final.
    pub end: Option<State>,
}

impl Way {
    /// How many actions lead there.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.moments.len().saturating_sub(1)
    }

    fn new(world: &World, property: &str, path: Path<State, Action>) -> Self {
        let end = property::weather(property).map(|weather| Certainty::end(world, path.last_state(), weather));
        Self { moments: path.into_vec(), end }
    }
}

/// What a run over one configuration has found.
#[derive(Debug)]
pub struct Checked {
    /// How many moments were reached, each as often as it was.
    pub states: usize,
    /// How many different ones.
    pub unique: usize,
    /// The longest of the shortest ways to one.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The most rounds in which certainty was reached from any of them.
    pub rounds_max: u16,
    /// The properties that were violated, each with a way there.
    pub violations: BTreeMap<&'static str, Way>,
    /// What the configuration must show and didn't.
    pub unseen: Vec<&'static str>,
}

impl Checked {
    /// Whether everything holds, and enough was tried.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.unseen.is_empty()
    }
}

/// What a search for a mistake has found.
#[derive(Debug)]
pub struct Searched {
    /// How many moments were reached until then, each as often as it was.
    pub states: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a violation of the property that must find it; none where it wasn't found.
    pub way: Option<Way>,
}

/// Tries everything in a configuration.
#[must_use]
pub fn check(configuration: &Configuration) -> Checked {
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let world = World::new(configuration, None);
    let checker = world.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut found = checker.discoveries();
    let violations = property::all()
        .into_iter()
        .filter_map(|property| Some((property.name, found.remove(property.name)?)))
        .map(|(name, path)| (name, Way::new(checker.model(), name, path)))
        .collect();
    Checked {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        rounds_max: checker.model().certainty.rounds_max(),
        violations,
        unseen: configuration.shows.iter().copied().filter(|sight| !found.contains_key(sight)).collect(),
    }
}

/// Looks for a mistake, in breadth and with one thread, so that the first way found is the shortest.
///
/// # Panics
/// The mistake names a configuration that there is not.
#[must_use]
pub fn search(mistake: Mistake) -> Searched {
    let began = Instant::now();
    let configuration = configuration::find(mistake.configuration()).expect("invariant: a test looks at every mistake");
    let world = World::new(configuration, Some(mistake));
    let checker = world.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let path = checker.discoveries().remove(mistake.found_by());
    let way = path.map(|path| Way::new(checker.model(), mistake.found_by(), path));
    Searched { states: checker.state_count(), took: began.elapsed(), way }
}
