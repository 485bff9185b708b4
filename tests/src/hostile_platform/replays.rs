//! Stories about time: the same request again, too late, out of order, and messages of the platform's own.

use std::sync::{Arc, Mutex};

use crate::{app::Charge, attacks::Attack, customers::Card, network::sign};
use mesh::{identity::Role, signing::Signer, status::reason_of};
use proto::{digest::Digest, pb};
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    case::{check_truth, stays_open, word_of},
    messages::{Answered, Asked, Rpc},
    server::{Game, Honest, Hostile, Trick},
    story,
    world::{PRICE, Recorder, World, ticket},
};

/// The customer of the first bank's whom these stories are about.
const CUSTOMER: u32 = 4;
/// How often a message is played again.
const COPIES: usize = 8;

/// Plays them all.
pub(crate) fn stories(world: &World) -> Vec<Attack<'_>> {
    let (paid, never) = ("APPROVED", "NEVER_RECEIVED");
    vec![
        story("sends a request many times at once", paid, paid, sends_a_request_many_times_at_once(world)),
        story("sends a request again after the end", paid, paid, sends_a_request_again_after_the_end(world)),
        story(
            "delivers a request after the question about it",
            never,
            never,
            delivers_a_request_after_the_question(world),
        ),
        story(
            "gives the answer when nobody waits any more",
            paid,
            paid,
            gives_the_answer_when_nobody_waits_any_more(world),
        ),
        story(
            "plays the order's first decline for its second request",
            paid,
            paid,
            plays_the_orders_first_decline_for_its_second_request(world),
        ),
        story("asks questions of its own before it forwards", paid, paid, asks_questions_of_its_own(world)),
        story("makes requests up with a card of its own", "SIGNATURE_INVALID", paid, pays_by_itself(world)),
    ]
}

fn told(game: &Game, charge: &pb::Charge) -> (String, String) {
    (game.said(), word_of(charge).into())
}

/// A charge for an order of its own, with a trick on its messages.
struct Scene {
    order: proto::order::SignedOrder,
    game: Arc<Game>,
    session: crate::app::Session,
}

impl Scene {
    async fn new(world: &World, trick: Arc<dyn Trick>) -> Self {
        let order = world.shop.place(PRICE).await;
        let game = world.hostile().attack(order.digest.to_bytes(), trick);
        let customer = world.aurora.customer(CUSTOMER);
        let session = world.aurora.app.sign_in(&customer, &order.signed.to_pb()).await.unwrap();
        Self { order, game, session }
    }

    async fn pay(&self, card: Card) -> Charge {
        self.session.pay(card, ticket()).await.unwrap()
    }

    async fn end(&self, world: &World, charge: &Charge) -> pb::Charge {
        let ended = charge.end().await;
        check_truth(world, &self.order, &ended).await;
        world.enter(&world.aurora, CUSTOMER, &self.order, ended.clone());
        ended
    }
}

/// Puts every message to the acquirer many times at once.
struct Repeats;

#[tonic::async_trait]
impl Trick for Repeats {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let game = hostile.game(&asked);
        let mut copies = JoinSet::new();
        for _ in 0..COPIES {
            let (hostile, asked, game) = (hostile.clone(), asked.clone(), Arc::clone(&game));
            copies.spawn(async move { hostile.put(&game, &asked).await });
        }
        let answers: Vec<_> = copies.join_all().await.into_iter().collect::<Result<_, _>>()?;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "one request has one result, byte for byte");
        Ok(answers[0].clone())
    }
}

async fn sends_a_request_many_times_at_once(world: &World) -> (String, String) {
    let scene = Scene::new(world, Arc::new(Repeats)).await;
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    assert_eq!(word_of(&ended), "APPROVED");
    assert_eq!(world.shop.look(&scene.order).await.attempts, 0, "nothing was declined");
    told(&scene.game, &ended)
}

async fn sends_a_request_again_after_the_end(world: &World) -> (String, String) {
    let recorder = Arc::new(Recorder::default());
    let scene = Scene::new(world, recorder.clone()).await;
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    let (asked, answered) = recorder.taken();
    let before = world.shop.look(&scene.order).await;
    for _ in 0..COPIES {
        assert_eq!(world.hostile().put(&scene.game, &asked).await.unwrap(), answered);
    }
    assert_eq!(world.shop.look(&scene.order).await, before);
    told(&scene.game, &ended)
}

/// Keeps requests back, and lets questions through.
#[derive(Default)]
struct KeepsRequests(Mutex<Vec<Asked>>);

#[tonic::async_trait]
impl Trick for KeepsRequests {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        if asked.rpc == Rpc::Resolve {
            return hostile.forward(&asked).await;
        }
        self.0.lock().unwrap().push(asked);
        Err(Status::unavailable("kept back"))
    }
}

/// A question that comes before its request declines it for ever: what is delivered later moves nothing.
async fn delivers_a_request_after_the_question(world: &World) -> (String, String) {
    let kept = Arc::new(KeepsRequests::default());
    let scene = Scene::new(world, kept.clone()).await;
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    let late = kept.0.lock().unwrap()[0].clone();
    assert_eq!(world.hostile().put(&scene.game, &late).await.unwrap().in_a_word(), "NEVER_RECEIVED");
    let found = world.shop.look(&scene.order).await;
    assert_eq!((found.state(), found.attempts, found.last_authorization), (pb::OrderState::Open, 0, None));

    // The cardholder tries again, and the late request is late for that one too.
    scene.game.play(Arc::new(Honest));
    let second = scene.end(world, &scene.pay(Card::Good).await).await;
    assert_eq!(word_of(&second), "APPROVED");
    assert_eq!(world.hostile().put(&scene.game, &late).await.unwrap().in_a_word(), "NEVER_RECEIVED");
    told(&scene.game, &ended)
}

