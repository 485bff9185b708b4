use super::*;

/// A bank where three failures from one place are enough.
async fn strict() -> Bank {
    let mut bank = Bank::open().await;
    bank.limits.source_failures_max = 3;
    bank
}

async fn try_from(bank: &Bank, origin: &str, password: &str) -> Result<Proven, Error> {
    let begun = bank.begin(None);
    let proof = Proof::Knowledge(proof(NATIONAL_ID, USER_CODE, password));
    bank.desk().prove(&begun.id, proof, origin.parse().unwrap()).await
}

#[tokio::test]
async fn a_place_with_too_many_failures_waits_whoever_it_tries_and_others_do_not() {
    let bank = strict().await;
    for national_id in [OTHER_NATIONAL_ID, NATIONAL_ID, OTHER_NATIONAL_ID] {
        bank.try_once(national_id, USER_CODE, "wrong password").await.unwrap_err();
    }
    let Err(Error::RateLimited(wait)) = bank.sign_in().await else { panic!("this place has to wait") };
    assert_eq!(wait, Duration::from_secs(600));
    assert!(try_from(&bank, "192.0.2.2", PASSWORD).await.is_ok());
    // The same place in the notation of IPv6.
    assert!(matches!(try_from(&bank, "::ffff:192.0.2.1", PASSWORD).await, Err(Error::RateLimited(_))));
    assert_eq!(bank.lockout(bank.customer.as_str()).await.unwrap().begun, 0, "a refused place costs nobody a try");

    bank.clock.advance(wait);
    bank.sign_in().await.unwrap();
}

#[tokio::test]
async fn the_trail_says_once_that_a_place_has_to_wait() {
    let bank = strict().await;
    let told = async || {
        let events = bank.store.events(crate::audit::topic(), mesh::store::Seq::default(), 100).await.unwrap();
        let has =
            |event: &mesh::store::Event, word: &str| event.body.windows(word.len()).any(|part| part == word.as_bytes());
        events.iter().filter(|event| has(event, "place_has_to_wait")).count()
    };
    for expected in [0, 0, 1] {
        bank.try_once(OTHER_NATIONAL_ID, USER_CODE, PASSWORD).await.unwrap_err();
        assert_eq!(told().await, expected);
    }
    let before = bank.store.watch().borrow().number();
    assert!(matches!(bank.sign_in().await, Err(Error::RateLimited(_))));
    assert_eq!(bank.store.watch().borrow().number(), before, "what is refused meanwhile writes nothing");
}

#[tokio::test]
async fn a_restart_resets_no_place() {
    let bank = strict().await;
    for _ in 0..3 {
        bank.try_once(OTHER_NATIONAL_ID, USER_CODE, PASSWORD).await.unwrap_err();
    }
    let mut restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.limits.source_failures_max = 3;
    assert!(matches!(restarted.sign_in().await, Err(Error::RateLimited(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_no_more_than_the_rule_allows() {
    let mut bank = strict().await;
    bank.limits.password_tries_max = 1000;
    let bank = Arc::new(bank);
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let bank = Arc::clone(&bank);
            tokio::spawn(async move { bank.try_once(NATIONAL_ID, USER_CODE, "wrong password").await })
        })
        .collect();
    let mut judged = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            Err(Error::IdentityNotVerified) => judged += 1,
            Err(Error::RateLimited(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=3).contains(&judged), "{judged} guesses were judged");
}

#[tokio::test]
async fn successes_are_not_counted() {
    let bank = strict().await;
    for _ in 0..10 {
        bank.sign_in().await.unwrap();
    }
    bank.try_once(NATIONAL_ID, USER_CODE, "wrong password").await.unwrap_err();
    bank.sign_in().await.unwrap();
}
