//! One attack on the messages of one charge, from the submission to the end.

use std::sync::Arc;

use crate::{app::is_final, attacks::Attack, customers::Card};
use proto::pb;
use tonic::Status;

use super::{
    loot::Loot,
    messages::{Answered, Asked, short},
    server::{Game, Honest, Hostile, Trick},
    story,
    world::{Issuer, PRICE, World, ticket},
};

/// How many messages an issuer has sent by the time when it has judged three answers to its first ones:
/// one that was taken in would have ended the charge.
const JUDGED: u32 = 4;

/// What the platform does with every message of the charge while the attack goes on.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    /// Changes what goes to the acquirer.
    Asks(fn(&Loot, &mut Asked)),
    /// Changes what comes back.
    Answers(fn(&Loot, &Asked, &mut Answered)),
    /// Forwards nothing, and answers by itself.
    Invents(fn(&Loot, &Asked) -> Result<Answered, Status>),
    /// Forwards, and answers something else all the same.
    Hides(fn(&Loot, &Asked) -> Result<Answered, Status>),
    /// Forwards nothing and never answers.
    SwallowsRequests,
    /// Forwards, and never answers.
    SwallowsAnswers,
}

/// An attack on one charge, and what must come of it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) play: Play,
    pub(crate) card: Card,
    /// What the acquirer says to the first request, in a word; "nothing" where it gets none.
    pub(crate) acquirer: &'static str,
    /// Whether the attack is one that changes nothing, so that the charge ends while it goes on.
    pub(crate) is_harmless: bool,
    /// How the charge ends: approved, or why not.
    pub(crate) end: &'static str,
}

impl Case {
    /// An attack on a good card's charge after which the acquirer knows nothing of the request.
    pub(crate) const fn stops(name: &'static str, play: Play, acquirer: &'static str) -> Self {
        Self { name, play, card: Card::Good, acquirer, is_harmless: false, end: "NEVER_RECEIVED" }
    }

    /// An attack on a good card's charge that the acquirer has approved all the same.
    pub(crate) const fn hides_approval(name: &'static str, play: Play) -> Self {
        Self { name, play, card: Card::Good, acquirer: "APPROVED", is_harmless: false, end: "APPROVED" }
    }

    /// An attack on a poor card's charge that the acquirer has declined all the same.
    pub(crate) const fn hides_decline(name: &'static str, play: Play) -> Self {
        let (card, acquirer) = (Card::Poor, "INSUFFICIENT_FUNDS");
        Self { name, play, card, acquirer, is_harmless: false, end: acquirer }
    }

    /// A change that nobody relies on.
    pub(crate) const fn is_harmless(name: &'static str, play: Play) -> Self {
        Self { is_harmless: true, ..Self::hides_approval(name, play) }
    }

    /// The attack on a charge of a customer's of the first bank's.
    pub(crate) fn attack(self, world: &World, customer: u32) -> Attack<'_> {
        self.attack_after(world, customer, async {})
    }

    /// The same, once something has been done.
    pub(crate) fn attack_after<'a>(
        self,
        world: &'a World,
        customer: u32,
        first: impl Future<Output = ()> + Send + 'a,
    ) -> Attack<'a> {
        story(self.name, self.acquirer, self.end, async move {
            first.await;
            self.play(world, customer).await
        })
    }

    /// Plays it, and returns what the acquirer said and how the charge ended.
    async fn play(self, world: &World, customer: u32) -> (String, String) {
        let issuer = &world.aurora;
        let order = world.shop.place(PRICE).await;
        let game = world.hostile().attack(order.digest.to_bytes(), Arc::new(self.play));
        let session = issuer.app.sign_in(&issuer.customer(customer), &order.signed.to_pb()).await.unwrap();
        let before = session.available().await;
        let charge = session.pay(self.card, ticket()).await.unwrap();
        if self.is_harmless {
            charge.end().await;
        } else {
            game.asked(JUDGED).await;
            let charge = charge.look().await;
            assert!(!is_final(charge.state()), "the issuer was taken in: {charge:?}");
            assert_eq!(session.available().await, before - PRICE, "the hold stays");
        }
        game.play(Arc::new(Honest));
        let ended = charge.end().await;
        let end = word_of(&ended);
        check_truth(world, &order, &ended).await;
        let spent = if end == "APPROVED" { PRICE } else { 0 };
        assert_eq!(session.available().await, before - spent, "the hold's end");
        world.enter(issuer, customer, &order, ended);
        (game.said(), end.into())
    }
}

#[tonic::async_trait]
impl Trick for Play {
    async fn relay(&self, hostile: &Hostile, mut asked: Asked) -> Result<Answered, Status> {
        let loot = hostile.loot();
        let game = hostile.game(&asked);
        match self {
            Self::Asks(change) => {
                change(loot, &mut asked);
                hostile.put(&game, &asked).await
            }
            Self::Answers(change) => {
                let mut answered = hostile.put(&game, &asked).await?;
                change(loot, &asked, &mut answered);
                Ok(answered)
            }
            Self::Invents(answer) => answer(loot, &asked),
            Self::Hides(answer) => {
                hostile.put(&game, &asked).await?;
                answer(loot, &asked)
            }
            Self::SwallowsRequests => std::future::pending().await,
            Self::SwallowsAnswers => {
                hostile.put(&game, &asked).await?;
                std::future::pending().await
            }
        }
    }
}

/// The charge has ended as its order's acquirer decided: approved there by this very authorization, or
/// not approved there by it.
pub(crate) async fn check_truth(world: &World, order: &proto::order::SignedOrder, charge: &pb::Charge) {
    let found = world.shop.look(order).await;
    let last = found.last_authorization.clone().unwrap_or_default();
    let is_approved_by_it =
        found.state() == pb::OrderState::Approved && last.authorization_id == charge.authorization_id;
    assert_eq!(charge.state() == pb::ChargeState::Approved, is_approved_by_it, "{charge:?} of {found:?}");
    if is_approved_by_it {
        assert_eq!(charge.approval_code, last.approval_code);
    }
}

/// Waits until the issuer has judged what it was answered so far; the charge must be as open as it was.
pub(crate) async fn stays_open(issuer: &Issuer, game: &Game, charge: &crate::app::Charge) {
    game.asked(JUDGED).await;
    let charge = charge.look().await;
    assert!(!is_final(charge.state()), "{} was taken in: {charge:?}", issuer.id);
}

/// How a charge stands, in a word.
pub(crate) fn word_of(charge: &pb::Charge) -> &'static str {
    match charge.state() {
        pb::ChargeState::Declined => short(charge.decline_reason()),
        state @ (pb::ChargeState::Unspecified
        | pb::ChargeState::Held
        | pb::ChargeState::Sent
        | pb::ChargeState::Unknown
        | pb::ChargeState::Approved
        | pb::ChargeState::Abandoned) => short_state(state),
    }
}

fn short_state(state: pb::ChargeState) -> &'static str {
    state.as_str_name().trim_start_matches("CHARGE_STATE_")
}
