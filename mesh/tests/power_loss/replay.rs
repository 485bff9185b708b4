//! A recorded run, replayed into every crash: the disk after each sync and between, with what was
//! not synced dropped, kept, cut short or scattered; each opened by the real store and judged.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crash_disk::{Choice, CrashDisk, Image};
use crate::dice::Dice;
use crate::trace::{self, Step};
use crate::verdict::judge;
use crate::workload::Acknowledged;

/// Commits of one recorded run: some segments of sled's log.
const COMMITS: u64 = 250;

/// Callers at once, so that groups form.
const CALLERS: u32 = 8;

/// Runs one after the other on what a crash has left, before a new folder is begun.
const RUNS_PER_FOLDER: usize = 4;

/// What is said about at most so many bad images; the figures hold them all.
const WORDS_MAX: usize = 20;

/// How to replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many images at least.
    pub(crate) images: usize,
    /// How many of one recorded run.
    pub(crate) images_per_run: usize,
    pub(crate) seed: u64,
    /// Syncs that the replay takes for not done, to see that the judge would notice.
    pub(crate) unsynced: Option<Unsynced>,
}

/// A sync left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// Of sled's data file.
    Data,
    /// Of the store's folder.
    Folder,
    /// Of the folder's parents.
    Parents,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) images: u64,
    pub(crate) runs: u64,
    pub(crate) syncs: u64,
    pub(crate) acknowledged: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Images with anything wrong.
    pub(crate) bad: u64,
    pub(crate) wrong: Vec<String>,
}

/// Replays runs of a writer until there are enough images. `writer` makes the command that writes into a
/// folder, with so many callers and commits.
pub(crate) fn replay(
    plan: Plan,
    writer: &dyn Fn(&Path, u32, u64) -> Command,
    mut progress: impl FnMut(&Figures),
) -> Result<Figures, String> {
    let mut dice = Dice::new(plan.seed);
    let mut figures = Figures::default();
    let work = Work::make()?;
    let mut base = (Image::default(), Vec::new());
    while figures.images < plan.images as u64 {
        if figures.runs.is_multiple_of(RUNS_PER_FOLDER as u64) {
            base = Default::default();
        }
        let steps = work.run(&base.0, writer)?;
        base = Run { plan: &plan, steps: &steps, work: &work }.crash_everywhere(base, &mut dice, &mut figures)?;
        figures.runs += 1;
        progress(&figures);
    }
    Ok(figures)
}

/// The folder of the store under a root; its missing parent has to be made durable as well.
pub(crate) fn folder_under(root: &Path) -> PathBuf {
    root.join("bank/data")
}

/// The folders that are worked in. In memory where there is room, because what is judged here is
/// contents, and the disk would only slow it down.
struct Work {
    _temporary: tempfile::TempDir,
    live: PathBuf,
    image: PathBuf,
    trace: PathBuf,
}

impl Work {
    fn make() -> Result<Self, String> {
        let memory = Path::new("/dev/shm");
        let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let temporary = made.map_err(|error| format!("no temporary folder: {error}"))?;
        let path = |name: &str| temporary.path().join(name);
        let (live, image, trace) = (path("live"), path("image"), path("trace"));
        Ok(Self { _temporary: temporary, live, image, trace })
    }

    fn run(&self, base: &Image, writer: &dyn Fn(&Path, u32, u64) -> Command) -> Result<Vec<Step>, String> {
        base.write(&self.live, &self.live).map_err(|error| format!("the folder can't be made: {error}"))?;
        let command = writer(&folder_under(&self.live), CALLERS, COMMITS);
        let (status, steps) = trace::record(&command, &self.live, &self.trace)?;
        let acknowledged = steps.iter().filter(|step| matches!(step, Step::Acknowledged(_))).count();
        if !status.success() || (acknowledged as u64) < COMMITS {
            return Err(format!("the writer ended with {status} after {acknowledged} acknowledgements"));
        }
        Ok(steps)
    }
}

