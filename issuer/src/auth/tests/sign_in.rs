use super::*;

#[tokio::test]
async fn the_right_proof_opens_a_session_for_the_order_of_the_challenge() {
    let bank = Bank::open().await;
    let begun = bank.begin(Some(order()));
    assert_eq!(begun.expires_at, bank.clock.now() + Duration::from_secs(120));
    let session = bank.desk().prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)).await.unwrap();

    let signed_in = bank.use_session(session.token.expose()).await.unwrap();
    let expected = SignedIn {
        id: Digest::of(session.token.expose()),
        customer: bank.customer.clone(),
        order: Some(order()),
        factors: vec![Factor::Knowledge],
        device: None,
        challenge: begun.challenge,
        expires_at: bank.clock.now() + Duration::from_secs(900),
    };
    assert_eq!((&signed_in, &session.signed_in), (&expected, &expected));
}

#[tokio::test]
async fn a_session_without_an_order_cannot_pay() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let signed_in = bank.use_session(session.token.expose()).await.unwrap();
    assert_eq!(signed_in.order, None);
}

#[tokio::test]
async fn every_failure_looks_and_costs_the_same() {
    let bank = Bank::open().await;
    // The last three cases meet a locked customer, the last of all with the right proof.
    let cases = [
        (NATIONAL_ID, USER_CODE, "wrong password"),
        (NATIONAL_ID, "mei-lin2", PASSWORD),
        (OTHER_NATIONAL_ID, USER_CODE, PASSWORD),
        (NATIONAL_ID, USER_CODE, "wrong password"),
        (NATIONAL_ID, USER_CODE, "wrong password"),
        (NATIONAL_ID, USER_CODE, "wrong password"),
        (NATIONAL_ID, USER_CODE, "wrong password"),
        (NATIONAL_ID, "mei-lin2", PASSWORD),
        (NATIONAL_ID, USER_CODE, PASSWORD),
    ];
    let work = || {
        let comparisons = bank.auth.passwords.comparisons.load(std::sync::atomic::Ordering::Relaxed);
        (bank.store.watch().borrow().number(), comparisons)
    };
    let mut answers = Vec::new();
    for (number, (national_id, user_code, password)) in cases.into_iter().enumerate() {
        let (commits, comparisons) = work();
        answers.push(seen(bank.try_once(national_id, user_code, password).await.unwrap_err()));
        // The sixth case is the customer's fifth try, of which the audit trail says one thing more: that it
        // locks. The decoy's fifth try says the same.
        let told = if number == 5 { 3 } else { 2 };
        assert_eq!(work(), (commits + told, comparisons + 1), "one comparison for every failure");
    }
    assert!(bank.lockout(bank.customer.as_str()).await.unwrap().locked_until_ms > 0);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(answers[0].contains("Unauthenticated"));
}

#[tokio::test]
async fn a_challenge_opens_one_session_even_for_two_right_proofs_at_once() {
    let bank = Bank::open().await;
    let begun = bank.begin(None);
    let desk = bank.desk();
    let (first, second) = tokio::join!(
        desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)),
        desk.prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)),
    );
    let refused = match (first, second) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        (Ok(_), Ok(_)) => panic!("one challenge opened two sessions"),
        (Err(error), Err(_)) => panic!("neither proof was taken: {error}"),
    };
    assert!(matches!(refused, Error::ChallengeNotFound));
}

#[tokio::test]
async fn a_challenge_is_void_after_two_minutes_and_after_five_tries() {
    let bank = Bank::open().await;
    let begun = bank.begin(None);
    for _ in 0..CHALLENGE_TRIES_MAX {
        let error = bank.desk().prove_knowledge(&begun.id, proof(OTHER_NATIONAL_ID, USER_CODE, PASSWORD)).await;
        assert!(matches!(error, Err(Error::IdentityNotVerified)));
    }
    let error = bank.desk().prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)).await;
    assert!(matches!(error, Err(Error::ChallengeNotFound)));

    let begun = bank.begin(None);
    bank.clock.advance(Duration::from_secs(120));
    let error = bank.desk().prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)).await;
    assert!(matches!(error, Err(Error::ChallengeExpired)));
    assert!(bank.lockout(bank.customer.as_str()).await.is_none(), "a void challenge costs the customer no try");
}

