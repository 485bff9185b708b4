use super::*;

/// The field of a refusal for wrong fields.
fn field_of(outcome: Result<Bytes, Error>) -> String {
    let error = outcome.unwrap_err();
    let Error::Invalid(invalid) = error else { panic!("a field is wrong: {error}") };
    invalid.violations[0].path.clone()
}

async fn names(bank: &Bank, session: &SignedIn) -> Vec<Bytes> {
    let passkeys = bank.desk().list_passkeys(session).await.unwrap();
    passkeys.into_iter().map(|passkey| passkey.credential_id).collect()
}

#[tokio::test]
async fn what_is_registered_is_kept_listed_and_told() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let key = SoftKey::es256();
    assert_eq!(bank.register(&session, &ID, &key, 4).await.unwrap(), ID.as_slice());
    let expected = Passkey {
        credential_id: Bytes::copy_from_slice(&ID),
        customer_id: bank.customer.to_string(),
        display_name: "Phone".into(),
        algorithm: -7,
        public_key: Bytes::copy_from_slice(key.public().as_bytes()),
        sign_count: 4,
        backup_eligible: false,
        registered_at_ms: millis_of(bank.clock.now()),
        used_at_ms: 0,
    };
    assert_eq!(bank.desk().list_passkeys(&session).await.unwrap(), [expected]);
    assert!(bank.trail_says("passkey_registered").await);
    let other = bank.session_of("customer-2", &TWO_KINDS).await;
    assert_eq!(names(&bank, &other).await, Vec::<Bytes>::new());
}

#[tokio::test]
async fn the_longest_credential_id_fits() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let (id, key) = ([3; 1023], SoftKey::eddsa());
    bank.register(&session, &id, &key, 0).await.unwrap();
    bank.sign_in_with(&id, &key, 0).await.unwrap();
    assert_eq!(names(&bank, &session).await, [id.as_slice()]);
}

#[tokio::test]
async fn a_session_of_one_kind_registers_nothing() {
    let bank = bank().await;
    for (factors, enough) in [
        (&[Factor::Knowledge] as &[Factor], false),
        (&[Factor::Possession], false),
        (&[Factor::Passkey], true),
        (&TWO_KINDS, true),
    ] {
        let session = bank.session_of(&format!("customer-{}", factors.len() + usize::from(enough)), factors).await;
        let id: [u8; 16] = bank.entropy.id().unwrap();
        let outcome = bank.register(&session, &id, &SoftKey::es256(), 0).await;
        if enough {
            assert_eq!(outcome.unwrap(), id.as_slice());
        } else {
            let error = outcome.unwrap_err();
            let Error::FactorsInsufficient(missing) = error else { panic!("{factors:?}: {error}") };
            assert!(missing.contains(&Factor::Passkey), "{factors:?} {missing:?}");
        }
    }
}

#[tokio::test]
async fn the_challenge_is_the_sessions_own_and_used_up() {
    let bank = bank().await;
    let (session, key) = (bank.own_session().await, SoftKey::es256());
    let register =
        async |begun: &Begun| bank.desk().register_passkey(&session, registration(begun, &ID, &key, 0), None).await;
    // Of another session, also of the same customer, and of no session.
    let others = bank.begin_step_up(&bank.own_session().await);
    for foreign in [&others, &bank.begin(None)] {
        assert!(matches!(register(foreign).await, Err(Error::ChallengeNotFound)));
        bank.auth.challenges.look(&foreign.id, bank.clock.now()).unwrap();
    }

    let late = bank.begin_step_up(&session);
    bank.clock.advance(Duration::from_secs(120));
    assert!(matches!(register(&late).await, Err(Error::ChallengeExpired)));

    // A registration that is not right uses it up, too.
    let begun = bank.begin_step_up(&session);
    let of_other = Begun { challenge: others.challenge, ..begun.clone() };
    assert_eq!(field_of(register(&of_other).await), "client_data_json");
    assert!(matches!(register(&begun).await, Err(Error::ChallengeNotFound)));
    assert_eq!(bank.passkey(&ID).await, None);

    let begun = bank.begin_step_up(&session);
    register(&begun).await.unwrap();
    assert!(matches!(register(&begun).await, Err(Error::ChallengeNotFound)));
}

#[tokio::test]
async fn what_is_not_right_is_told_by_its_field() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let new = new_credential(&ID, &SoftKey::es256().cose());
    let data = |party: &str, flags: u8| attestation_object(&authenticator_data(party, flags, 0, &new));
    let good = data(PARTY, GOOD | WITH_CREDENTIAL);
    for (ceremony, origin, object, field) in [
        ("webauthn.get", ORIGIN, good.clone(), "client_data_json"),
        ("webauthn.create", "https://evil.example", good.clone(), "client_data_json"),
        ("webauthn.create", ORIGIN, data("evil.example", GOOD | WITH_CREDENTIAL), "attestation_object"),
        ("webauthn.create", ORIGIN, data(PARTY, 0x01 | WITH_CREDENTIAL), "attestation_object"),
        ("webauthn.create", ORIGIN, vec![0xa0], "attestation_object"),
    ] {
        let begun = bank.begin_step_up(&session);
        let client = client_data(ceremony, &begun.challenge, origin);
        let new = NewPasskey::parse(begun.id.as_str(), "Phone", client.into(), object.into()).unwrap();
        assert_eq!(field_of(bank.desk().register_passkey(&session, new, None).await), field);
    }
    assert_eq!(names(&bank, &session).await, Vec::<Bytes>::new());
    let invalid = NewPasskey::parse("?", "", Bytes::new(), vec![0; 16 * 1024 + 1].into()).unwrap_err();
    let paths: Vec<&str> = invalid.violations.iter().map(|violation| violation.path.as_str()).collect();
    assert_eq!(paths, ["challenge_id", "display_name", "client_data_json", "attestation_object"]);
}

