//! The parts of the sled recipe that the contract doesn't show: whose the folder is, what an
//! interrupted start leaves, what a failed sync does, and that readers see durable state only.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mesh::store::sled::{OpenError, Options, SledStore, SyncStep};
use mesh::store::{
    Commit, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Seq, Store, StoreError, Topic, Transition,
    Version, limits,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const ORDER: Kind = Kind::new("order");
const ALL: Index = Index::new("all");

/// Longer than anything here takes; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options::new("acquirer/bank-a").cache_bytes(8 << 20)
}

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, options()).expect("the folder opens")
}

fn order(number: u32) -> RecordId {
    RecordId::new(ORDER, number.to_be_bytes())
}

fn create(number: u32, body: impl Into<bytes::Bytes>) -> Transition {
    let entries = vec![IndexEntry::new(ALL, "all")];
    Transition::new().put(order(number), Version::ABSENT, body, entries)
}

async fn commit(store: &impl Store, transition: Transition) {
    let commit = store.commit(transition).await;
    assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
}

#[tokio::test]
async fn a_dropped_store_can_be_opened_again_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for number in 0..10 {
        let store = open(folder.path());
        commit(&store, create(number, "body")).await;
        for earlier in 0..=number {
            assert!(store.get(&order(earlier)).await.expect("get").is_some());
        }
    }
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_its_holder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let error = SledStore::open(folder.path(), options()).expect_err("the folder is in use");
    let own = std::process::id().to_string();
    assert!(matches!(&error, OpenError::Locked { pid, .. } if *pid == own), "{error}");
    commit(&store, create(1, "the holder goes on")).await;
    store.close().await;
    // The closed store still exists, but has let go of the folder.
    open(folder.path());
    drop(store);
}

#[test]
fn the_folder_of_another_owner_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    for owner in ["acquirer/bank-b", "issuer/bank-a"] {
        let error = SledStore::open(folder.path(), Options::new(owner)).expect_err("another's");
        assert!(matches!(error, OpenError::OtherOwner { .. }), "{error}");
        let text = error.to_string();
        for part in ["acquirer/bank-a", owner, "choose another folder"] {
            assert!(text.contains(part), "{text}");
        }
    }
    for owner in ["", "two words", "two\nlines"] {
        let error = SledStore::open(folder.path(), Options::new(owner)).expect_err("a bad name");
        assert!(matches!(error, OpenError::BadOwner), "{error}");
    }
    drop(open(folder.path()));
}

#[test]
fn a_folder_of_another_format_or_origin_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    let marker = folder.path().join("owner");
    let text = fs::read_to_string(&marker).expect("the marker");
    fs::write(&marker, text.replace("format 1", "format 2")).expect("write");
    let error = SledStore::open(folder.path(), options()).expect_err("another format");
    assert!(matches!(&error, OpenError::OtherFormat { found, .. } if found == "2"), "{error}");
    fs::remove_file(&marker).expect("remove");
    let error = SledStore::open(folder.path(), options()).expect_err("no marker");
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    fs::write(&marker, text).expect("write");
    drop(open(folder.path()));
}

#[tokio::test]
async fn an_unfinished_snapshot_is_cleared_away() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    commit(&store, create(1, "body")).await;
    drop(store);
    let unfinished = folder.path().join("snap.00000000000000FF.generating");
    fs::write(&unfinished, b"cut short").expect("write");
    let store = open(folder.path());
    assert!(!unfinished.exists());
    assert!(store.get(&order(1)).await.expect("get").is_some());
}

#[tokio::test]
async fn an_interrupted_creation_starts_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    let marker = folder.path().join("owner");
    let text = fs::read_to_string(&marker).expect("the marker");
    fs::write(&marker, text.replace("phase ready", "phase creating")).expect("write");
    fs::write(folder.path().join("conf"), b"").expect("write");
    fs::write(folder.path().join("db"), b"half of something").expect("write");
    let store = open(folder.path());
    commit(&store, create(1, "body")).await;
    drop(store);
    assert_eq!(fs::read_to_string(&marker).expect("the marker"), text);
    let store = open(folder.path());
    assert!(store.get(&order(1)).await.expect("get").is_some());
}

/// A hook that reports the error to the test instead of ending the process.
fn reporting(options: Options) -> (Options, mpsc::Receiver<String>) {
    let (report, reports) = mpsc::channel();
    let report = Mutex::new(report);
    let hook = move |error: &StoreError| {
        let report = report.lock().expect("the lock");
        report.send(format!("{error:?}")).expect("the test listens");
    };
    (options.on_fatal(Arc::new(hook)), reports)
}

