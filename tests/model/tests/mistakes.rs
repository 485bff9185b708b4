//! The test of the test: each mistake is found, by the property that it is against.

use protocol_model::{configuration, mistake::Mistake, property, run, story::Story};

#[test]
fn every_mistake_is_found() {
    for mistake in Mistake::ALL {
        let way = run::search(*mistake).way;
        let way = way.unwrap_or_else(|| panic!("{mistake} is not found by: {}", mistake.found_by()));
        let story = Story(&way).to_string();
        assert!(way.steps() > 0 && story.lines().count() > way.steps(), "{mistake}:\n{story}");
    }
}

#[test]
fn every_mistake_names_a_property_and_a_configuration() {
    let properties: Vec<&str> = property::all().iter().map(|property| property.name).collect();
    for mistake in Mistake::ALL {
        assert!(properties.contains(&mistake.found_by()), "{mistake}");
        assert!(configuration::find(mistake.configuration()).is_some(), "{mistake}");
        assert_eq!(mistake.name().parse(), Ok(*mistake));
    }
    // No property is only written down: each finds something.
    for property in properties {
        assert!(Mistake::ALL.iter().any(|mistake| mistake.found_by() == property), "nothing violates: {property}");
    }
    assert!("no-such-mistake".parse::<Mistake>().is_err());
}

/// A way is told by what people and servers do, with what it changes.
#[test]
fn a_story_can_be_followed() {
    let way = run::search(Mistake::NoTombstone).way.expect("the mistake is found");
    let story = Story(&way).to_string();
    for needed in [
        "the bank sends the request of charge A",
        "the question about A arrives",
        "declined, NEVER_RECEIVED",
        "authorization request A arrives",
        "the card network approves A",
    ] {
        assert!(story.contains(needed), "{needed}:\n{story}");
    }
    let way = run::search(Mistake::NotRecovered).way.expect("the mistake is found");
    let story = Story(&way).to_string();
    assert!(story.contains("with no more faults it stays like this"), "{story}");
    assert!(story.trim_end().ends_with("the acquirer is deciding A; bank 1 holds 1 and has spent 0"), "{story}");
}
