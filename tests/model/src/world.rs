//! The model: a configuration, perhaps a mistake, what can happen at each moment, and where that leads.

use stateright::{Model, Property};

use crate::{
    acquirer,
    action::{Action, AuthorizationStep, ChargeStep, Delivery, Fate, WholeStep},
    cast::AUTHORIZATIONS,
    certainty::Certainty,
    choices,
    configuration::{ChargePlan, Configuration},
    issuer,
    mistake::Mistake,
    network, property,
    records::Decided,
    sight,
    state::{Clock, Message, Sender, State},
};

/// The model of one configuration.
#[derive(Debug)]
pub struct World {
    /// The bounds.
    pub configuration: Configuration,
    /// What is done wrong, if anything is.
    pub mistake: Option<Mistake>,
    /// From which moments certainty is known to be reached.
    pub certainty: Certainty,
}

impl World {
    /// A model of this configuration.
    #[must_use]
    pub fn new(configuration: &Configuration, mistake: Option<Mistake>) -> Self {
        Self { configuration: configuration.clone(), mistake, certainty: Certainty::default() }
    }

    /// Whether this mistake is made.
    #[must_use]
    pub fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// The charges' numbers.
    pub fn charges(&self) -> impl Iterator<Item = u8> + use<> {
        (0..).take(self.configuration.charges.len())
    }

    /// The charge that an authorization is of.
    #[must_use]
    pub fn charge_of(&self, authorization: u8) -> u8 {
        let charges = self.configuration.charges.len();
        u8::try_from(usize::from(authorization) % charges).unwrap_or_default()
    }

    /// A charge's second authorization, which only a mistake makes, where there is an id left.
    #[must_use]
    pub fn other_authorization(&self, charge: u8) -> Option<u8> {
        let other = usize::from(charge) + self.configuration.charges.len();
        u8::try_from(other).ok().filter(|_| other < AUTHORIZATIONS)
    }

    /// The plan of the charge that an authorization is of.
    #[must_use]
    pub fn plan(&self, authorization: u8) -> ChargePlan {
        self.configuration.charges[usize::from(self.charge_of(authorization))]
    }

    /// The bank that an authorization is of.
    #[must_use]
    pub fn issuer_of(&self, authorization: u8) -> usize {
        self.plan(authorization).issuer
    }