/// Fails or panics at the given sync, counted from 1.
fn at_sync(number: usize, failure: fn() -> io::Result<()>) -> SyncStep {
    let count = AtomicUsize::new(0);
    Arc::new(move |file: &File| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == number {
            return failure();
        }
        file.sync_data()
    })
}

/// The text of a panic, which could be anything that sled had in hand.
const PANIC_TEXT: &str = "a broken invariant in a record of 4111111111111111";

async fn halts(folder: &Path, options: Options, word: &str) {
    let (options, reports) = reporting(options);
    let store = Arc::new(SledStore::open(folder, options).expect("the folder opens"));
    let before = *store.watch().borrow();
    commit(&*store, create(1, "durable")).await;
    let in_flight = tokio::spawn({
        let store = store.clone();
        async move { store.commit(create(2, "lost?").idempotency("k", "answer")).await }
    });
    let report = tokio::task::spawn_blocking(move || {
        let report = reports.recv_timeout(DEADLINE).expect("the hook is called");
        (report, reports)
    });
    let (report, reports) = report.await.expect("the hook is called");
    assert!(report.contains(word), "{report}");
    assert!(!report.contains(PANIC_TEXT), "{report}");

    // From here on everything is refused, and the one in flight gets no answer.
    store.close().await;
    let commit = store.commit(create(3, "too late")).await;
    assert!(matches!(commit, Commit::Fatal(_)), "{commit:?}");
    assert!(matches!(store.get(&order(2)).await, Err(StoreError::Halted)));
    assert!(matches!(store.answer(b"k").await, Err(StoreError::Halted)));
    assert!(matches!(store.health().await, Err(StoreError::Halted)));
    assert_eq!(store.watch().borrow().number(), before.number() + 1);
    // The writer is gone, so this task was woken if it ever will be; let it run.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!in_flight.is_finished());
    in_flight.abort();
    assert!(reports.try_recv().is_err(), "the hook is called once");
    assert!(in_flight.await.expect_err("no answer").is_cancelled());
    drop(store);
    let store = open(folder);
    assert!(store.get(&order(1)).await.expect("get").is_some());
}

#[tokio::test]
async fn a_failed_sync_answers_nobody_and_halts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let failing = at_sync(2, || Err(io::Error::other("the disk is gone")));
    halts(folder.path(), options().sync_step(failing), "the disk is gone").await;
}

#[tokio::test]
async fn a_panic_of_the_writer_answers_nobody_and_halts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let panicking = at_sync(2, || panic!("{PANIC_TEXT}"));
    halts(folder.path(), options().sync_step(panicking), "Panicked").await;
}

#[tokio::test]
async fn a_blob_file_halts_and_is_refused_at_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (options, reports) = reporting(options());
    let store = SledStore::open(folder.path(), options).expect("the folder opens");
    let blob = folder.path().join("blobs/17");
    fs::write(&blob, b"a blob").expect("write");
    let answer = tokio::select! {
        commit = store.commit(create(1, "body")) => Some(commit),
        report = tokio::task::spawn_blocking(move || reports.recv_timeout(DEADLINE)) => {
            let report = report.expect("no panic").expect("the hook is called");
            assert!(report.contains("blob"), "{report}");
            None
        }
    };
    assert!(answer.is_none(), "{answer:?}");
    drop(store);
    let error = SledStore::open(folder.path(), self::options()).expect_err("a blob file");
    assert!(matches!(error, OpenError::Blobs { .. }), "{error}");
}

