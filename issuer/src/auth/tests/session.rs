use super::*;

async fn stored_use(bank: &Bank, session: &NewSession) -> SystemTime {
    let digest = Digest::of(session.token.expose());
    let stored = bank.repository.load(&Session::at(&digest)).await.unwrap().unwrap();
    crate::records::time_of(stored.value.used_at_ms)
}

#[tokio::test]
async fn a_session_ends_five_minutes_after_its_last_use() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let token = session.token.expose();
    // 59 s is not stored, and counts all the same.
    bank.clock.advance(Duration::from_secs(59));
    bank.use_session(token).await.unwrap();
    bank.clock.advance(Duration::from_secs(299));
    bank.use_session(token).await.unwrap();
    bank.clock.advance(Duration::from_secs(300));
    assert!(matches!(bank.use_session(token).await, Err(Error::SessionInvalid)));
}

#[tokio::test]
async fn a_session_ends_after_a_quarter_of_an_hour_whatever_happens() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    for _ in 0..14 {
        bank.clock.advance(Duration::from_secs(60));
        bank.use_session(session.token.expose()).await.unwrap();
    }
    bank.clock.advance(Duration::from_secs(60));
    assert!(matches!(bank.use_session(session.token.expose()).await, Err(Error::SessionInvalid)));
}

#[tokio::test]
async fn a_use_is_stored_once_a_minute_at_most() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let begun = bank.clock.now();
    let writes_before = bank.store.watch().borrow().number();
    for _ in 0..59 {
        bank.clock.advance(Duration::from_secs(1));
        bank.use_session(session.token.expose()).await.unwrap();
    }
    assert_eq!((stored_use(&bank, &session).await, bank.store.watch().borrow().number()), (begun, writes_before));
    bank.clock.advance(Duration::from_secs(1));
    let (one, other) = tokio::join!(bank.use_session(session.token.expose()), bank.use_session(session.token.expose()));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(stored_use(&bank, &session).await, begun + Duration::from_secs(60));
    assert_eq!(bank.store.watch().borrow().number(), writes_before + 1);
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    bank.clock.advance(Duration::from_secs(60));
    bank.use_session(session.token.expose()).await.unwrap();
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.clock.advance(Duration::from_secs(299));
    assert!(restarted.use_session(session.token.expose()).await.is_ok());
}

#[tokio::test]
async fn an_ended_session_is_gone_and_ending_it_again_is_no_error() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let desk = bank.desk();
    desk.end(session.token.expose(), Actor::Issuer).await.unwrap();
    assert!(matches!(bank.use_session(session.token.expose()).await, Err(Error::SessionInvalid)));
    desk.end(session.token.expose(), Actor::Issuer).await.unwrap();
    desk.end(b"short", Actor::Issuer).await.unwrap();
    for no_token in [b"".as_slice(), &[0; 31], &[0; 32], &[0; 33]] {
        assert!(matches!(bank.use_session(no_token).await, Err(Error::SessionInvalid)));
    }
}

#[tokio::test]
async fn ended_sessions_are_cleared_away_and_live_ones_are_not() {
    let bank = Bank::open().await;
    for _ in 0..3 {
        bank.sign_in().await.unwrap();
    }
    bank.clock.advance(Duration::from_secs(899));
    let live = bank.sign_in().await.unwrap();
    assert_eq!(bank.desk().clear_ended_sessions().await.unwrap(), 0);
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!(bank.desk().clear_ended_sessions().await.unwrap(), 3);
    let left = bank.repository.page::<Session>(INDEX_SESSION_BY_END, KeyRange::all(), PageRequest::first(10)).await;
    assert_eq!(left.unwrap().items.len(), 1);
    assert!(bank.use_session(live.token.expose()).await.is_ok());
}

#[tokio::test]
async fn the_store_holds_no_token() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let token = session.token.expose();
    let page = bank.store.scan(INDEX_SESSION_BY_END, KeyRange::all(), PageRequest::first(10)).await.unwrap();
    let [item] = page.items.as_slice() else { panic!("one session") };
    let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token);
    assert!(!holds(&item.record.body) && !holds(&item.id.key));
    assert!(!format!("{session:?}").contains(&format!("{token:?}")));
}

#[tokio::test]
async fn a_session_that_is_over_is_not_stepped_up() {
    let bank = Bank::open().await;
    let phone = super::devices::Phone::bound(&bank, 1).await;
    for over in [Duration::from_secs(300), Duration::from_secs(900)] {
        let session = bank.sign_in().await.unwrap();
        bank.clock.advance(over - Duration::from_millis(1));
        let begun = bank.begin_step_up(&session.signed_in);
        bank.clock.advance(Duration::from_millis(1));
        let late = bank.desk().prove(&begun.id, phone.possession(&begun, None), HERE).await;
        assert!(matches!(late, Err(Error::SessionInvalid)), "{late:?}");
        assert_eq!(bank.device(&phone.id).await.unwrap().used_at_ms, 0, "nothing came of it");
    }
}
