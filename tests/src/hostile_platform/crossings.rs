//! Stories about two charges at once: their messages swapped and put out of order.

use std::sync::{Arc, Mutex};

use crate::{app::Charge, attacks::Attack, customers::Card};
use proto::order::SignedOrder;
use tokio::sync::{oneshot, watch};
use tonic::Status;

use super::{
    case::{check_truth, stays_open, word_of},
    messages::{Answered, Asked, Rpc},
    server::{Game, Honest, Hostile, Trick},
    story,
    world::{Issuer, PRICE, World, ticket},
};

/// Plays them all. Each is played with two customers of one bank, and with one customer of each bank.
pub(crate) fn stories(world: &World) -> Vec<Attack<'_>> {
    let mut attacks = Vec::new();
    for (other, whose) in [(&world.aurora, "two orders'"), (&world.borealis, "two issuers'")] {
        let pair = Pair { world, first: (&world.aurora, 4), second: (other, 5) };
        let (decided, refused, never) =
            ("APPROVED, INSUFFICIENT_FUNDS", "ROUTE_MISMATCH, ROUTE_MISMATCH", "NEVER_RECEIVED, NEVER_RECEIVED");
        let swaps =
            |what: &str, swap, acquirer, end| story(&format!("swaps {whose} {what}"), acquirer, end, pair.swap(swap));
        attacks.push(swaps("messages", Swap::Messages, decided, decided));
        attacks.push(swaps("results", Swap::Results, decided, decided));
        attacks.push(swaps("signed requests", Swap::Signed, refused, never));
        let (name, both) = (format!("puts {whose} requests out of order"), "APPROVED, APPROVED");
        attacks.push(story(&name, both, both, pair.reverse()));
    }
    let (name, end) = ("gives two banks each other's result for one order", "APPROVED once");
    attacks.push(story(name, "APPROVED once", end, one_order_twice(world)));
    attacks
}

/// What is exchanged between two charges.
#[derive(Clone, Copy, Debug)]
enum Swap {
    /// Each issuer gets what the other one's message is answered with.
    Messages,
    /// The same, under the authorization id that the issuer asked for.
    Results,
    /// Each route travels with the other's signed request.
    Signed,
}

/// Two issuers' messages meet here, requests with requests and questions with questions.
struct Crossing {
    swap: Swap,
    requests: Meeting,
    questions: Meeting,
}

type Meeting = Mutex<Option<(Asked, oneshot::Sender<Asked>)>>;

impl Crossing {
    fn new(swap: Swap) -> Arc<Self> {
        Arc::new(Self { swap, requests: Mutex::default(), questions: Mutex::default() })
    }

