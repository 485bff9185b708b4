//! The protocol as it is: in no configuration is any property violated, and each shows what it is for.

use protocol_model::{
    configuration::{self, Configuration},
    run,
    story::Story,
};

fn holds(name: &str) {
    let configuration = configuration::find(name).expect("a configuration of this name");
    let checked = run::check(configuration);
    if let Some((property, way)) = checked.violations.first_key_value() {
        panic!("{name}: {property}\n{}", Story(way));
    }
    assert_eq!(checked.unseen, [""; 0], "{name}");
    assert!(checked.unique > 10_000, "{name} tries little: {} moments", checked.unique);
}

macro_rules! clean {
    ($($test:ident: $name:literal,)+) => {
        $(#[test]
        fn $test() {
            holds($name);
        })+

        /// Every configuration that the command checks has a test above.
        #[test]
        fn no_configuration_is_left_out() {
            let names: Vec<&str> = configuration::ALL.iter().map(|configuration| configuration.name).collect();
            assert_eq!(names, [$($name),+]);
        }
    };
}

clean! {
    one_charge_with_crashes: "one-charge-crashes",
    one_charge_with_every_other_fault: "one-charge-faults",
    a_charge_that_is_parked: "parked",
    a_second_card_after_a_decline: "second-card",
    two_banks_that_race: "two-banks-race",
    two_banks_with_a_crash: "two-banks-crash",
    two_banks_with_restarts: "two-banks-restart",
    the_last_attempt: "last-attempt",
    three_cards_at_two_banks: "three-cards-two-banks",
}

/// What must be seen in some configuration is seen in one, so that no sight is only written down.
#[test]
fn every_sight_is_asked_for() {
    let asked: Vec<&str> = configuration::ALL.iter().flat_map(|configuration| configuration.shows).copied().collect();
    for sight in protocol_model::sight::all() {
        assert!(asked.contains(&sight.name), "{}", sight.name);
    }
}

/// The checker is somebody else's program, and has several threads. A plain search must reach as many
/// moments as it does.
#[test]
fn a_plain_search_reaches_the_same_moments() {
    use protocol_model::world::World;
    use stateright::Model as _;
    use std::collections::HashSet;

    let small = configuration::find("one-charge-crashes").expect("a configuration of this name");
    let budget = protocol_model::state::Budget { acquirer_crashes: 1, issuer_crashes: 1, ..small.budget };
    let small = Configuration { budget, notifies: false, ..small.clone() };
    let world = World::new(&small, None);
    let mut reached: HashSet<_> = world.init_states().into_iter().collect();
    let mut open: Vec<_> = reached.iter().cloned().collect();
    while let Some(state) = open.pop() {
        for next in world.next_states(&state) {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    assert_eq!(run::check(&small).unique, reached.len());
}
