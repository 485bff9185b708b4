use super::*;

const LOCK: Duration = Duration::from_secs(30 * 60);

#[tokio::test]
async fn five_failures_lock_for_half_an_hour_also_across_a_restart() {
    let bank = Bank::open().await;
    for _ in 0..5 {
        bank.try_once(NATIONAL_ID, USER_CODE, "wrong password").await.unwrap_err();
    }
    assert!(matches!(bank.sign_in().await, Err(Error::IdentityNotVerified)));

    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.clock.advance(LOCK - Duration::from_millis(1));
    assert!(matches!(restarted.sign_in().await, Err(Error::IdentityNotVerified)));
    restarted.clock.advance(Duration::from_millis(1));
    restarted.sign_in().await.unwrap();
}

#[tokio::test]
async fn a_success_forgets_the_failures() {
    let bank = Bank::open().await;
    for _ in 0..3 {
        for _ in 0..4 {
            bank.try_once(NATIONAL_ID, USER_CODE, "wrong password").await.unwrap_err();
        }
        bank.sign_in().await.unwrap();
    }
    let lockout = bank.lockout(bank.customer.as_str()).await.unwrap();
    assert_eq!((lockout.begun, lockout.locked_until_ms), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_guesses_at_once_get_five_tries_also_at_two_replicas() {
    let bank = Arc::new(Bank::open().await);
    let replica = Arc::new(Bank::over(Arc::clone(&bank.store), bank.clock.now()).await);
    let guesses: Vec<_> = (0..40)
        .map(|number| {
            let bank = Arc::clone(if number % 2 == 0 { &bank } else { &replica });
            tokio::spawn(async move { bank.try_once(NATIONAL_ID, USER_CODE, &format!("guess {number:04}")).await })
        })
        .collect();
    for guess in guesses {
        assert!(matches!(guess.await.unwrap(), Err(Error::IdentityNotVerified)));
    }
    let lockout = bank.lockout(bank.customer.as_str()).await.unwrap();
    assert_eq!(lockout.refused, 35, "all but five were refused whatever they were");
    assert_eq!(lockout.locked_until_ms, millis_of(bank.clock.now() + LOCK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_right_password_among_guesses_beyond_the_fifth_is_refused() {
    let bank = Bank::open().await;
    let verdicts = {
        let desk = bank.desk();
        let mut verdicts = Vec::new();
        for _ in 0..5 {
            let begun = bank.begin(None);
            verdicts.push(desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, "wrong password")).await);
        }
        let begun = bank.begin(None);
        verdicts.push(desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)).await);
        verdicts
    };
    assert!(verdicts.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_try_is_counted_before_the_password_is_looked_at() {
    let bank = Bank::open().await;
    // All turns are taken, so that nothing is hashed; a caller who gives up while waiting costs no try.
    let mut turns = Vec::new();
    for _ in 0..PasswordConfig::default().concurrency {
        turns.push(bank.auth.passwords.turn().await.unwrap());
    }
    let begun = bank.begin(None);
    let desk = bank.desk();
    {
        let mut waiting = Box::pin(desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, "wrong password")));
        let pending =
            std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending()));
        assert!(pending.await);
    }
    assert!(bank.lockout(bank.customer.as_str()).await.is_none());
    drop(turns);

    // With a turn, the count is there as soon as the hashing has begun, and giving up takes nothing back.
    {
        let mut hashing = Box::pin(desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, "wrong password")));
        let pending =
            std::future::poll_fn(|context| std::task::Poll::Ready(hashing.as_mut().poll(context).is_pending()));
        assert!(pending.await);
    }
    assert_eq!(bank.lockout(bank.customer.as_str()).await.unwrap().begun, 1);
}

#[tokio::test]
async fn made_up_national_ids_cannot_fill_the_store() {
    let bank = Bank::open().await;
    bank.try_once(OTHER_NATIONAL_ID, USER_CODE, PASSWORD).await.unwrap_err();
    let tag = bank.lookup.national_id(&OTHER_NATIONAL_ID.parse().unwrap());
    let name = decoy::Decoy::lockout_name(&tag);
    assert_eq!(bank.lockout(&name).await.unwrap().begun, 1);
    assert!(name.parse::<CustomerId>().is_err(), "no customer can have that id");
    let number: u32 = name.strip_prefix('?').unwrap().parse().unwrap();
    assert!(number < 1024);
}