    /// Waits for the other's message.
    async fn meet(&self, asked: &Asked) -> Asked {
        let meeting = match asked.rpc {
            Rpc::Authorize => &self.requests,
            Rpc::Resolve => &self.questions,
        };
        let waiting = {
            let mut meeting = meeting.lock().unwrap();
            // The same charge's earlier message, or one that nobody waits for any more, is not the other's.
            let other = meeting.take().filter(|(other, sender)| {
                other.route.authorization_id != asked.route.authorization_id && !sender.is_closed()
            });
            if let Some((other, sender)) = other
                && sender.send(asked.clone()).is_ok()
            {
                return other;
            }
            let (sender, receiver) = oneshot::channel();
            *meeting = Some((asked.clone(), sender));
            receiver
        };
        match waiting.await {
            Ok(other) => other,
            // A later message of the same charge waits in this one's place.
            Err(_) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl Trick for Crossing {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let other = self.meet(&asked).await;
        let sent = match self.swap {
            Swap::Messages | Swap::Results => other,
            Swap::Signed => Asked { signed: other.signed, ..asked.clone() },
        };
        let game = hostile.game(&sent);
        let mut answered = hostile.put(&game, &sent).await?;
        if let Swap::Results = self.swap {
            answered.authorization_id.clone_from(&asked.route.authorization_id);
        }
        Ok(answered)
    }
}

/// Lets no request go before another that came later.
struct Reversed {
    /// How many requests came, and whether the later one is through.
    came: Mutex<u32>,
    is_through: watch::Sender<bool>,
}

#[tonic::async_trait]
impl Trick for Reversed {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let game = hostile.game(&asked);
        if asked.rpc == Rpc::Resolve {
            return hostile.put(&game, &asked).await;
        }
        let is_first = {
            let mut came = self.came.lock().unwrap();
            *came += 1;
            *came == 1
        };
        if is_first {
            let mut is_through = self.is_through.subscribe();
            is_through.wait_for(|is_through| *is_through).await.unwrap();
            return hostile.put(&game, &asked).await;
        }
        let answered = hostile.put(&game, &asked).await;
        self.is_through.send_replace(true);
        answered
    }
}

/// Two customers, each at a bank.
#[derive(Clone, Copy)]
struct Pair<'a> {
    world: &'a World,
    first: (&'a Issuer, u32),
    second: (&'a Issuer, u32),
}

/// One customer's charge.
struct Paying<'a> {
    issuer: &'a Issuer,
    customer: u32,
    order: SignedOrder,
    charge: Charge,
}

impl<'a> Paying<'a> {
    async fn new((issuer, customer): (&'a Issuer, u32), order: &SignedOrder, card: Card) -> Self {
        let session = issuer.app.sign_in(&issuer.customer(customer), &order.signed.to_pb()).await.unwrap();
        Self { issuer, customer, order: order.clone(), charge: session.pay(card, ticket()).await.unwrap() }
    }

    async fn end(&self, world: &World) -> &'static str {
        let ended = self.charge.end().await;
        check_truth(world, &self.order, &ended).await;
        let word = word_of(&ended);
        world.enter(self.issuer, self.customer, &self.order, ended);
        word
    }
}

impl<'a> Pair<'a> {
    /// A good card's charge and a poor card's, whose messages are swapped all the time.
    async fn swap(self, swap: Swap) -> (String, String) {
        let (games, paying) = self.pay(Crossing::new(swap), Card::Poor).await;
        for (game, paying) in games.iter().zip(&paying) {
            stays_open(paying.issuer, game, &paying.charge).await;
        }
        for game in &games {
            game.play(Arc::new(Honest));
        }
        self.told(&games, &paying).await
    }

    async fn reverse(self) -> (String, String) {
        let trick = Arc::new(Reversed { came: Mutex::default(), is_through: watch::Sender::new(false) });
        let (games, paying) = self.pay(trick, Card::Good).await;
        self.told(&games, &paying).await
    }

    /// What the acquirer said to each, and how each ended.
    async fn told(&self, games: &[Arc<Game>; 2], paying: &[Paying<'_>; 2]) -> (String, String) {
        let ended = [paying[0].end(self.world).await, paying[1].end(self.world).await];
        (games.each_ref().map(|game| game.said()).join(", "), ended.join(", "))
    }

    async fn pay(&self, trick: Arc<dyn Trick>, second: Card) -> ([Arc<Game>; 2], [Paying<'a>; 2]) {
        let orders = [self.world.shop.place(PRICE).await, self.world.shop.place(PRICE).await];
        let games = orders.each_ref().map(|order| self.world.hostile().attack(order.digest.to_bytes(), trick.clone()));
        let paying =
            [Paying::new(self.first, &orders[0], Card::Good).await, Paying::new(self.second, &orders[1], second).await];
        (games, paying)
    }
}

/// Two banks pay one order at once and get each other's results: one of them is approved, and which one is
/// the acquirer's word alone.
async fn one_order_twice(world: &World) -> (String, String) {
    let order = world.shop.place(PRICE).await;
    let game = world.hostile().attack(order.digest.to_bytes(), Crossing::new(Swap::Results));
    let first = Paying::new((&world.aurora, 4), &order, Card::Good).await;
    let second = Paying::new((&world.borealis, 4), &order, Card::Good).await;
    // Each sends a message only when the other does, or when it has given up: after so many, each has
    // judged several results of the other's.
    game.asked(12).await;
    for paying in [&first, &second] {
        let charge = paying.charge.look().await;
        assert!(!crate::app::is_final(charge.state()), "{}: {charge:?}", paying.issuer.id);
    }
    game.play(Arc::new(Honest));
    let mut ended = [first.end(world).await, second.end(world).await];
    ended.sort_unstable();
    assert_eq!(ended[0], "APPROVED");
    assert!(["ORDER_ALREADY_APPROVED", "ORDER_BUSY"].contains(&ended[1]), "{ended:?}");
    let paid = format!("{} once", ended[0]);
    (paid.clone(), paid)
}