/// A sync that reports that it has begun and waits until it is let go, from the second one on.
fn gate() -> (SyncStep, Arc<Notify>, mpsc::Sender<()>) {
    let begun = Arc::new(Notify::new());
    let (release, wait) = mpsc::channel::<()>();
    let wait = Mutex::new((wait, 0));
    let step = {
        let begun = begun.clone();
        move |file: &File| {
            let mut wait = wait.lock().expect("the lock");
            wait.1 += 1;
            if wait.1 > 1 {
                begun.notify_one();
                wait.0.recv_timeout(DEADLINE).expect("the test goes on");
            }
            file.sync_data()
        }
    };
    (Arc::new(step), begun, release)
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_durable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (step, begun, release) = gate();
    let store = SledStore::open(folder.path(), options().sync_step(step)).expect("opens");
    let store = Arc::new(store);
    let topic = Topic::new("shop").expect("a topic");
    commit(&*store, create(1, "old")).await;
    let first = store.get(&order(1)).await.expect("get").expect("a record");

    let change = create(2, "new")
        .put(order(1), first.version, "changed", Vec::new())
        .event(topic.clone(), "event")
        .idempotency("request", "answer");
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(change).await }
    });
    // sled has the whole group now, and the sync is under way.
    tokio::time::timeout(DEADLINE, begun.notified()).await.expect("the sync begins");
    let seen = || async {
        let page = store.scan(ALL, KeyRange::all(), PageRequest::first(10)).await;
        let ids: Vec<_> = page.expect("scan").items.into_iter().map(|i| i.id).collect();
        (
            store.get(&order(1)).await.expect("get").expect("a record").body,
            store.get(&order(2)).await.expect("get").is_some(),
            store.answer(b"request").await.expect("answer").is_some(),
            store.events(&topic, Seq::START, 10).await.expect("events").len(),
            ids,
            store.watch().borrow().number(),
        )
    };
    assert_eq!(seen().await, ("old".into(), false, false, 0, vec![order(1)], 1));
    assert!(!writing.is_finished());
    release.send(()).expect("the sync waits");
    let commit = writing.await.expect("no panic");
    assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
    assert_eq!(seen().await, ("changed".into(), true, true, 1, vec![order(2)], 2));
}

#[tokio::test]
async fn a_group_is_judged_in_order_and_one_conflict_stays_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (step, begun, release) = gate();
    let store = SledStore::open(folder.path(), options().sync_step(step)).expect("opens");
    let store = Arc::new(store);
    commit(&*store, create(1, "first")).await;
    // While this one syncs, the others gather; polled in this order, they are queued in it.
    let mut blocker = Box::pin(store.commit(create(2, "blocker")));
    tokio::select! {
        commit = &mut blocker => panic!("{commit:?}"),
        () = begun.notified() => {}
    }
    let group = [
        create(3, "created"),
        create(3, "conflicts"),
        create(4, "neighbour").idempotency("k", "first"),
        create(5, "repeat").idempotency("k", "second"),
        Transition::new().put(order(3), Version::new(3), "rewritten", Vec::new()),
        Transition::new().remove(order(3), Version::new(5)),
        create(3, "again"),
    ];
    let mut answers = JoinSet::new();
    for (at, transition) in group.into_iter().enumerate() {
        let store = store.clone();
        let (queued, wait) = tokio::sync::oneshot::channel();
        answers.spawn(async move {
            let mut commit = Box::pin(store.commit(transition));
            let early = poll_once(&mut commit).await;
            assert!(early.is_none());
            queued.send(()).expect("the test waits");
            (at, commit.await)
        });
        wait.await.expect("queued");
    }
    for _ in 0..2 {
        release.send(()).expect("the sync waits");
    }
    assert!(matches!(blocker.await, Commit::Committed { .. }));
    let mut answers = answers.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    let words: Vec<_> = answers
        .iter()
        .map(|(_, commit)| match commit {
            Commit::Committed { seq, .. } => format!("committed {}", seq.number()),
            Commit::Conflict(id) => format!("conflict {:?}", id.key[3]),
            Commit::Duplicate(answer) => format!("duplicate {}", String::from_utf8_lossy(answer)),
            Commit::Refused(_) | Commit::Unknown | Commit::Fatal(_) => format!("{commit:?}"),
        })
        .collect();
    assert_eq!(
        words,
        ["committed 3", "conflict 3", "committed 4", "duplicate first", "committed 5", "committed 6", "committed 7"]
    );
    let record = store.get(&order(3)).await.expect("get").expect("a record");
    assert_eq!(record.body, "again");
}

/// Polls a future once, which for a commit puts it into the queue.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let poll = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(match poll {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_transitions_make_no_blobs() {
    const CALLERS: u32 = 128;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(open(folder.path()));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            let body = vec![caller.to_be_bytes()[3]; limits::VALUE_BYTES_MAX - 9];
            let first = caller * limits::WRITES_MAX as u32;
            let mut transition = Transition::new();
            for number in first..first + limits::WRITES_MAX as u32 {
                let id = order(number);
                transition = transition.put(id, Version::ABSENT, body.clone(), Vec::new());
            }
            commit(&*store, transition).await;
        });
    }
    callers.join_all().await;
    drop(store);
    let store = open(folder.path());
    for number in 0..CALLERS * limits::WRITES_MAX as u32 {
        assert!(store.get(&order(number)).await.expect("get").is_some());
    }
}
