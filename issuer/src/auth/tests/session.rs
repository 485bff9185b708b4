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
    bank.desk().session(token).await.unwrap();
    bank.clock.advance(Duration::from_secs(299));
    bank.desk().session(token).await.unwrap();
    bank.clock.advance(Duration::from_secs(300));
    assert!(matches!(bank.desk().session(token).await, Err(SessionError::Invalid)));
}

#[tokio::test]
async fn a_session_ends_after_a_quarter_of_an_hour_whatever_happens() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    for _ in 0..14 {
        bank.clock.advance(Duration::from_secs(60));
        bank.desk().session(session.token.expose()).await.unwrap();
    }
    bank.clock.advance(Duration::from_secs(60));
    assert!(matches!(bank.desk().session(session.token.expose()).await, Err(SessionError::Invalid)));
}

#[tokio::test]
async fn a_use_is_stored_once_a_minute_at_most() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let begun = bank.clock.now();
    let writes_before = bank.store.watch().borrow().number();
    for _ in 0..59 {
        bank.clock.advance(Duration::from_secs(1));
        bank.desk().session(session.token.expose()).await.unwrap();
    }
    assert_eq!((stored_use(&bank, &session).await, bank.store.watch().borrow().number()), (begun, writes_before));
    bank.clock.advance(Duration::from_secs(1));
    let desk = bank.desk();
    let (one, other) = tokio::join!(desk.session(session.token.expose()), desk.session(session.token.expose()));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(stored_use(&bank, &session).await, begun + Duration::from_secs(60));
    assert_eq!(bank.store.watch().borrow().number(), writes_before + 1);
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    bank.clock.advance(Duration::from_secs(60));
    bank.desk().session(session.token.expose()).await.unwrap();
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.clock.advance(Duration::from_secs(299));
    assert!(restarted.desk().session(session.token.expose()).await.is_ok());
}

#[tokio::test]
async fn an_ended_session_is_gone_and_ending_it_again_is_no_error() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let desk = bank.desk();
    desk.end(session.token.expose()).await.unwrap();
    assert!(matches!(desk.session(session.token.expose()).await, Err(SessionError::Invalid)));
    desk.end(session.token.expose()).await.unwrap();
    desk.end(b"short").await.unwrap();
    for no_token in [b"".as_slice(), &[0; 31], &[0; 32], &[0; 33]] {
        assert!(matches!(desk.session(no_token).await, Err(SessionError::Invalid)));
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
    assert!(bank.desk().session(live.token.expose()).await.is_ok());
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