#[tokio::test]
async fn a_right_password_renews_a_hash_of_another_cost() {
    let bank = Bank::open().await;
    let costly = PasswordConfig { iterations: 3, ..PasswordConfig::default() };
    let other = Passwords::new(&costly, Arc::clone(&bank.entropy)).unwrap();
    let stored = bank.repository.load(&Credential::at(&bank.customer)).await.unwrap().unwrap();
    let hash = other.hash(PASSWORD.as_bytes()).unwrap();
    let sealed = seal_password_hash(&bank.vault, &bank.customer, &hash).unwrap().into();
    let value = Credential { sealed_password_hash: sealed, ..stored.value };
    let changed = bank.repository.commit(Changes::new().replace(stored.version, &value)).await.unwrap();
    assert_eq!(changed, Outcome::Committed);

    bank.sign_in().await.unwrap();
    let stored = bank.repository.load(&Credential::at(&bank.customer)).await.unwrap().unwrap();
    let hash = open_password_hash(&bank.vault, &bank.customer, &stored.value.sealed_password_hash).unwrap();
    assert!(bank.auth.passwords.accepts(&hash));
    bank.sign_in().await.unwrap();
}

#[tokio::test]
async fn a_credential_copied_to_another_customer_opens_nothing() {
    let bank = Bank::open().await;
    let thief: CustomerId = "customer-2".parse().unwrap();
    let stolen = bank.repository.load(&Credential::at(&bank.customer)).await.unwrap().unwrap().value;
    let customer = Customer {
        customer_id: thief.to_string(),
        national_id_hash: bank.lookup.national_id(&OTHER_NATIONAL_ID.parse().unwrap()).as_bytes().to_vec().into(),
        name: String::new(),
    };
    let user_code_hash = bank.lookup.user_code(&thief, USER_CODE).as_bytes().to_vec().into();
    let credential = Credential { customer_id: thief.to_string(), user_code_hash, ..stolen };
    let done = bank.repository.commit(Changes::new().create(&customer).create(&credential)).await.unwrap();
    assert_eq!(done, Outcome::Committed);
    let error = bank.try_once(OTHER_NATIONAL_ID, USER_CODE, PASSWORD).await.unwrap_err();
    assert!(matches!(error, Error::Internal { .. }), "{error}");
    assert!(!error.to_string().contains(PASSWORD));
}

/// Counts how often random bytes are drawn: a new hash needs a salt.
#[derive(Debug)]
struct Counted(SystemEntropy, std::sync::atomic::AtomicUsize);

impl Entropy for Counted {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), mesh::clock::EntropyFailed> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.fill(buffer)
    }
}

#[tokio::test]
async fn a_right_password_that_opens_nothing_costs_no_second_hash() {
    let mut bank = Bank::open().await;
    let draws = Arc::new(Counted(SystemEntropy::new(), 0.into()));
    let drawn = || draws.1.load(std::sync::atomic::Ordering::Relaxed);
    // The bank has raised the cost since the customer's hash was made.
    let raised = PasswordConfig { iterations: 3, ..PasswordConfig::default() };
    bank.auth = Auth::new(&raised, Arc::clone(&draws) as Arc<dyn Entropy>, &bank.vault).unwrap();

    let before = drawn();
    bank.try_once(NATIONAL_ID, "mei-lin2", PASSWORD).await.unwrap_err();
    assert_eq!(drawn(), before, "a wrong user code: the time tells nothing about the password");
    for _ in 0..4 {
        bank.try_once(NATIONAL_ID, USER_CODE, "wrong password").await.unwrap_err();
    }
    bank.sign_in().await.unwrap_err();
    assert_eq!(drawn(), before, "locked: the time tells nothing about the password");
    bank.clock.advance(Duration::from_secs(30 * 60));
    let somebody_else =
        |challenge| SignIn { customer: Some("customer-2".parse().unwrap()), ..SignIn::new(challenge, None) };
    let begun = bank.desk().begin(somebody_else, HERE).unwrap();
    bank.desk().prove_knowledge(&begun.id, proof(NATIONAL_ID, USER_CODE, PASSWORD)).await.unwrap_err();
    assert_eq!(drawn(), before, "in somebody else's sign-in: the time tells nothing about the password");

    bank.clock.advance(Duration::from_secs(30 * 60));
    bank.sign_in().await.unwrap();
    assert_eq!(drawn(), before + 1, "renewed once everything was right");
}
