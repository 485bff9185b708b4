//! The policy's table in the configuration: which proofs let a customer in, and which pay.

use mesh::config::FieldError;
use proto::authorization::Factor;
use serde::Deserialize;

use crate::domain::{
    low_value::Limits,
    policy::{Condition, Demand, FACTORS, Fault, Parts, Policy, Rule},
};

mod rules;

pub use rules::{AmountConfig, DeviceState, LowValueConfig, RequirementConfig, RuleConfig};

/// A ready-made set of rules for payments. All of them let a customer in with any one factor, to look and to
/// step up.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Any one factor pays. For sandboxes, and for whoever secures payments by other means.
    OneFactor,
    /// Every payment takes two of the three kinds (what the customer knows, has and is). The default.
    #[default]
    TwoOfThree,
    /// The same, but small payments need one kind, within the limits of `low_value`: strong customer
    /// authentication with the low-value exemption, as the European payment services directory's technical
    /// standards have them.
    Psd2,
}

/// The table `policy`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The rules for payments, where there are none of the bank's own. Default: two of three kinds.
    pub profile: Option<Profile>,
    /// The factors that can be proved here: "knowledge", "possession", "passkey", "inherence". Default: all; a
    /// passkey only where the table `passkeys` says for which domain.
    pub offered: Option<Vec<String>>,
    /// What lets a customer in. Default: any one factor.
    pub sign_in: RequirementConfig,
    /// Whether a session that a device proved is accepted from that device alone. Default: no.
    pub bind_sessions: bool,
    /// The bank's own rules for payments, instead of a profile. The first that fits decides.
    pub rules: Vec<RuleConfig>,
    /// Which payments are small, one entry for each currency. Default with the profile "psd2": the amounts of
    /// article 16 of the technical standards in euros, and about the same in TWD and USD.
    pub low_value: Vec<LowValueConfig>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            profile: None,
            offered: None,
            sign_in: RequirementConfig { kinds: Some(1), one_of: None },
            bind_sessions: false,
            rules: Vec::new(),
            low_value: Vec::new(),
        }
    }
}

impl PolicyConfig {
    /// Every field that can't be used, where passkeys are set up or not.
    #[must_use]
    pub fn validate(&self, has_passkeys: bool) -> Vec<FieldError> {
        self.policy(has_passkeys).err().unwrap_or_default()
    }

    /// The policy that the table says, where passkeys are set up or not.
    ///
    /// # Errors
    /// Every field that can't be used.
    pub fn policy(&self, has_passkeys: bool) -> Result<Policy, Vec<FieldError>> {
        let mut errors = Vec::new();
        if self.profile.is_some() && !self.rules.is_empty() {
            let problem = "must be left out where there are `rules`, which take its place";
            errors.push(FieldError::new("profile", problem));
        }
        let offered = self.offered(has_passkeys, &mut errors);
        let sign_in = self.sign_in.requirement("sign_in", &offered, &mut errors);
        let low_value = self.limits(&mut errors);
        let rules = self.rules(&offered, &mut errors);
        // What follows is about the whole, which is there only if its parts are.
        let (Some(sign_in), true) = (sign_in, errors.is_empty()) else { return Err(errors) };
        let parts = Parts { offered, sign_in, rules, low_value, bind_sessions: self.bind_sessions };
        Policy::new(parts).map_err(|faults| faults.into_iter().map(|fault| self.tell(fault)).collect())
    }

    fn offered(&self, has_passkeys: bool, errors: &mut Vec<FieldError>) -> Vec<Factor> {
        let can_be = |factor: &Factor| has_passkeys || *factor != Factor::Passkey;
        let Some(named) = &self.offered else { return FACTORS.into_iter().filter(can_be).collect() };
        let mut offered = Vec::new();
        for (place, text) in named.iter().enumerate() {
            match factor(text) {
                Ok(factor) if !can_be(&factor) => {
                    let problem = "needs the table `passkeys`; add it, or remove the passkey here";
                    errors.push(FieldError::new(format!("offered[{place}]"), problem));
                }
                Ok(factor) if offered.contains(&factor) => {
                    errors.push(FieldError::new(format!("offered[{place}]"), "stands there twice; remove one"));
                }
                Ok(factor) => offered.push(factor),
                Err(problem) => errors.push(FieldError::new(format!("offered[{place}]"), problem)),
            }
        }
        FACTORS.into_iter().filter(|factor| offered.contains(factor)).collect()
    }