/// Forwards everything, and keeps the answers to requests until the issuer has given up on them.
struct KeepsAnswers;

#[tonic::async_trait]
impl Trick for KeepsAnswers {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let game = hostile.game(&asked);
        let answered = hostile.put(&game, &asked).await?;
        if asked.rpc == Rpc::Authorize {
            // Until the question: by then nobody waits for this answer.
            game.asked(2).await;
        }
        Ok(answered)
    }
}

async fn gives_the_answer_when_nobody_waits_any_more(world: &World) -> (String, String) {
    let scene = Scene::new(world, Arc::new(KeepsAnswers)).await;
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    assert_eq!(word_of(&ended), "APPROVED");
    told(&scene.game, &ended)
}

/// Forwards, and answers with an earlier result of the same order.
struct AnswersWith(pb::Signed);

#[tonic::async_trait]
impl Trick for AnswersWith {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let game = hostile.game(&asked);
        hostile.put(&game, &asked).await?;
        Ok(Answered::with(&asked, self.0.clone()))
    }
}

async fn plays_the_orders_first_decline_for_its_second_request(world: &World) -> (String, String) {
    let recorder = Arc::new(Recorder::default());
    let scene = Scene::new(world, recorder.clone()).await;
    let first = scene.end(world, &scene.pay(Card::Poor).await).await;
    assert_eq!(word_of(&first), "INSUFFICIENT_FUNDS");
    let game = world
        .hostile()
        .attack(scene.order.digest.to_bytes(), Arc::new(AnswersWith(recorder.taken().1.result.unwrap())));
    let second = scene.pay(Card::Good).await;
    stays_open(&world.aurora, &game, &second).await;
    game.play(Arc::new(Honest));
    let ended = scene.end(world, &second).await;
    assert_eq!(word_of(&ended), "APPROVED");
    told(&game, &ended)
}

/// Asks, before it forwards a request, what became of it: in the issuer's name, under keys of its own. A
/// question that counted would decline the request for ever.
struct AsksFirst;

#[tonic::async_trait]
impl Trick for AsksFirst {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let game = hostile.game(&asked);
        if asked.rpc == Rpc::Authorize {
            for signer in [&hostile.loot().platform, &hostile.loot().issuer_impostor] {
                let refused = hostile.forward(&question(&asked, signer)).await.unwrap_err();
                assert_eq!(reason_of(&refused).as_deref(), Some("SIGNATURE_INVALID"));
            }
        }
        hostile.put(&game, &asked).await
    }
}

fn question(asked: &Asked, signer: &Signer) -> Asked {
    let request = asked.request();
    let question = pb::ResolveRequest {
        authorization_id: request.authorization_id.clone(),
        issuer_id: request.issuer_id.clone(),
        acquirer_id: request.acquirer_id.clone(),
        request_digest: Digest::of(&asked.signed.body).to_bytes(),
        order_digest: asked.route.order_digest.clone(),
        amount: request.amount.clone(),
        request_signed_at: request.signed_at,
        signed_at: request.signed_at,
    };
    Asked { rpc: Rpc::Resolve, route: asked.route.clone(), signed: sign(signer, &question).to_pb() }
}

async fn asks_questions_of_its_own(world: &World) -> (String, String) {
    let scene = Scene::new(world, Arc::new(AsksFirst)).await;
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    assert_eq!(word_of(&ended), "APPROVED");
    told(&scene.game, &ended)
}

/// Makes requests up for an open order, in an issuer's name and with a good card of its own.
async fn pays_by_itself(world: &World) -> (String, String) {
    let scene = Scene::new(world, Arc::new(Honest)).await;
    let loot = world.hostile().loot();
    let card = world.aurora.customer(999).card(Card::Good);
    for signer in [&loot.platform, &loot.issuer_impostor] {
        let bank = crate::bank::Bank { id: world.aurora.id, signer: signer.clone() };
        let message = bank.message(&bank.request(&scene.order, &card), ticket());
        let refused = world.hostile().put(&scene.game, &Asked::from(message)).await.unwrap_err();
        assert_eq!(reason_of(&refused).as_deref(), Some("SIGNATURE_INVALID"));
    }
    // In its own name it is no issuer at all.
    let bank = crate::bank::Bank { id: "hub", signer: world.network.signer(Role::Platform, "hub") };
    let message = bank.message(&bank.request(&scene.order, &card), ticket());
    let refused = world.hostile().forward(&Asked::from(message)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("MEMBER_UNKNOWN"));
    let found = world.shop.look(&scene.order).await;
    assert_eq!((found.state(), found.attempts, found.last_authorization), (pb::OrderState::Open, 0, None));
    let ended = scene.end(world, &scene.pay(Card::Good).await).await;
    assert_eq!(word_of(&ended), "APPROVED");
    told(&scene.game, &ended)
}
