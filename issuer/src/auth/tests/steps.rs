//! Several proofs: of one sign-in, and of a session that is stepped up.

use super::{
    devices::{Phone, pair},
    session_use::policy,
    *,
};

fn knows(password: &str) -> Proof {
    Proof::Knowledge(proof(NATIONAL_ID, USER_CODE, password))
}

async fn used_at_ms(bank: &Bank, phone: &Phone) -> u64 {
    bank.device(&phone.id).await.unwrap().used_at_ms
}

#[tokio::test]
async fn what_a_proof_changes_is_committed_also_where_it_does_not_suffice() {
    let mut bank = Bank::open().await;
    bank.policy = policy("profile = \"two_of_three\"\nsign_in = { kinds = 2 }");
    let phone = Phone::bound(&bank, 1).await;
    let first = bank.begin(None);
    bank.desk().prove(&first.id, knows("wrong password"), HERE).await.unwrap_err();
    assert_eq!(bank.lockout(bank.customer.as_str()).await.unwrap().begun, 1);
    let proven = bank.desk().prove(&first.id, knows(PASSWORD), HERE).await.unwrap();
    assert!(matches!(proven, Proven::Missing(_)), "{proven:?}");
    assert_eq!(bank.lockout(bank.customer.as_str()).await.unwrap().begun, 0, "the tries are forgotten");

    let second = bank.begin(None);
    let proven = bank.desk().prove(&second.id, phone.possession(&second, None), HERE).await.unwrap();
    assert!(matches!(proven, Proven::Missing(_)), "{proven:?}");
    assert_eq!(used_at_ms(&bank, &phone).await, millis_of(bank.clock.now()), "the device was there");
}

#[tokio::test]
async fn what_a_proof_changes_is_committed_with_the_step_up() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = bank.sign_in().await.unwrap().signed_in;
    bank.clock.advance(Duration::from_secs(1));
    let begun = bank.begin_step_up(&session);
    bank.step_up(&session, &begun, phone.possession(&begun, None)).await.unwrap();
    assert_eq!(used_at_ms(&bank, &phone).await, millis_of(bank.clock.now()), "the device was there");

    let session = phone.sign_in(&bank).await.unwrap().signed_in;
    let name = format!("{}/{}", bank.customer, phone.id);
    for (password, begun) in [("wrong password", 1), (PASSWORD, 0)] {
        let challenge = bank.begin_step_up(&session);
        let proven = bank.desk().prove(&challenge.id, knows(password), HERE).await;
        assert_eq!(proven.is_ok(), begun == 0, "{proven:?}");
        assert_eq!(bank.lockout(&name).await.unwrap().begun, begun);
    }
}

/// Both challenges were begun before either device had proved itself.
#[tokio::test]
async fn a_second_device_joins_no_session() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let (_, strong) = bank.strong(&phone).await;
    let tablet = Phone { pair: pair(2), id: bank.bind_by(&pair(2), &strong).await.unwrap() };

    let session = bank.sign_in().await.unwrap();
    let (one, other) = (bank.begin_step_up(&session.signed_in), bank.begin_step_up(&session.signed_in));
    bank.step_up(&session.signed_in, &one, phone.possession(&one, None)).await.unwrap();
    let refused = bank.desk().prove(&other.id, tablet.possession(&other, None), HERE).await;
    assert!(matches!(refused, Err(Error::IdentityNotVerified)), "{refused:?}");
    let signed_in = bank.use_session(session.token.expose()).await.unwrap();
    assert_eq!((signed_in.device, used_at_ms(&bank, &tablet).await), (Some(phone.id), 0));
}

/// What was right when it was looked at proves nothing once it is gone.
#[tokio::test]
async fn what_is_unbound_removed_or_enrolled_anew_meanwhile_proves_nothing() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let (_, strong) = bank.strong(&phone).await;
    super::inherence::enroll(&bank, &phone, &strong).await;
    let desk = bank.desk();
    let gone = DeviceId::from_random([9; 16]);
    let not_verified = |settled: Result<(), Error>| matches!(settled, Err(Error::IdentityNotVerified));
    assert!(not_verified(desk.settle_device(Changes::new(), &gone).await.map(drop)));
    assert!(not_verified(desk.settle_features(Changes::new(), &gone, &[0; 32]).await.map(drop)));
    assert!(not_verified(desk.settle_passkey(Changes::new(), &vec![9; 16].into(), 1).await.map(drop)));

    let template = bank.repository.load(&crate::records::Template::at(&phone.id)).await.unwrap().unwrap().value;
    let measured = bank.lookup.features(&phone.id, b"measured");
    let of_others = bytes::Bytes::from_static(&[0; 32]);
    assert!(not_verified(desk.use_features_up(&phone.id, &of_others, &measured).await));
    desk.use_features_up(&phone.id, &template.enrolled_tag, &measured).await.unwrap();
}
