//! Which factors a customer must prove, and for what.
//!
//! A payment is judged by the first rule that fits it; the last rule fits every payment, so that there always
//! is one. [`Policy::new`] refuses what can't be meant: a demand that nobody can meet, a rule that no payment
//! reaches.

use proto::{authorization::Factor, money::Money, order::CategoryCode};

use super::low_value::{Limits, Tally};

mod reach;
mod requirement;

pub use requirement::{FACTORS, Requirement};

/// The bank's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    parts: Parts,
    last: Demand,
}

/// What a policy is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The factors that can be proved here, at least one.
    pub offered: Vec<Factor>,
    /// What lets a customer in.
    pub sign_in: Requirement,
    /// What payments demand; the first rule that fits decides, and the last one must fit every payment.
    pub rules: Vec<Rule>,
    /// Which payments are small, for the rules that are about those; one for each currency.
    pub low_value: Vec<Limits>,
    /// Whether a session that a device proved is accepted from that device alone.
    pub bind_sessions: bool,
}

/// A rule for payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which payments it is for.
    pub when: Condition,
    /// What they demand.
    pub demand: Demand,
}

/// Which payments a rule is for: those that fit every part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Up to and including one of these amounts, one for each currency; empty for every amount.
    pub amount_up_to: Vec<Money>,
    /// To a merchant of one of these categories (ISO 18245); empty for every merchant.
    pub categories: Vec<CategoryCode>,
    /// Whether a bound device proved itself in the session; either way where it is absent.
    pub device: Option<Device>,
    /// Small payments alone, by the policy's limits and what the customer paid before.
    pub low_value: bool,
}

/// Whether a bound device proved itself in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// One did.
    Bound,
    /// None did.
    None,
}

/// What a payment demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The factors.
    pub factors: Requirement,
    /// Whether a bound device must have signed a consent, also where none proved itself in the session.
    pub consent: bool,
}

/// A payment, as far as rules are about it.
#[derive(Clone, Copy, Debug)]
pub struct Payment<'a> {
    /// The amount.
    pub amount: Money,
    /// The merchant's category.
    pub category: CategoryCode,
    /// Whether a bound device proved itself in the session.
    pub device: Device,
    /// The customer's small payments before it.
    pub tally: &'a Tally,
}

/// What the policy says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What it demands.
    pub demand: &'a Demand,
    /// Whether it demands so little because it is small, so that it must be counted.
    pub is_low_value: bool,
}

