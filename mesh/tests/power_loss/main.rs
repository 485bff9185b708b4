//! The power fails while the store writes: a recorded run is replayed into what a disk may hold then,
//! and whatever was acknowledged must be found. A bounded number of images; the example `power_loss` makes as
//! many as wanted, and cuts the power of a real file system.

mod crash_disk;
mod dice;
mod replay;
mod trace;
mod verdict;
mod workload;

use std::path::Path;
use std::process::Command;

use replay::{Figures, Plan, Unsynced, replay};
use workload::Writing;

const FOLDER: &str = "BANKSIDE_TEST_POWER_LOSS_FOLDER";
const CALLERS: &str = "BANKSIDE_TEST_POWER_LOSS_CALLERS";
const COMMITS: &str = "BANKSIDE_TEST_POWER_LOSS_COMMITS";
const SYNC: &str = "BANKSIDE_TEST_POWER_LOSS_SYNC";

/// Not a test of its own: the process that writes and is recorded.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let number = |name: &str| std::env::var(name).expect("set with the folder").parse::<u64>().expect("a number");
    let (callers, commits, sync) = (number(CALLERS) as u32, number(COMMITS), number(SYNC) == 1);
    Writing { folder: folder.into(), callers, commits, sync }.run();
}

#[test]
fn what_was_acknowledged_is_in_every_crash_image() {
    let Some(figures) = replayed(300, true, None) else { return };
    assert_eq!((figures.lost, figures.doubled, figures.bad), (0, 0, 0), "{:#?}", figures.wrong);
    assert!(figures.images >= 300 && figures.acknowledged >= 250, "{figures:?}");
}

#[test]
fn without_the_stores_own_sync_commits_are_lost() {
    let Some(figures) = replayed(60, false, None) else { return };
    assert!(figures.lost > 0, "{figures:?}");
}

#[test]
fn each_of_the_syncs_is_needed() {
    for unsynced in [Unsynced::Data, Unsynced::Folder, Unsynced::Parents] {
        let Some(figures) = replayed(60, true, Some(unsynced)) else { return };
        assert!(figures.lost > 0, "{unsynced:?}: {figures:?}");
    }
}

/// Replays a writer, where strace is there; under CI it must be.
fn replayed(images: usize, sync: bool, unsynced: Option<Unsynced>) -> Option<Figures> {
    if let Err(why) = trace::available() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("not checked: {why}");
        return None;
    }
    let writer = move |folder: &Path, callers: u32, commits: u64| {
        let mut command = Command::new(std::env::current_exe().expect("this test's own file"));
        command.args(["--exact", "writer", "--nocapture"]).env(FOLDER, folder).env(SYNC, u8::from(sync).to_string());
        command.env(CALLERS, callers.to_string()).env(COMMITS, commits.to_string());
        command
    };
    let plan = Plan { images, images_per_run: images.min(150), seed: 7, unsynced };
    Some(replay(plan, &writer, |_| {}).expect("the replay works"))
}