    /// The moment after an action, where it changes anything.
    #[must_use]
    pub fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.take(&mut next, action);
        next.forget_ended_calls();
        if !self.configuration.notifies {
            next.acquirer.acknowledged = next.acquirer.order.position;
            next.shop.heard = next.acquirer.order.position;
        }
        (next != *state).then_some(next)
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Charge(charge, step) => self.take_charge(state, charge, step),
            Action::Message(message, fate) => self.take_message(state, message, fate),
            Action::Authorization(authorization, step) => self.take_authorization(state, authorization, step),
            Action::Whole(step) => self.take_whole(state, step),
        }
    }

    fn take_charge(&self, state: &mut State, charge: u8, step: ChargeStep) {
        match step {
            ChargeStep::Submit => issuer::submit(self, state, charge),
            ChargeStep::CommitSent => issuer::commit_sent(self, state, charge),
            ChargeStep::CannotPrepare => {
                state.left.refusals -= 1;
                issuer::give_up(self, state, charge);
            }
            ChargeStep::Transmit => issuer::transmit(state, charge),
            ChargeStep::Resend => {
                state.left.resends -= 1;
                issuer::transmit(state, charge);
            }
            ChargeStep::GiveUpWaiting => issuer::lose(self, state, charge),
            ChargeStep::Ask => issuer::ask(state, charge),
            ChargeStep::GiveUpAsking => issuer::ask_again_later(self, state, charge),
            ChargeStep::LoseSender => {
                state.left.standstills -= 1;
                state.charge_mut(charge).sender = Sender::None;
            }
            ChargeStep::PutRight => issuer::put_right(self, state, charge),
            ChargeStep::Standstill => {
                state.left.standstills -= 1;
                issuer::put_right(self, state, charge);
            }
            ChargeStep::Swap(other) => {
                state.left.swaps -= 1;
                self.swap(state, charge, other);
            }
        }
    }

    fn take_message(&self, state: &mut State, message: Message, fate: Fate) {
        match fate {
            Fate::Delivered => {
                state.take(message);
                self.deliver(state, message);
            }
            Fate::DeliveredTwice => {
                state.left.duplicates -= 1;
                self.deliver(state, message);
            }
            Fate::Lost => {
                state.left.losses -= 1;
                state.take(message);
            }
            Fate::Refused => {
                state.left.refusals -= 1;
                state.take(message);
                self.refuse(state, message);
            }
        }
    }

    fn take_authorization(&self, state: &mut State, authorization: u8, step: AuthorizationStep) {
        match step {
            AuthorizationStep::AskNetwork => acquirer::ask_network(state, authorization),
            AuthorizationStep::NetworkApproves => network::decide(state, authorization, true),
            AuthorizationStep::NetworkDeclines => network::decide(state, authorization, false),
            AuthorizationStep::NetworkAnswers => network::answer(self, state, authorization),
            AuthorizationStep::CommitTold => acquirer::commit_told(self, state, authorization),
            AuthorizationStep::Inquire(answer) => network::inquire(self, state, authorization, answer),
            AuthorizationStep::InquireBeside(answer) => {
                state.left.beside -= 1;
                let worker = state.acquirer.workers[usize::from(authorization)];
                network::inquire(self, state, authorization, answer);
                state.acquirer.workers[usize::from(authorization)] = worker;
            }
            AuthorizationStep::Reverse(answer) => network::reverse(self, state, authorization, answer),
            AuthorizationStep::LoseWorker => {
                state.left.acquirer_crashes -= 1;
                acquirer::lose_worker(state, authorization);
            }
        }
    }

    fn take_whole(&self, state: &mut State, step: WholeStep) {
        match step {
            WholeStep::Notify(delivery) => self.notify(state, delivery),
            WholeStep::Expire => acquirer::expire(self, state),
            WholeStep::Cancel => {
                state.left.cancels -= 1;
                acquirer::cancel(self, state);
            }
            WholeStep::ClockGoesOn => {
                state.clock = match state.clock {
                    Clock::InTime => Clock::PastDeadline,
                    Clock::PastDeadline | Clock::NextDay => Clock::NextDay,
                }
            }
            WholeStep::Suspend => {
                state.left.suspensions -= 1;
                state.suspended = true;
            }
            WholeStep::CrashAcquirer => {
                state.left.acquirer_crashes -= 1;
                acquirer::crash(state);
            }
            WholeStep::CrashIssuer(issuer) => {
                state.left.issuer_crashes -= 1;
                issuer::restart(self, state, usize::from(issuer));
            }
            WholeStep::RestartIssuer(issuer) => issuer::restart(self, state, usize::from(issuer)),
        }
    }

    fn deliver(&self, state: &mut State, message: Message) {
        match message {
            Message::Authorize(_) | Message::Question(_) if !acquirer::admits(self, state, message) => {
                self.refuse(state, message);
            }
            Message::Authorize(authorization) => acquirer::authorize(self, state, authorization),
            Message::Question(authorization) => acquirer::resolve(self, state, authorization),
            Message::Reply { charge, verdict } => {
                let authorization = state.charge(charge).authorization;
                issuer::take(self, state, charge, Decided { authorization, verdict });
            }
            Message::Answer { charge, verdict } => {
                let authorization = state.charge(charge).authorization;
                let result = verdict.map(|verdict| Decided { authorization, verdict });
                issuer::answered(self, state, charge, result);
            }
            // The card network decides instead.
            Message::Card(_) => {}
        }
    }

    /// `platform::relay`, or `acquirer::domain::authorization::admit`, says no: nothing is recorded, and
    /// the outcome is not known.
    fn refuse(&self, state: &mut State, message: Message) {
        match message {
            Message::Authorize(number) => {
                let charge = self.charge_of(number);
                if state.charge(charge).sender == Sender::Waiting {
                    issuer::lose(self, state, charge);
                }
            }
            Message::Question(number) => {
                let charge = self.charge_of(number);
                if state.charge(charge).asking {
                    issuer::ask_again_later(self, state, charge);
                }
            }
            Message::Card(_) | Message::Reply { .. } | Message::Answer { .. } => {}
        }
    }

    fn swap(&self, state: &mut State, charge: u8, other: u8) {
        let Some(result) = issuer::foreign_result(state, other) else { return };
        if state.charge(charge).asking {
            issuer::answered(self, state, charge, Some(result));
        } else {
            issuer::take(self, state, charge, result);
        }
    }

    /// `acquirer::outbox`: the next announcement goes out until it is acknowledged; the shop knows one that
    /// it has heard by its id.
    fn notify(&self, state: &mut State, delivery: Delivery) {
        let next = state.acquirer.acknowledged + 1;
        match delivery {
            Delivery::Acknowledged => state.acquirer.acknowledged = next,
            Delivery::Unacknowledged | Delivery::Lost => state.left.losses -= 1,
        }
        match delivery {
            Delivery::Acknowledged | Delivery::Unacknowledged => state.shop.heard = state.shop.heard.max(next),
            Delivery::Lost if self.makes(Mistake::AcknowledgedUnheard) => state.acquirer.acknowledged = next,
            Delivery::Lost => {}
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(&self.configuration)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        choices::all(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    /// All of them, or the one that a mistake must be found by: the search then ends at the first and so
    /// shortest way to its violation.
    fn properties(&self) -> Vec<Property<Self>> {
        let all = property::all().into_iter().chain(sight::all());
        all.filter(|property| self.mistake.is_none_or(|mistake| property.name == mistake.found_by())).collect()
    }
}