/// Why parts make no policy. Rules are counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No factor is offered.
    #[error("no factor is offered, so that nobody could sign in")]
    NothingOffered,
    /// Nobody can meet what sign-in demands.
    #[error("sign-in demands more than the offered factors can prove")]
    SignInOutOfReach,
    /// There is no rule for payments.
    #[error("there is no rule for payments")]
    NoRule,
    /// The last rule does not fit every payment.
    #[error("the last rule has a condition, so that some payments fit no rule")]
    LastRuleHasCondition,
    /// Nobody can meet what a rule demands.
    #[error("rule {0} demands more than the offered factors can prove")]
    RuleOutOfReach(usize),
    /// A rule demands a device's consent, and no device can be bound.
    #[error("rule {0} demands the consent of a device, and neither possession nor inherence is offered")]
    ConsentOutOfReach(usize),
    /// No payment is ever judged by a rule.
    #[error("every payment that rule {0} is for is judged by an earlier rule, or there is none")]
    RuleUnreachable(usize),
    /// There are limits of small payments, and no rule about those.
    #[error("there are limits of small payments, and no rule about those")]
    LowValueUnused,
}

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// Every [`Fault`].
    pub fn new(parts: Parts) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if parts.offered.is_empty() {
            faults.push(Fault::NothingOffered);
        } else if !parts.sign_in.is_within_reach(&parts.offered) {
            faults.push(Fault::SignInOutOfReach);
        }
        if !parts.low_value.is_empty() && !parts.rules.iter().any(|rule| rule.when.low_value) {
            faults.push(Fault::LowValueUnused);
        }
        let Some(last) = parts.rules.last() else {
            faults.push(Fault::NoRule);
            return Err(faults);
        };
        if last.when != Condition::default() {
            faults.push(Fault::LastRuleHasCondition);
        }
        let last = last.demand.clone();
        for (place, rule) in parts.rules.iter().enumerate() {
            if !parts.offered.is_empty() && !rule.demand.factors.is_within_reach(&parts.offered) {
                faults.push(Fault::RuleOutOfReach(place));
            }
            if rule.demand.consent && !parts.has_devices() {
                faults.push(Fault::ConsentOutOfReach(place));
            }
        }
        let unreached = reach::unreached(&parts.rules, &parts.low_value, parts.has_devices());
        faults.extend(unreached.map(Fault::RuleUnreachable));
        if faults.is_empty() { Ok(Self { parts, last }) } else { Err(faults) }
    }

    /// One factor, whichever it is, lets a customer in and pays.
    #[must_use]
    pub fn one_factor() -> Self {
        let last = Demand::kinds(1);
        let parts = Parts {
            offered: FACTORS.to_vec(),
            sign_in: Requirement::kinds(1),
            rules: vec![Rule { when: Condition::default(), demand: last.clone() }],
            low_value: Vec::new(),
            bind_sessions: false,
        };
        Self { parts, last }
    }

    /// The factors that can be proved here.
    #[must_use]
    pub fn offered(&self) -> &[Factor] {
        &self.parts.offered
    }

    /// What lets a customer in.
    #[must_use]
    pub fn sign_in(&self) -> &Requirement {
        &self.parts.sign_in
    }

    /// Whether a session that a device proved is accepted from that device alone.
    #[must_use]
    pub fn bind_sessions(&self) -> bool {
        self.parts.bind_sessions
    }

    /// Whether any rule is about small payments, so that they must be counted.
    #[must_use]
    pub fn counts_low_value(&self) -> bool {
        self.parts.rules.iter().any(|rule| rule.when.low_value)
    }

    /// What a payment demands.
    #[must_use]
    pub fn payment(&self, payment: &Payment<'_>) -> Verdict<'_> {
        let deciding = self.parts.rules.iter().find(|rule| rule.when.fits(payment, &self.parts.low_value));
        match deciding {
            Some(rule) => Verdict { demand: &rule.demand, is_low_value: rule.when.low_value },
            None => Verdict { demand: &self.last, is_low_value: false },
        }
    }

    /// The factors of which each would help a payment, once the proved ones are taken into account; empty where
    /// they suffice. A factor that isn't offered is never among them.
    #[must_use]
    pub fn missing(&self, payment: &Payment<'_>, proved: &[Factor]) -> Vec<Factor> {
        self.payment(payment).demand.factors.missing(proved, self.offered())
    }
}

impl Parts {
    /// Whether a device can be bound at all.
    fn has_devices(&self) -> bool {
        self.offered.iter().any(|factor| matches!(factor, Factor::Possession | Factor::Inherence))
    }
}

impl Demand {
    /// So many of the three kinds of proof, and no consent beyond what a proved device owes anyway.
    #[must_use]
    pub fn kinds(count: usize) -> Self {
        Self { factors: Requirement::kinds(count), consent: false }
    }
}

impl Device {
    /// Whether a session names a device.
    #[must_use]
    pub fn of<T>(proved: Option<&T>) -> Self {
        if proved.is_some() { Self::Bound } else { Self::None }
    }
}

impl Condition {
    fn fits(&self, payment: &Payment<'_>, low_value: &[Limits]) -> bool {
        let is_up_to = |max: &Money| {
            max.currency() == payment.amount.currency() && payment.amount.minor_units() <= max.minor_units()
        };
        (self.amount_up_to.is_empty() || self.amount_up_to.iter().any(is_up_to))
            && (self.categories.is_empty() || self.categories.contains(&payment.category))
            && self.device.is_none_or(|device| device == payment.device)
            && (!self.low_value || payment.tally.allows(payment.amount, low_value))
    }
}

#[cfg(test)]
mod tests;
