//! A disk that is full, read-only or failing, and a process that has run out of descriptors: a clear error
//! that names the folder and what to do, never a false acknowledgement, and no hand work afterwards.
//!
//! Each fault is a real one, in a process of its own. Mounts are made in a user's own namespace, so
//! that no root is needed; where the machine doesn't allow that, the gate fails and others are told.

#[path = "../power_loss/dice.rs"]
mod dice;
mod faulty;
#[path = "../power_loss/verdict.rs"]
mod verdict;
#[path = "../power_loss/workload.rs"]
mod workload;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh::store::sled::{EXIT_STORE_FAILED, Options, SledStore};
use mesh::store::{Commit, Record, Store, StoreError, Version};

use faulty::{Ended, mounted, run, writer};
use verdict::judge;
use workload::{Writing, account, answer, key, options, payment, transition};

const MIB: u64 = 1 << 20;

/// Not a test of its own: the process that writes until its disk fails it.
#[test]
fn writer_process() {
    let Ok(folder) = std::env::var(faulty::FOLDER) else { return };
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_max_level(tracing::Level::ERROR).init();
    if let Ok(syncs) = std::env::var(faulty::SYNCS) {
        return fail_at_sync(Path::new(&folder), syncs.parse().expect("a number"));
    }
    Writing { folder: folder.into(), callers: 16, commits: u64::MAX, sync: true }.run();
}

#[test]
fn a_disk_that_fills_up_halts_the_process_and_a_restart_recovers() {
    let Some(disk) = mounted("a_disk_that_fills_up_halts_the_process_and_a_restart_recovers") else { return };
    // Full at any place: while the folder is made, in the first segment of the log, in a later one.
    for kib in [0, 8, 64, 300, 600, 1100, 1700, 2300, 2900, 3700, 6100] {
        disk.mount(&format!("size={}k", kib + 4));
        let folder = disk.path().join("bank/data");
        let ended = run(writer(&folder));
        ended.stopped(&folder, "free space on that disk");
        // The disk is still full: whatever a restart does, it acknowledges nothing that it can't keep.
        let again = run(writer(&folder));
        again.stopped(&folder, "free space on that disk");
        let acknowledged = [ended.acknowledged, again.acknowledged].concat();
        assert!(acknowledged.len() >= kib / 50, "{} on {kib} KiB", acknowledged.len());
        disk.mount("remount,size=64m");
        let verdict = judge(&folder, &acknowledged);
        assert!(verdict.is_good(), "{kib} KiB: {verdict:?}");
        disk.unmount();
    }
}

#[test]
fn a_disk_that_is_nearly_full_refuses_writes_and_goes_on_by_itself() {
    let Some(disk) = mounted("a_disk_that_is_nearly_full_refuses_writes_and_goes_on_by_itself") else { return };
    disk.mount("size=32m");
    let folder = disk.path().join("data");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime starts");
    runtime.block_on(async {
        let fail = Arc::new(|error: &StoreError| panic!("it halts: {error}"));
        let options = Options::new("issuer/bank-aurora").cache_bytes(8 << 20).reserve_bytes(8 * MIB).on_fatal(fail);
        let store = SledStore::open(&folder, options).expect("opens");
        let first = store.commit(transition(0, 0, Version::ABSENT)).await;
        let Commit::Committed { versions, .. } = first else { panic!("{first:?}") };
        store.health().await.expect("healthy");

        let filler = disk.path().join("filler");
        fs::write(&filler, vec![1; 26 * MIB as usize]).expect("there is room");
        let refused = store.commit(transition(0, 1, versions[1])).await;
        let Commit::Fatal(error) = refused else { panic!("{refused:?}") };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        for word in [&*folder.display().to_string(), "free space", "goes on by itself"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(matches!(store.health().await, Err(StoreError::Full { .. })));
        // What needs no room is answered as always, and nothing of the refused one is there.
        let repeat = store.commit(transition(0, 0, Version::ABSENT)).await;
        assert!(matches!(&repeat, Commit::Duplicate(found) if *found == answer(0, 0)), "{repeat:?}");
        let stale = store.commit(transition(0, 1, Version::ABSENT)).await;
        assert!(matches!(stale, Commit::Conflict(_)), "{stale:?}");
        assert_eq!(store.get(&payment(0, 1)).await.expect("get"), None);
        assert_eq!(store.answer(key(0, 1).as_bytes()).await.expect("answer"), None);

        fs::remove_file(&filler).expect("it is there");
        let after = store.commit(transition(0, 1, versions[1])).await;
        assert!(matches!(after, Commit::Committed { .. }), "{after:?}");
        store.health().await.expect("healthy");
    });
}

#[test]
fn a_read_only_folder_is_named_and_opens_once_it_is_writable() {
    let Some(disk) = mounted("a_read_only_folder_is_named_and_opens_once_it_is_writable") else { return };
    disk.mount("size=64m");
    let folder = disk.path().join("data");
    let verdict = judge(&folder, &[]);
    assert!(verdict.is_good(), "{verdict:?}");
    disk.mount("remount,ro");
    for folder in [folder.clone(), disk.path().join("new")] {
        let error = SledStore::open(&folder, options(true)).expect_err("read-only");
        let text = error.to_string();
        assert!(text.contains(&*folder.display().to_string()) && text.contains("mount that disk writable"), "{text}");
    }
    disk.mount("remount,rw");
    let after = judge(&folder, &verdict.acknowledged);
    assert!(after.is_good(), "{after:?}");
}

#[test]
fn a_limit_of_a_files_size_halts_the_process_and_a_restart_recovers() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path().join("data");
    // Without the signal's end of the process, so that the store gets the error itself.
    let limit = format!("--fsize={}", 3 * MIB);
    let ended = run(faulty::within(&["env", "--ignore-signal=XFSZ", "prlimit", &limit], &writer(&folder)));
    ended.halted(&folder, "ulimit -f");
    assert!(ended.acknowledged.len() > 100, "{ended:?}");
    let verdict = judge(&folder, &ended.acknowledged);
    assert!(verdict.is_good(), "{verdict:?}");
}