#[tokio::test]
async fn a_credential_is_one_customers() {
    let bank = bank().await;
    let (mine, theirs) = (bank.own_session().await, bank.session_of("customer-2", &TWO_KINDS).await);
    let key = SoftKey::es256();
    bank.register(&mine, &ID, &key, 0).await.unwrap();
    for session in [&mine, &theirs] {
        assert_eq!(field_of(bank.register(session, &ID, &SoftKey::eddsa(), 0).await), "attestation_object");
    }
    assert_eq!(bank.sign_in_with(&ID, &key, 0).await.unwrap().customer, bank.customer);
}

#[tokio::test]
async fn no_more_are_kept_than_configured() {
    let bank = bank().await;
    let session = bank.own_session().await;
    let key = SoftKey::es256();
    for id in [[1; 16], [2; 16]] {
        bank.register(&session, &id, &key, 0).await.unwrap();
    }
    assert!(matches!(bank.register(&session, &[3; 16], &key, 0).await, Err(Error::CredentialsMax)));
    bank.desk().remove_passkey(&session, &[1; 16], Some(HERE)).await.unwrap();
    bank.register(&session, &[3; 16], &key, 0).await.unwrap();
    assert_eq!(names(&bank, &session).await, [[2; 16], [3; 16]].map(|id| Bytes::copy_from_slice(&id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_registrations_at_once_do_not_go_beyond_the_most() {
    let bank = Arc::new(bank().await);
    let session = Arc::new(bank.own_session().await);
    let tries: Vec<_> = (0..12_u8)
        .map(|number| {
            let (bank, session) = (Arc::clone(&bank), Arc::clone(&session));
            tokio::spawn(async move { bank.register(&session, &[number; 16], &SoftKey::es256(), 0).await })
        })
        .collect();
    let mut kept = 0;
    for outcome in tries {
        match outcome.await.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, Error::CredentialsMax), "{error}"),
        }
    }
    assert_eq!((kept, names(&bank, &session).await.len()), (2, 2));
}

#[tokio::test]
async fn a_passkey_is_forgotten_by_its_own_customer() {
    let bank = bank().await;
    let (mine, theirs) = (bank.own_session().await, bank.session_of("customer-2", &TWO_KINDS).await);
    let key = SoftKey::es256();
    bank.register(&mine, &ID, &key, 0).await.unwrap();
    let signed_in = bank.sign_in_with(&ID, &key, 0).await.unwrap();
    for (session, id) in [(&theirs, ID), (&mine, [9; 16])] {
        assert!(matches!(bank.desk().remove_passkey(session, &id, None).await, Err(Error::PasskeyNotFound)));
    }
    bank.desk().remove_passkey(&mine, &ID, None).await.unwrap();
    assert!(bank.trail_says("passkey_removed").await);
    assert!(matches!(bank.desk().remove_passkey(&mine, &ID, None).await, Err(Error::PasskeyNotFound)));
    assert!(matches!(bank.sign_in_with(&ID, &key, 1).await, Err(Error::IdentityNotVerified)));
    assert!(bank.repository.load(&Session::at(&signed_in.id)).await.unwrap().is_some());
    // The same credential may come again, to another customer as well.
    bank.register(&theirs, &ID, &key, 0).await.unwrap();
}

#[tokio::test]
async fn a_session_that_has_ended_changes_nothing_more() {
    let bank = bank().await;
    let (session, other) = (bank.own_session().await, bank.own_session().await);
    let key = SoftKey::es256();
    bank.register(&other, &ID, &key, 0).await.unwrap();
    let begun = bank.begin_step_up(&session);
    let stored = bank.repository.load(&Session::at(&session.id)).await.unwrap().unwrap();
    assert_eq!(bank.repository.commit(Changes::new().remove(&stored)).await.unwrap(), Outcome::Committed);

    let new = registration(&begun, &[8; 16], &key, 0);
    let refused = bank.desk().register_passkey(&session, new, None).await;
    assert!(matches!(refused, Err(Error::SessionInvalid)));
    assert!(matches!(bank.desk().remove_passkey(&session, &ID, None).await, Err(Error::SessionInvalid)));
    assert_eq!(names(&bank, &other).await, [ID.as_slice()]);
}

#[tokio::test]
async fn a_session_whose_device_is_gone_changes_nothing_more() {
    let bank = bank().await;
    let own = bank.own_session().await;
    bank.register(&own, &ID, &SoftKey::es256(), 0).await.unwrap();
    let of_device = SignedIn { device: Some(DeviceId::from_random([5; 16])), ..own.clone() };
    let refused = bank.register(&of_device, &[8; 16], &SoftKey::es256(), 0).await;
    assert!(matches!(refused, Err(Error::SessionInvalid)));
    assert!(matches!(bank.desk().remove_passkey(&of_device, &ID, None).await, Err(Error::SessionInvalid)));
    assert_eq!(names(&bank, &own).await, [ID.as_slice()]);
}

#[tokio::test]
async fn the_user_handle_is_steady_and_says_nothing() {
    let bank = bank().await;
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    let handle = *bank.lookup.passkey_user(&bank.customer).as_bytes();
    assert_eq!(handle, *restarted.lookup.passkey_user(&bank.customer).as_bytes());
    assert_ne!(handle, *bank.lookup.passkey_user(&"customer-2".parse().unwrap()).as_bytes());
    assert_ne!(handle, *Digest::of(bank.customer.as_str().as_bytes()).as_bytes());
    assert_ne!(handle, *Bank::open().await.lookup.passkey_user(&bank.customer).as_bytes(), "another bank's");
}
