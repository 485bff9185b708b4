//! Runs that once failed, each as the smallest plan that did.

use std::time::Duration;

use simulation::{
    model::{Accident, OrderPlan, Payer, Plan, Twist, Weather, What},
    party::Party,
    run::run,
};

/// One customer of an issuer pays one order.
fn one_payment(seed: u64, issuer: Party, weather: Weather, accidents: Vec<Accident>) -> Plan {
    let payer = Payer { issuer, customer: 0, card: 0, after: Duration::ZERO, tries: 1, twist: Twist::None };
    let order = OrderPlan {
        number: 1,
        shop: Party::Books,
        units: 500,
        at: Duration::from_secs(1),
        life: Duration::from_secs(60),
        payers: vec![payer],
        cancel: None,
    };
    Plan { seed, weather, orders: vec![order], accidents }
}

/// The acquirer's clock is set back while the card network is asked. The result must not be dated before the request
/// that it answers: an issuer believes no such result, and would not know for ever what became of the charge.
#[test]
fn a_clock_that_is_set_back_while_an_authorization_is_decided() {
    let slow = Weather { moody: 1000, ..Weather::calm() };
    let back = What::Clock { party: Party::Acquirer, millis: -260_000 };
    for issuer in Party::ISSUERS {
        // Some of these card networks are slow, some are silent, some approve late.
        for seed in 1..=12 {
            let accidents = vec![Accident { at: Duration::from_secs(2), what: back }];
            let outcome = run(one_payment(seed, issuer, slow, accidents), None, false);
            assert_eq!(outcome.failure, None, "{issuer}, seed {seed}");
        }
    }
}