#[test]
fn a_failing_sync_ends_the_process_and_a_restart_recovers() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path().join("data");
    let mut command = writer(&folder);
    command.env(faulty::SYNCS, "7");
    let ended = run(command);
    ended.halted(&folder, "check that disk, then start again");
    assert_eq!(ended.acknowledged.len(), 6, "{ended:?}");
    let verdict = judge(&folder, &ended.acknowledged);
    assert!(verdict.is_good(), "{verdict:?}");
}

#[test]
fn a_process_without_descriptors_goes_on_writing() {
    const NAME: &str = "a_process_without_descriptors_goes_on_writing";
    if std::env::var_os(faulty::INSIDE).is_none() {
        let mut command = Command::new(std::env::current_exe().expect("this test's own file"));
        command.args(["--exact", NAME, "--nocapture"]).env(faulty::INSIDE, "1");
        let ended = run(faulty::within(&["prlimit", "--nofile=64"], &command));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        return;
    }
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let store = SledStore::open(&folder, options(true)).expect("opens");
    let mut taken = take_all_descriptors();
    runtime.block_on(async {
        let mut version = Version::ABSENT;
        for number in 0..50 {
            let commit = store.commit(transition(0, number, version)).await;
            let Commit::Committed { versions, .. } = commit else { panic!("{commit:?}") };
            version = versions[1];
        }
        store.health().await.expect("healthy");
        let record: Option<Record> = store.get(&account(0)).await.expect("get");
        assert_eq!(record.expect("it is there").version, version);
        store.close().await;
    });
    drop(store);
    taken.extend(take_all_descriptors());
    let error = SledStore::open(&folder, options(true)).expect_err("no descriptor");
    let text = error.to_string();
    assert!(text.contains(&*folder.display().to_string()) && text.contains("limit of open files"), "{text}");
    drop(taken);
    let all: Vec<_> =
        (0..50).map(|number| workload::Acknowledged { caller: 0, number, seq: Some(number + 1) }).collect();
    let verdict = judge(&folder, &all);
    assert!(verdict.is_good(), "{verdict:?}");
}

#[test]
fn a_folder_whose_disk_lost_synced_data_is_refused() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (whole, holed) = (temporary.path().join("whole"), temporary.path().join("holed"));
    Writing { folder: whole.clone(), callers: 8, commits: 1500, sync: true }.run();
    let data = fs::read(whole.join("db")).expect("the data");
    let mut refused = 0;
    // At the log's end, which may be anywhere in the file, a hole can't be told from a write that never was,
    // and in what was written anew elsewhere it does no harm.
    for at in (1..64).map(|part| data.len() / 64 * part) {
        drop(fs::remove_dir_all(&holed));
        fs::create_dir_all(holed.join("blobs")).expect("made");
        for name in ["conf", "owner"] {
            fs::copy(whole.join(name), holed.join(name)).expect("copied");
        }
        let mut bytes = data.clone();
        bytes[at..at + 8192].fill(0);
        fs::write(holed.join("db"), bytes).expect("written");
        if let Err(error) = SledStore::open(&holed, options(true)) {
            let text = error.to_string();
            assert!(text.contains(&*holed.display().to_string()) && text.contains("from a backup"), "{text}");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

fn take_all_descriptors() -> Vec<File> {
    let mut taken = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()), "{error}");
                return taken;
            }
        }
    }
}

/// Writes one commit after the other until the given sync fails as a broken disk's does.
fn fail_at_sync(folder: &Path, syncs: usize) {
    let count = AtomicUsize::new(0);
    let failing = options(true).sync_step(Arc::new(move |file: &File| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == syncs {
            return Err(rustix::io::Errno::IO.into());
        }
        file.sync_data()
    }));
    let store = SledStore::open(folder, failing).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(workload::call(Arc::new(store), 0, Arc::new(u64::MAX.into())));
}

impl Ended {
    /// It did not start, or halted, and said where and what to do.
    #[track_caller]
    fn stopped(&self, folder: &Path, advice: &str) {
        assert!(matches!(self.code, Some(EXIT_STORE_FAILED | faulty::EXIT_NOT_OPENED)), "{self:?}");
        self.says(folder, advice);
    }

    /// It ended by the store's own hand, and said where and what to do.
    #[track_caller]
    fn halted(&self, folder: &Path, advice: &str) {
        assert_eq!(self.code, Some(EXIT_STORE_FAILED), "{self:?}");
        self.says(folder, advice);
    }

    #[track_caller]
    fn says(&self, folder: &Path, advice: &str) {
        let folder = folder.display().to_string();
        assert!(self.errors.contains(&folder) && self.errors.contains(advice), "{self:?}");
    }
}
