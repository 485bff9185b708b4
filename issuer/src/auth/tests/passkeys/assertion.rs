use super::*;

#[tokio::test]
async fn a_passkey_of_each_algorithm_signs_in() {
    let bank = bank().await;
    let session = bank.own_session().await;
    for (id, key) in [([1; 16], SoftKey::es256()), ([2; 16], SoftKey::eddsa())] {
        bank.register(&session, &id, &key, 0).await.unwrap();
        bank.clock.advance(Duration::from_secs(60));
        let signed_in = bank.sign_in_with(&id, &key, 3).await.unwrap();
        assert_eq!(signed_in.customer, bank.customer);
        assert_eq!((signed_in.factors, signed_in.device), (vec![Factor::Passkey], None));
        let kept = bank.passkey(&id).await.unwrap();
        assert_eq!((kept.sign_count, kept.used_at_ms), (3, millis_of(bank.clock.now())));
    }
}

#[tokio::test]
async fn a_passkey_steps_a_session_up() {
    let bank = bank().await;
    let key = SoftKey::es256();
    bank.register(&bank.own_session().await, &ID, &key, 0).await.unwrap();
    let weak = bank.session_of(bank.customer.as_str(), &[Factor::Knowledge]).await;
    let begun = bank.begin_step_up(&weak);
    let proven = bank.prove_passkey(&begun, &ID, assertion(&begun, &key, 0)).await.unwrap();
    let Proven::SteppedUp(session) = proven else { panic!("the session is stepped up: {proven:?}") };
    assert_eq!((session.id, session.factors), (weak.id, vec![Factor::Knowledge, Factor::Passkey]));

    let stranger = bank.session_of("customer-2", &[Factor::Knowledge]).await;
    let begun = bank.begin_step_up(&stranger);
    let refused = bank.prove_passkey(&begun, &ID, assertion(&begun, &key, 0)).await;
    assert!(matches!(refused, Err(Error::IdentityNotVerified)), "a session takes no other customer's passkey");
}

