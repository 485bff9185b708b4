//! What the bank's own people do about charges whose result is not known.

use std::time::Duration;

use issuer::{
    client::Unanswered,
    domain::charge::{Inquiry, State},
    error::Error,
    operations, records,
    repository::{Changes, Outcome},
};
use mesh::store::{Event, PageRequest, Seq, Store as _, Topic};

use super::{
    acquirer::Reply,
    world::{Card, Run, World, charge_id},
};

async fn parked() -> (World, Run) {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    run.until_unknown(1).await;
    world.clock.advance(Duration::from_secs(86_400));
    world.acquirer.then_answer(Reply::Fail(Unanswered::Connection("refused".into())));
    run.ask();
    run.until(1, |state| matches!(state, State::Unknown { next: Inquiry::Parked, .. })).await;
    (world, run)
}

async fn listed(run: &Run, parked: bool) -> usize {
    operations::unknown_charges(&run.ctx, parked, PageRequest::first(10)).await.unwrap().charges.len()
}

#[tokio::test]
async fn a_parked_charge_is_listed_and_resolved() {
    let (world, run) = parked().await;
    assert_eq!((listed(&run, true).await, listed(&run, false).await), (1, 0));
    let charge = operations::resolve(&run.ctx, &"lin".parse().unwrap(), &charge_id(1)).await.unwrap();
    assert!(matches!(charge.state, State::Approved { .. }), "{:?}", charge.state);
    assert_eq!((listed(&run, true).await, listed(&run, false).await), (0, 0));
    assert_eq!(world.account("credit-lin").await, (99_000, 0, 1_000));
}

#[tokio::test]
async fn a_question_in_vain_parks_it_again() {
    let (world, run) = parked().await;
    world.acquirer.then_answer(Reply::Fail(Unanswered::Connection("refused".into())));
    let charge = operations::resolve(&run.ctx, &"lin".parse().unwrap(), &charge_id(1)).await.unwrap();
    assert!(charge.is_parked());
    assert_eq!(listed(&run, true).await, 1);
}

#[tokio::test]
async fn a_result_by_another_way_ends_it_and_a_foreign_one_does_not() {
    let (world, run) = parked().await;
    let lin = "lin".parse().unwrap();
    let right = world.acquirer.decided(&run.charge(1).await.authorization).unwrap();
    let mut forged = right.clone();
    forged.signature[0] ^= 1;
    let error = operations::import_result(&run.ctx, &lin, &charge_id(1), &forged).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(invalid) if invalid.violations[0].path == "result"), "{error}");
    assert!(run.charge(1).await.is_parked());
    let ended = operations::import_result(&run.ctx, &lin, &charge_id(1), &right).await.unwrap();
    assert!(matches!(ended.state, State::Approved { .. }), "{:?}", ended.state);
    let again = operations::import_result(&run.ctx, &lin, &charge_id(1), &right).await.unwrap();
    assert_eq!(again, ended, "to import it twice changes nothing");
    let waiting = world.disk.events(&Topic::new("audit").unwrap(), Seq::new(0), 64).await.unwrap();
    let tells = |event: &Event, what: &str| String::from_utf8_lossy(&event.body).contains(what);
    let hands = waiting.iter().take_while(|event| !tells(event, "charge_ended"));
    let hands: Vec<_> = hands.filter(|event| tells(event, "result_imported")).collect();
    assert_eq!(hands.len(), 3, "whose hand it was is told before anything comes of it");
    assert!(tells(hands[1], "untrusted") && !tells(hands[0], "untrusted"));
    let nobody = operations::import_result(&run.ctx, &"wu".parse().unwrap(), &charge_id(1), &right).await;
    assert!(matches!(nobody, Err(Error::ChargeNotFound)));
}

#[tokio::test]
async fn a_drawn_code_replaces_the_former_one_and_unknown_customers_get_none() {
    let (_world, run) = World::new().await;
    let lin = records::Customer { customer_id: "lin".into(), national_id_hash: vec![1; 32].into(), name: "Lin".into() };
    let made = run.ctx.repository.commit(Changes::new().create(&lin)).await.unwrap();
    assert_eq!(made, Outcome::Committed);
    let life = Duration::from_secs(600);
    let first = operations::issue_activation_code(&run.ctx, &"lin".parse().unwrap(), life).await.unwrap();
    let second = operations::issue_activation_code(&run.ctx, &"lin".parse().unwrap(), life).await.unwrap();
    assert_ne!(first.0.expose(), second.0.expose());
    assert_eq!(first.0.expose().len(), 19);
    let nobody = operations::issue_activation_code(&run.ctx, &"nobody".parse().unwrap(), life).await;
    assert!(matches!(nobody, Err(Error::CustomerNotFound)));
    assert!(matches!(
        operations::unlock_passwords(&run.ctx, &"nobody".parse().unwrap()).await,
        Err(Error::CustomerNotFound)
    ));
    operations::unlock_passwords(&run.ctx, &"lin".parse().unwrap()).await.unwrap();
}
