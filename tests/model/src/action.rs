//! Everything that can happen next, by where it happens.

use crate::state::Message;

mod prose;

/// Something that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To a charge, at its bank.
    Charge(u8, ChargeStep),
    /// To a message, on its way.
    Message(Message, Fate),
    /// To an authorization, between the acquirer and the card network.
    Authorization(u8, AuthorizationStep),
    /// To the order, to a whole process, or to everybody.
    Whole(WholeStep),
}

/// What can happen to a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeStep {
    /// A customer submits it.
    Submit,
    /// The bank commits it as sent.
    CommitSent,
    /// The bank can't make its request.
    CannotPrepare,
    /// The first byte of its request leaves.
    Transmit,
    /// A connection failed: the bank sends the same bytes again.
    Resend,
    /// The bank waits no longer for its result.
    GiveUpWaiting,
    /// The bank asks what became of it.
    Ask,
    /// The bank waits no longer for the answer.
    GiveUpAsking,
    /// The task that sends it is lost, as where it fails or hangs.
    LoseSender,
    /// Nobody works on it though it is held or sent, and the bank puts it right.
    PutRight,
    /// The bank puts it right as one that is stuck, while its task lives.
    Standstill,
    /// The platform hands its waiting call the result of this other authorization.
    Swap(u8),
}

/// What can become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Delivered,
    /// It arrives, and a copy stays on its way.
    DeliveredTwice,
    /// It is lost.
    Lost,
    /// The platform, or the acquirer, refuses it.
    Refused,
}

/// What can happen to an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationStep {
    /// The acquirer asks the card network.
    AskNetwork,
    /// The card network approves the request that has arrived.
    NetworkApproves,
    /// The card network declines the request that has arrived.
    NetworkDeclines,
    /// The card network's answer arrives, in time or late.
    NetworkAnswers,
    /// By mistake: the result that was sent is committed at last.
    CommitTold,
    /// The card network's time is over, or nobody works on it: the acquirer inquires.
    Inquire(Answer),
    /// Another process of the acquirer takes the worker for gone, and inquires beside it.
    InquireBeside(Answer),
    /// The acquirer sends its reversal, and an acknowledgement may come back.
    Reverse(Answer),
    /// The work on it is lost, as where the store fails under it.
    LoseWorker,
}

/// Whether the card network is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It says what it knows.
    Given,
    /// Nothing comes back.
    Missing,
}

/// What can happen to the order, to a process or to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeStep {
    /// The acquirer tells the shop what is next to be told.
    Notify(Delivery),
    /// The acquirer expires the order.
    Expire,
    /// The shop cancels.
    Cancel,
    /// The clocks reach the next mark.
    ClockGoesOn,
    /// The directory suspends the banks: they may start nothing new.
    Suspend,
    /// The acquirer's process ends and starts again.
    CrashAcquirer,
    /// A bank's process ends and starts again.
    CrashIssuer(u8),
    /// An operator starts a bank anew, so that it asks about its parked charges once more.
    RestartIssuer(u8),
}

/// How a notification fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is heard and acknowledged.
    Acknowledged,
    /// It is heard, and the acknowledgement is lost.
    Unacknowledged,
    /// It is lost.
    Lost,
}

/// What kind of thing an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody does what is to be done.
    Work,
    /// The acquirer's own deadline for the card network.
    NetworkDeadline,
    /// A bank gives up waiting.
    Patience,
    /// Time passes.
    Time,
    /// An operator helps.
    Operator,
    /// Somebody decides what nobody has to: a customer, the shop, or the card network that declines.
    Wish,
    /// Something goes wrong.
    Fault,
}

impl Action {
    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Charge(_, step) => step.kind(),
            Self::Message(_, Fate::Delivered) => Kind::Work,
            Self::Message(_, Fate::DeliveredTwice | Fate::Lost | Fate::Refused) => Kind::Fault,
            Self::Authorization(_, step) => step.kind(),
            Self::Whole(step) => step.kind(),
        }
    }
}

impl ChargeStep {
    const fn kind(self) -> Kind {
        match self {
            Self::CommitSent | Self::Transmit | Self::Ask => Kind::Work,
            Self::GiveUpWaiting | Self::GiveUpAsking | Self::PutRight => Kind::Patience,
            Self::Submit => Kind::Wish,
            Self::CannotPrepare | Self::Resend | Self::LoseSender | Self::Standstill | Self::Swap(_) => Kind::Fault,
        }
    }
}

impl AuthorizationStep {
    const fn kind(self) -> Kind {
        match self {
            Self::AskNetwork | Self::NetworkApproves | Self::NetworkAnswers | Self::CommitTold => Kind::Work,
            Self::Reverse(Answer::Given) => Kind::Work,
            Self::Inquire(_) => Kind::NetworkDeadline,
            Self::NetworkDeclines => Kind::Wish,
            Self::InquireBeside(_) | Self::Reverse(Answer::Missing) | Self::LoseWorker => Kind::Fault,
        }
    }
}

impl WholeStep {
    const fn kind(self) -> Kind {
        match self {
            Self::Notify(Delivery::Acknowledged) | Self::Expire => Kind::Work,
            Self::ClockGoesOn => Kind::Time,
            Self::RestartIssuer(_) => Kind::Operator,
            Self::Cancel => Kind::Wish,
            Self::Notify(Delivery::Unacknowledged | Delivery::Lost)
            | Self::Suspend
            | Self::CrashAcquirer
            | Self::CrashIssuer(_) => Kind::Fault,
        }
    }
}
