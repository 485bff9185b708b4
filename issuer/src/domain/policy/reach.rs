//! Which rules no payment is ever judged by.
//!
//! A rule's conditions cut the payments into boxes, so that it is enough to try one payment of each: every amount
//! at which a condition ends and the one above it, every category that is named and one that isn't, with a device
//! and without, and with small payments left and used up. What none of these reaches, nothing does.

use proto::{
    money::{Currency, MINOR_UNITS_MAX, Money},
    order::CategoryCode,
};

use super::{Device, Limits, Payment, Rule, Tally};

/// The places of the rules that are never reached, ascending. `has_devices` says whether devices can be bound.
pub(super) fn unreached(
    rules: &[Rule],
    low_value: &[Limits],
    has_devices: bool,
) -> impl Iterator<Item = usize> + use<> {
    let devices: &[Device] = if has_devices { &[Device::None, Device::Bound] } else { &[Device::None] };
    let mut is_reached = vec![false; rules.len()];
    let (fresh, used_up) = (Tally::default(), used_up());
    for amount in amounts(rules, low_value) {
        for category in categories(rules) {
            for &device in devices {
                for tally in [&fresh, &used_up] {
                    let payment = Payment { amount, category, device, tally };
                    if let Some(place) = rules.iter().position(|rule| rule.when.fits(&payment, low_value)) {
                        is_reached[place] = true;
                    }
                }
            }
        }
    }
    is_reached.into_iter().enumerate().filter(|(_, reached)| !reached).map(|(place, _)| place)
}

/// In every currency that a condition names: each bound, and what is just above it. And an amount in a currency
/// that none names, which stands for all of those; where each is named, what is above the bounds does.
fn amounts(rules: &[Rule], low_value: &[Limits]) -> Vec<Money> {
    let bounds = rules.iter().flat_map(|rule| rule.when.amount_up_to.iter().copied());
    let bounds: Vec<Money> = bounds.chain(low_value.iter().map(|limits| limits.amount_max)).collect();
    let named: Vec<Currency> = bounds.iter().map(|bound| bound.currency()).collect();
    let above = bounds.iter().filter_map(|bound| Money::new(bound.currency(), bound.minor_units() + 1).ok());
    let unnamed = currencies().find(|currency| !named.contains(currency));
    let elsewhere = unnamed.and_then(|currency| Money::new(currency, MINOR_UNITS_MAX).ok());
    bounds.iter().copied().chain(above).chain(elsewhere).collect()
}

/// Every currency of the network, found by its three letters.
fn currencies() -> impl Iterator<Item = Currency> {
    let letters = 'A'..='Z';
    let pairs = letters.clone().flat_map(move |first| letters.clone().map(move |second| (first, second)));
    pairs
        .flat_map(|(first, second)| ('A'..='Z').map(move |third| String::from_iter([first, second, third])))
        .filter_map(|code| code.parse().ok())
}

/// Every category that a condition names, and one that none does.
fn categories(rules: &[Rule]) -> Vec<CategoryCode> {
    let mut named: Vec<CategoryCode> = rules.iter().flat_map(|rule| rule.when.categories.iter().copied()).collect();
    let other = (0..10_000).filter_map(|code| format!("{code:04}").parse().ok()).find(|code| !named.contains(code));
    named.extend(other);
    named
}

/// A tally that allows nothing more, whatever the limits are.
fn used_up() -> Tally {
    Tally::stored(Tally::FIRST_EPOCH, u32::MAX, []).unwrap_or_default()
}