    fn limits(&self, errors: &mut Vec<FieldError>) -> Vec<Limits> {
        if self.low_value.is_empty() && self.profile == Some(Profile::Psd2) {
            return rules::article_16();
        }
        let mut all: Vec<Limits> = Vec::new();
        for (place, config) in self.low_value.iter().enumerate() {
            let field = format!("low_value[{place}]");
            match config.limits() {
                Ok(limits) if all.iter().any(|other| other.amount_max.currency() == config.currency) => {
                    let problem = format!("{} has an entry already; remove one", limits.amount_max.currency());
                    errors.push(FieldError::new(format!("{field}.currency"), problem));
                }
                Ok(limits) => all.push(limits),
                Err(wrong) => errors.extend(wrong.into_iter().map(|error| error.under(&field))),
            }
        }
        all
    }

    fn rules(&self, offered: &[Factor], errors: &mut Vec<FieldError>) -> Vec<Rule> {
        if self.rules.is_empty() {
            return self.profile.unwrap_or_default().rules();
        }
        let mut rules = Vec::new();
        for (place, config) in self.rules.iter().enumerate() {
            rules.extend(config.rule(&format!("rules[{place}]"), offered, errors));
        }
        rules
    }

    /// A fault by its field, and what to do.
    fn tell(&self, fault: Fault) -> FieldError {
        let own = !self.rules.is_empty();
        let rule = |place: usize| if own { format!("rules[{place}]") } else { "profile".to_owned() };
        match fault {
            Fault::NothingOffered => FieldError::new("offered", format!("must name at least one of {}", names())),
            Fault::SignInOutOfReach => {
                FieldError::new("sign_in", "demands more than `offered` can prove; offer more, or demand less")
            }
            Fault::NoRule => FieldError::new("rules", "must have at least one rule"),
            Fault::LastRuleHasCondition => FieldError::new(
                rule(self.rules.len().saturating_sub(1)),
                "is the last rule and must have no condition, so that every payment fits one; add such a rule, or \
                 remove `amount_up_to`, `category_codes`, `device` and `low_value` from this one",
            ),
            Fault::RuleOutOfReach(place) => {
                FieldError::new(rule(place), "demands more than `offered` can prove; offer more, or demand less")
            }
            Fault::ConsentOutOfReach(place) => FieldError::new(
                format!("{}.consent", rule(place)),
                "needs bound devices; offer \"possession\" or \"inherence\", or remove it",
            ),
            Fault::RuleUnreachable(place) => FieldError::new(
                rule(place),
                "is never reached: earlier rules fit every payment that it is for, or there is none (small payments \
                 need `low_value`, devices need to be offered); move it up, change its conditions, or remove it",
            ),
            Fault::LowValueUnused => FieldError::new(
                "low_value",
                "has no effect, because no rule has `low_value = true`; add one, use the profile \"psd2\", or remove it",
            ),
        }
    }
}

impl Profile {
    fn rules(self) -> Vec<Rule> {
        let always = |count| Rule { when: Condition::default(), demand: Demand::kinds(count) };
        let small = Rule { when: Condition { low_value: true, ..Condition::default() }, demand: Demand::kinds(1) };
        match self {
            Self::OneFactor => vec![always(1)],
            Self::TwoOfThree => vec![always(2)],
            Self::Psd2 => vec![small, always(2)],
        }
    }
}

/// A factor's name in the configuration.
fn name(factor: Factor) -> &'static str {
    match factor {
        Factor::Knowledge => "knowledge",
        Factor::Possession => "possession",
        Factor::Passkey => "passkey",
        Factor::Inherence => "inherence",
    }
}

fn names() -> String {
    FACTORS.map(|factor| format!("\"{}\"", name(factor))).join(", ")
}

fn factor(text: &str) -> Result<Factor, String> {
    FACTORS.into_iter().find(|factor| name(*factor) == text).ok_or_else(|| format!("must be one of {}", names()))
}

#[cfg(test)]
mod tests;