/// One recorded run.
struct Run<'a> {
    plan: &'a Plan,
    steps: &'a [Step],
    work: &'a Work,
}

type Base = (Image, Vec<Acknowledged>);

impl Run<'_> {
    /// Crashes at each point of interest; one of the images is what the next run begins with.
    fn crash_everywhere(&self, base: Base, dice: &mut Dice, figures: &mut Figures) -> Result<Base, String> {
        let (image, mut acknowledged) = base;
        let mut disk = CrashDisk::holding(&image, &self.work.live);
        let syncs: Vec<usize> = (0..self.steps.len()).filter(|at| self.ends_a_sync(*at)).collect();
        figures.syncs += syncs.len() as u64;
        // Two at each sync, and the rest wherever the dice fall.
        let mut wanted = vec![0usize; self.steps.len()];
        syncs.iter().for_each(|at| wanted[*at] += 2);
        let rest = self.plan.images_per_run.saturating_sub(2 * syncs.len());
        (0..rest).for_each(|_| wanted[dice.below(self.steps.len())] += 1);
        let mut next = None;
        let chosen = dice.below(self.steps.len());
        for (at, step) in self.steps.iter().enumerate() {
            if !self.leaves_out(step) {
                disk.step(step)?;
            }
            if let Step::Acknowledged(one) = step {
                acknowledged.push(*one);
                figures.acknowledged += u64::from(one.seq.is_some());
            }
            for nth in 0..wanted[at] {
                let choice = match nth {
                    0 => Choice::Dropped,
                    _ if dice.percent(10) => Choice::Kept,
                    _ if dice.percent(45) => Choice::Cut,
                    _ => Choice::Some,
                };
                let image = disk.crash(choice, dice);
                self.judge(&image, &acknowledged, at, choice, figures)?;
                if disk.is_certain() {
                    break;
                }
            }
            if at == chosen {
                let choice = if dice.percent(50) { Choice::Some } else { Choice::Cut };
                next = Some((disk.crash(choice, dice), acknowledged.clone()));
            }
        }
        next.ok_or_else(|| "the trace is empty".to_owned())
    }

    fn judge(
        &self,
        image: &Image,
        acknowledged: &[Acknowledged],
        at: usize,
        choice: Choice,
        figures: &mut Figures,
    ) -> Result<(), String> {
        let work = &self.work;
        image.write(&work.live, &work.image).map_err(|error| format!("an image can't be written: {error}"))?;
        let verdict = judge(&folder_under(&work.image), acknowledged);
        figures.images += 1;
        figures.lost += verdict.lost;
        figures.doubled += verdict.doubled;
        if !verdict.is_good() {
            figures.bad += 1;
            let place = format!("run {}, step {at} of {}, {choice:?}", figures.runs + 1, self.steps.len());
            if figures.wrong.len() < WORDS_MAX {
                let (lost, of) = (verdict.lost, acknowledged.len());
                figures.wrong.push(format!("{place}: {lost} of {of} lost; {}", verdict.wrong.join("; ")));
            }
        }
        Ok(())
    }

    fn ends_a_sync(&self, at: usize) -> bool {
        let Step::Ends(call) = &self.steps[at] else { return false };
        let begins = |step: &&Step| matches!(step, Step::SyncBegins(begun, _) if begun == call);
        self.steps[..at].iter().rev().find(begins).is_some_and(|step| !self.leaves_out(step))
    }

    /// Whether the plan takes this sync for not done.
    fn leaves_out(&self, step: &Step) -> bool {
        let (Step::SyncBegins(_, path), Some(unsynced)) = (step, self.plan.unsynced) else { return false };
        let folder = folder_under(&self.work.live);
        match unsynced {
            Unsynced::Data => *path == folder.join("db"),
            Unsynced::Folder => *path == folder,
            Unsynced::Parents => folder.ancestors().skip(1).any(|parent| path == parent),
        }
    }
}