#[tokio::test]
async fn all_wrong_assertions_get_the_same_answer() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let (key, other) = (SoftKey::es256(), SoftKey::es256());
    bank.register(&session, &ID, &key, 5).await.unwrap();
    bank.register(&session, &[8; 16], &other, 5).await.unwrap();
    bank.desk().remove_passkey(&session, &[8; 16], None).await.unwrap();

    let with = |flags: u8, party: &str, begun: &Begun| {
        let client = client_data("webauthn.get", &begun.challenge, ORIGIN);
        key.assert(authenticator_data(party, flags, 6, &[]), client)
    };
    let mut answers = Vec::new();
    for wrong in 0..8 {
        let begun = bank.begin(None);
        let (id, assertion) = match wrong {
            0 => ([9; 16], assertion(&begun, &key, 6)),
            1 => (ID, assertion(&begun, &other, 6)),
            2 => (ID, assertion(&bank.begin(None), &key, 6)),
            3 => (ID, with(0x01, PARTY, &begun)),
            4 => (ID, with(GOOD, "evil.example", &begun)),
            5 => (ID, assertion(&begun, &key, 5)),
            6 => ([8; 16], assertion(&begun, &other, 6)),
            _ => (ID, SoftAssertion { signature: vec![1], ..assertion(&begun, &key, 6) }),
        };
        answers.push(seen(bank.prove_passkey(&begun, &id, assertion).await.unwrap_err()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(answers[0].contains("IDENTITY_NOT_VERIFIED") || answers[0].contains("Unauthenticated"), "{answers:?}");
    bank.sign_in_with(&ID, &key, 6).await.unwrap();
}

#[tokio::test]
async fn an_assertion_is_worth_something_once_and_under_its_own_challenge() {
    let bank = bank().await;
    let key = SoftKey::eddsa();
    bank.register(&bank.own_session().await, &ID, &key, 0).await.unwrap();
    let begun = bank.begin(None);
    let once = assertion(&begun, &key, 0);
    bank.prove_passkey(&begun, &ID, once.clone()).await.unwrap();
    let again = bank.prove_passkey(&begun, &ID, once.clone()).await;
    assert!(matches!(again, Err(Error::ChallengeNotFound)));
    let elsewhere = bank.prove_passkey(&bank.begin(None), &ID, once).await;
    assert!(matches!(elsewhere, Err(Error::IdentityNotVerified)));

    let late = bank.begin(None);
    let proof = assertion(&late, &key, 0);
    bank.clock.advance(Duration::from_secs(120));
    assert!(matches!(bank.prove_passkey(&late, &ID, proof).await, Err(Error::ChallengeExpired)));
}

#[tokio::test]
async fn a_counter_that_does_not_increase_is_refused_and_told() {
    let bank = bank().await;
    let key = SoftKey::es256();
    bank.register(&bank.own_session().await, &ID, &key, 4).await.unwrap();
    bank.sign_in_with(&ID, &key, 9).await.unwrap();
    assert!(!bank.trail_says("passkey_clone_suspected").await);
    for counter in [9, 8, 0] {
        assert!(matches!(bank.sign_in_with(&ID, &key, counter).await, Err(Error::IdentityNotVerified)));
    }
    assert!(bank.trail_says("passkey_clone_suspected").await);
    assert_eq!(bank.passkey(&ID).await.unwrap().sign_count, 9);
    bank.sign_in_with(&ID, &key, 10).await.unwrap();
}

#[tokio::test]
async fn without_the_key_no_clone_is_suspected() {
    let bank = bank().await;
    bank.register(&bank.own_session().await, &ID, &SoftKey::es256(), 4).await.unwrap();
    let refused = bank.sign_in_with(&ID, &SoftKey::es256(), 4).await;
    assert!(matches!(refused, Err(Error::IdentityNotVerified)));
    assert!(!bank.trail_says("passkey_clone_suspected").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_assertions_at_once_with_the_same_counter_one_wins() {
    let bank = Arc::new(bank().await);
    let key = Arc::new(SoftKey::es256());
    bank.register(&bank.own_session().await, &ID, &key, 4).await.unwrap();
    for counter in 5..15 {
        let tries: Vec<_> = (0..4)
            .map(|_| {
                let (bank, key) = (Arc::clone(&bank), Arc::clone(&key));
                tokio::spawn(async move { bank.sign_in_with(&ID, &key, counter).await })
            })
            .collect();
        let mut won = 0;
        for outcome in tries {
            match outcome.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, Error::IdentityNotVerified), "{error}"),
            }
        }
        assert_eq!(won, 1, "counter {counter}");
    }
}

/// Both were right when they were looked at; the commit decides.
#[tokio::test]
async fn the_commit_looks_at_the_counter_again() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let key = SoftKey::es256();
    bank.register(&session, &ID, &key, 4).await.unwrap();
    let desk = bank.desk();
    let id = Bytes::copy_from_slice(&ID);
    let first = desk.settle_passkey(Changes::new(), &id, 5).await.unwrap();
    let second = desk.settle_passkey(Changes::new(), &id, 5).await.unwrap();
    assert_eq!(bank.repository.commit(first).await.unwrap(), Outcome::Committed);
    assert_eq!(bank.repository.commit(second).await.unwrap(), Outcome::Reload);
    let again = desk.settle_passkey(Changes::new(), &id, 5).await;
    assert!(matches!(again, Err(Error::IdentityNotVerified)));
    assert!(bank.trail_says("passkey_clone_suspected").await);

    desk.remove_passkey(&session, &ID, None).await.unwrap();
    assert!(matches!(desk.settle_passkey(Changes::new(), &id, 6).await, Err(Error::IdentityNotVerified)));
}

#[tokio::test]
async fn a_bank_without_passkeys_says_so() {
    let bank = Bank::open().await;
    let key = SoftKey::es256();
    let refused = bank.sign_in_with(&ID, &key, 0).await;
    assert!(matches!(refused, Err(Error::CredentialNotOffered)));
    let session = bank.own_session().await;
    assert!(matches!(bank.register(&session, &ID, &key, 0).await, Err(Error::CredentialNotOffered)));
}

#[test]
fn a_proof_has_sizes() {
    let sized = |id: usize, data: usize, client: usize, signature: usize| {
        let field = |length: usize| Bytes::from(vec![0; length]);
        let outcome = Assertion::parse(pb::PasskeyProof {
            credential_id: field(id),
            authenticator_data: field(data),
            client_data_json: field(client),
            signature: field(signature),
        });
        let violations = outcome.err().map(|invalid| invalid.violations).unwrap_or_default();
        violations.into_iter().map(|violation| violation.path).collect::<Vec<_>>()
    };
    let all = ["credential_id", "authenticator_data", "client_data_json", "signature"];
    assert_eq!(sized(1023, 1024, 4096, 72), Vec::<String>::new());
    assert_eq!(sized(1, 1, 1, 1), Vec::<String>::new());
    assert_eq!(sized(0, 0, 0, 0), all);
    assert_eq!(sized(1024, 1025, 4097, 73), all);
}
