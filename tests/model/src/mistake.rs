//! Mistakes that somebody could make in the protocol. Each is a switch, and each must be found: this is
//! the test of the test.

use std::{fmt, str::FromStr};

use crate::property::{
    APPROVALS_STAND, CANCELLED_MEANS_NO_APPROVAL, CERTAINTY, CERTAINTY_AFTER_LOSS, CERTAINTY_IN_SILENCE,
    CHARGES_END_AS_DECIDED, DAY_HOLDS_WHAT_IS_TAKEN, DECLINES_ARE_COUNTED, HOLDS_ARE_THE_LIVE_CHARGES,
    KEY_LIVES_WITH_THE_ORDER, MONEY_STANDS_FOR_APPROVALS, NEVER_RECEIVED_IS_NEVER_APPROVED, NO_CONTRADICTION,
    NO_STEP_IS_INCONSISTENT, NOTHING_BEGINS_LATE, ONE_APPROVAL, ONE_LIVE_CHARGE, ORDER_FOLLOWS_APPROVAL,
    PENDING_ENDS_BY_ITSELF, RESULTS_NEVER_CHANGE, SHOP_HEARS_EVERYTHING, TOO_LATE_MEANS_APPROVED,
};

macro_rules! mistakes {
    ($($variant:ident, $name:literal, $property:ident, $configuration:literal, $doc:literal;)+) => {
        /// A mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mistake {
            $(#[doc = $doc] $variant,)+
        }

        impl Mistake {
            /// Every mistake.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What is done wrong.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)+
                }
            }

            /// The property that finds it.
            #[must_use]
            pub const fn found_by(self) -> &'static str {
                match self {
                    $(Self::$variant => $property,)+
                }
            }

            /// The configuration in which it is looked for.
            #[must_use]
            pub const fn configuration(self) -> &'static str {
                match self {
                    $(Self::$variant => $configuration,)+
                }
            }
        }
    };
}

mistakes! {
    NoTombstone, "no-tombstone", NEVER_RECEIVED_IS_NEVER_APPROVED, "one-charge-crashes",
        "A question about a request that was never received is answered without recording the answer.";
    TransportErrorDeclines, "transport-error-declines", CHARGES_END_AS_DECIDED, "one-charge-crashes",
        "The bank takes a failed call for a decline.";
    NoDeadlineAtCommit, "no-deadline-at-commit", NOTHING_BEGINS_LATE, "one-charge-crashes",
        "The deadline is judged when the request arrives, and not where the intent is committed.";
    CancelNotRecorded, "cancel-not-recorded", PENDING_ENDS_BY_ITSELF, "second-card",
        "A cancel during an authorization is answered PENDING and not recorded.";
    CancelledAtOnce, "cancelled-at-once", CANCELLED_MEANS_NO_APPROVAL, "one-charge-crashes",
        "A cancel during an authorization is answered CANCELLED.";
    NoReversal, "no-reversal", MONEY_STANDS_FOR_APPROVALS, "one-charge-crashes",
        "A silent card network is declined without a reversal.";
    ReversalForgotten, "reversal-forgotten", MONEY_STANDS_FOR_APPROVALS, "one-charge-crashes",
        "A reversal is sent once, whether it is acknowledged or not.";
    HoldReleasedOnUnknown, "hold-released-on-unknown", HOLDS_ARE_THE_LIVE_CHARGES, "one-charge-crashes",
        "The hold is released when no result comes.";
    AnyResultAccepted, "any-result-accepted", CHARGES_END_AS_DECIDED, "second-card",
        "The bank takes a result without comparing it with what it asked.";
    IntentForgotten, "intent-forgotten", MONEY_STANDS_FOR_APPROVALS, "one-charge-crashes",
        "The card network is asked before the intent is committed.";
    NewIdAfterRestart, "new-id-after-restart", CHARGES_END_AS_DECIDED, "one-charge-crashes",
        "After a restart the bank sends the charge again, as a new authorization.";
    SentIsAbandoned, "sent-is-abandoned", CHARGES_END_AS_DECIDED, "one-charge-crashes",
        "After a restart the bank gives up a charge that was sent.";
    DeclinesNotCounted, "declines-not-counted", DECLINES_ARE_COUNTED, "last-attempt",
        "A decline of the card network is not counted.";
    BusyNotChecked, "busy-not-checked", ONE_APPROVAL, "two-banks-race",
        "A second authorization begins while one is under way.";
    AnsweredBeforeCommit, "answered-before-commit", RESULTS_NEVER_CHANGE, "one-charge-crashes",
        "The result is sent before it is committed.";
    LateAnswerCounts, "late-answer-counts", RESULTS_NEVER_CHANGE, "one-charge-crashes",
        "An answer of the card network that comes after the decision replaces it.";
    ReversedAnyway, "reversed-anyway", APPROVALS_STAND, "one-charge-crashes",
        "After a restart an authorization is reversed although the card network says that it approved.";
    QuestionNeedsStanding, "question-needs-standing", CERTAINTY, "one-charge-faults",
        "A suspended bank is not told what became of its requests.";
    TooLateWhileDeciding, "too-late-while-deciding", TOO_LATE_MEANS_APPROVED, "one-charge-crashes",
        "A cancel during an authorization is answered TOO_LATE.";
    DayNotGivenBack, "day-not-given-back", DAY_HOLDS_WHAT_IS_TAKEN, "one-charge-crashes",
        "A decline leaves the amount in the merchant's day.";
    KeyKept, "key-kept", KEY_LIVES_WITH_THE_ORDER, "one-charge-crashes",
        "The sealing key outlives the order.";
    ClaimFreedOnUnknown, "claim-freed-on-unknown", ONE_LIVE_CHARGE, "second-card",
        "The order may be paid by another charge as soon as no result comes for the first.";
    SecondAnswerMissed, "second-answer-missed", NO_CONTRADICTION, "one-charge-faults",
        "A request that arrives after its tombstone is decided all the same.";
    HoldReleasedTwice, "hold-released-twice", NO_STEP_IS_INCONSISTENT, "one-charge-crashes",
        "The hold is released when no result comes, and once more with the result.";
    ApprovedWithoutOrder, "approved-without-order", ORDER_FOLLOWS_APPROVAL, "one-charge-crashes",
        "The result is committed without the order's part.";
    NetworkWithoutDeadline, "network-without-deadline", CERTAINTY_IN_SILENCE, "one-charge-crashes",
        "The acquirer waits for the card network as long as it takes.";
    QuestionWithoutDeadline, "question-without-deadline", CERTAINTY_AFTER_LOSS, "one-charge-crashes",
        "The bank waits for the answer to a question as long as it takes.";
    NotRecovered, "not-recovered", CERTAINTY, "one-charge-crashes",
        "After a restart nobody settles the authorizations that were under way.";
    AcknowledgedUnheard, "acknowledged-unheard", SHOP_HEARS_EVERYTHING, "one-charge-crashes",
        "A notification counts as delivered when it is sent.";
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAMistake(String);

impl fmt::Display for NotAMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Mistake::ALL.iter().map(|mistake| mistake.name()).collect();
        write!(f, "{:?} is none of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for NotAMistake {}

impl FromStr for Mistake {
    type Err = NotAMistake;

    fn from_str(text: &str) -> Result<Self, NotAMistake> {
        let found = Self::ALL.iter().find(|mistake| mistake.name() == text);
        found.copied().ok_or_else(|| NotAMistake(text.to_owned()))
    }
}
