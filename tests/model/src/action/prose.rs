//! Actions as sentences.

use std::fmt;

use super::{Action, Answer, AuthorizationStep, ChargeStep, Delivery, Fate, WholeStep};
use crate::{records::Verdict, state::Message};

/// A name for an authorization or a charge: A, B, C, D.
struct Letter(u8);

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approved(_) => f.write_str("approved"),
            Self::Declined(reason) => {
                let name = reason.to_pb().as_str_name();
                write!(f, "declined, {}", name.strip_prefix("DECLINE_REASON_").unwrap_or(name))
            }
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorize(number) => write!(f, "authorization request {}", Letter(*number)),
            Self::Question(number) => write!(f, "the question about {}", Letter(*number)),
            Self::Card(number) => write!(f, "the card network's request {}", Letter(*number)),
            Self::Reply { charge, verdict } => write!(f, "the result for charge {} ({verdict})", Letter(*charge)),
            Self::Answer { charge, verdict: Some(verdict) } => {
                write!(f, "the answer for charge {} ({verdict})", Letter(*charge))
            }
            Self::Answer { charge, verdict: None } => write!(f, "the answer for charge {} (PENDING)", Letter(*charge)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Charge(charge, step) => of_charge(f, &Letter(*charge), *step),
            Self::Message(message, fate) => of_message(f, *message, *fate),
            Self::Authorization(number, step) => of_authorization(f, &Letter(*number), *step),
            Self::Whole(step) => of_the_whole(f, *step),
        }
    }
}

fn of_charge(f: &mut fmt::Formatter<'_>, charge: &Letter, step: ChargeStep) -> fmt::Result {
    match step {
        ChargeStep::Submit => write!(f, "a customer submits charge {charge}"),
        ChargeStep::CommitSent => write!(f, "the bank commits charge {charge} as sent"),
        ChargeStep::CannotPrepare => write!(f, "the bank can't make the request of charge {charge}"),
        ChargeStep::Transmit => write!(f, "the bank sends the request of charge {charge}"),
        ChargeStep::Resend => write!(f, "the bank sends charge {charge} again, the same bytes"),
        ChargeStep::GiveUpWaiting => write!(f, "the bank waits no longer for charge {charge}"),
        ChargeStep::Ask => write!(f, "the bank asks what became of charge {charge}"),
        ChargeStep::GiveUpAsking => write!(f, "the bank's question about charge {charge} has no answer"),
        ChargeStep::LoseSender => write!(f, "the task that sends charge {charge} is lost"),
        ChargeStep::PutRight => write!(f, "the bank finds charge {charge} without a task"),
        ChargeStep::Standstill => write!(f, "the bank takes charge {charge} for stuck"),
        ChargeStep::Swap(other) => {
            write!(f, "the platform hands charge {charge} the result of {}", Letter(other))
        }
    }
}

fn of_message(f: &mut fmt::Formatter<'_>, message: Message, fate: Fate) -> fmt::Result {
    match fate {
        Fate::Delivered => write!(f, "{message} arrives"),
        Fate::DeliveredTwice => write!(f, "{message} arrives, and will arrive once more"),
        Fate::Lost => write!(f, "{message} is lost"),
        Fate::Refused => write!(f, "{message} is refused"),
    }
}

fn of_authorization(f: &mut fmt::Formatter<'_>, number: &Letter, step: AuthorizationStep) -> fmt::Result {
    let silent = match step {
        AuthorizationStep::Inquire(Answer::Missing) | AuthorizationStep::InquireBeside(Answer::Missing) => {
            ", and the card network is silent"
        }
        AuthorizationStep::Reverse(Answer::Missing) => ", and no acknowledgement comes",
        AuthorizationStep::Inquire(Answer::Given)
        | AuthorizationStep::InquireBeside(Answer::Given)
        | AuthorizationStep::Reverse(Answer::Given)
        | AuthorizationStep::AskNetwork
        | AuthorizationStep::NetworkApproves
        | AuthorizationStep::NetworkDeclines
        | AuthorizationStep::NetworkAnswers
        | AuthorizationStep::CommitTold
        | AuthorizationStep::LoseWorker => "",
    };
    match step {
        AuthorizationStep::AskNetwork => write!(f, "the acquirer asks the card network about {number}"),
        AuthorizationStep::NetworkApproves => write!(f, "the card network approves {number}"),
        AuthorizationStep::NetworkDeclines => write!(f, "the card network declines {number}"),
        AuthorizationStep::NetworkAnswers => write!(f, "the card network's answer about {number} arrives"),
        AuthorizationStep::CommitTold => write!(f, "the acquirer commits the result of {number}"),
        AuthorizationStep::Inquire(_) => write!(f, "the acquirer inquires about {number}{silent}"),
        AuthorizationStep::InquireBeside(_) => {
            write!(f, "another process of the acquirer inquires about {number}{silent}")
        }
        AuthorizationStep::Reverse(_) => write!(f, "the acquirer reverses {number}{silent}"),
        AuthorizationStep::LoseWorker => write!(f, "the work on {number} is lost"),
    }
}

fn of_the_whole(f: &mut fmt::Formatter<'_>, step: WholeStep) -> fmt::Result {
    match step {
        WholeStep::Notify(Delivery::Acknowledged) => f.write_str("the shop is told"),
        WholeStep::Notify(Delivery::Unacknowledged) => f.write_str("the shop is told, and its acknowledgement is lost"),
        WholeStep::Notify(Delivery::Lost) => f.write_str("the notification to the shop is lost"),
        WholeStep::Expire => f.write_str("the acquirer expires the order"),
        WholeStep::Cancel => f.write_str("the shop cancels"),
        WholeStep::ClockGoesOn => f.write_str("time passes: the order's deadline, or the day"),
        WholeStep::Suspend => f.write_str("the directory suspends the banks"),
        WholeStep::CrashAcquirer => f.write_str("the acquirer crashes and starts again"),
        WholeStep::CrashIssuer(number) => write!(f, "bank {} crashes and starts again", number + 1),
        WholeStep::RestartIssuer(number) => write!(f, "an operator starts bank {} anew", number + 1),
    }
}
