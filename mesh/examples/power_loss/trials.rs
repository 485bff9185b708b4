//! Power cuts on a real file system.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Impossible;
use crate::dice::Dice;
use crate::loop_disk::{LoopDisk, enter_namespace};
use crate::replay::folder_under;
use crate::verdict::{Verdict, judge};
use crate::workload::Acknowledged;

/// Size of a disk.
const DISK_MIB: u32 = 512;

/// Trials on one disk, one crash upon the other.
const TRIALS_PER_DISK: u32 = 10;

/// A writer is stopped within this time of its start: some while they open, most in the middle.
const RUN_MS_MAX: usize = 400;

/// How much a failing disk takes, at least and beside that; the file system's own structures need the least.
const ROOM_MIB: [u32; 2] = [12, 20];

/// Room of a failing disk once it is mended.
const HEALED_MIB: u32 = 1024;

/// A disk that doesn't fail within this time never will.
const FAILS_WITHIN: Duration = Duration::from_secs(120);

/// What came of all trials.
#[derive(Debug, Default)]
struct Figures {
    trials: u32,
    acknowledged: u64,
    lost: u64,
    doubled: u64,
    bad: u32,
}

/// Runs so many trials and says whether nothing was wrong.
pub(crate) fn run(trials: u32, seed: u64, sync: bool) -> Result<bool, Impossible> {
    enter_namespace()?;
    println!("power-loss: seed {seed}");
    let mut dice = Dice::new(seed);
    let mut figures = Figures::default();
    while figures.trials < trials {
        let mut disk = LoopDisk::make(DISK_MIB)?;
        let mut known = Vec::new();
        for _ in 1..TRIALS_PER_DISK.min(trials - figures.trials) {
            cut(&mut disk, &mut known, &mut dice, sync, &mut figures)?;
        }
        drop(disk);
        fail(&mut dice, sync, &mut figures)?;
    }
    println!(
        "power-loss: {} trials, {} acknowledged commits, {} lost, {} doubled",
        figures.trials, figures.acknowledged, figures.lost, figures.doubled
    );
    Ok(figures.bad == 0)
}

/// One power cut: the writer is stopped, or is still running, when the file system is shut down.
fn cut(
    disk: &mut LoopDisk,
    known: &mut Vec<Acknowledged>,
    dice: &mut Dice,
    sync: bool,
    figures: &mut Figures,
) -> Result<(), Impossible> {
    let stopped = dice.percent(50);
    let mut writer = Writer::start(&disk.mount_point(), sync)?;
    let before = known.len();
    known.extend(writer.listen(Duration::from_millis(dice.below(RUN_MS_MAX) as u64)));
    if stopped {
        writer.signal(Signal::STOP)?;
    }
    disk.shut_down()?;
    // What a running writer says from now on was durable before, or must not be said.
    known.extend(writer.end()?);
    disk.unmount()?;
    disk.mount()?;
    let verdict = judge(&folder_under(&disk.mount_point()), known);
    let how = if stopped { "stopped, then cut" } else { "cut while it wrote" };
    figures.trials += 1;
    figures.add(how, known.len() - before, &verdict);
    // Where something is lost already, the next trial begins with what is left.
    if verdict.is_good() {
        known.extend(verdict.acknowledged);
    } else {
        *disk = LoopDisk::make(DISK_MIB)?;
        known.clear();
    }
    Ok(())
}

/// A disk that fails under the writer, which must end. The next process, on the same machine with
/// the same page cache, must not show anything that isn't on the disk: it is there after a power cut as well.
fn fail(dice: &mut Dice, sync: bool, figures: &mut Figures) -> Result<(), Impossible> {
    let room = ROOM_MIB[0] + dice.below(ROOM_MIB[1] as usize) as u32;
    let mut disk = LoopDisk::make_failing(DISK_MIB, room)?;
    let folder = folder_under(&disk.mount_point());
    let mut writer = Writer::start(&disk.mount_point(), sync)?;
    let mut known = writer.listen_to_the_end()?;
    known.extend(writer.end()?);
    let written = known.len();
    disk.heal(HEALED_MIB)?;
    let mut verdict = judge(&folder, &known);
    if verdict.wrong.iter().any(|why| why.contains("does not open")) {
        // ext4 has taken the disk for broken, and an operator mounts it again.
        println!("  after the failure: {}", verdict.wrong.join("; "));
        disk.unmount()?;
        disk.mount()?;
        verdict = judge(&folder, &known);
    }
    figures.trials += 1;
    figures.add("failing disk, restarted", written, &verdict);
    known.extend(verdict.acknowledged);
    disk.shut_down()?;
    disk.unmount()?;
    disk.mount()?;
    let verdict = judge(&folder, &known);
    figures.add("  the same disk, then cut", 0, &verdict);
    Ok(())
}

impl Figures {
    fn add(&mut self, how: &str, acknowledged: usize, verdict: &Verdict) {
        self.acknowledged += acknowledged as u64 + verdict.acknowledged.len() as u64;
        self.lost += verdict.lost;
        self.doubled += verdict.doubled;
        let (lost, doubled) = (verdict.lost, verdict.doubled);
        println!("  trial {}: {how}: {acknowledged} acknowledged, {lost} lost, {doubled} doubled", self.trials);
        if !verdict.is_good() {
            self.bad += 1;
            let words: String = verdict.wrong.join("; ").chars().take(600).collect();
            println!("    {words}");
        }
    }
}

/// The process that writes, and what it says.
struct Writer {
    child: Child,
    said: Receiver<Acknowledged>,
}

impl Writer {
    fn start(disk: &Path, sync: bool) -> Result<Self, Impossible> {
        let program = std::env::current_exe().map_err(Impossible::here)?;
        let mut command = Command::new(program);
        command.arg("--write").arg(folder_under(disk)).args((!sync).then_some("--without-sync"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(Impossible::here)?;
        let output = child.stdout.take().ok_or_else(|| Impossible::here("the writer has no output"))?;
        let (say, said) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.by_ref().filter_map(|line| Acknowledged::read(&line)).all(|one| say.send(one).is_ok())
        });
        Ok(Self { child, said })
    }

    /// What it says within this time.
    fn listen(&self, time: Duration) -> Vec<Acknowledged> {
        let until = Instant::now() + time;
        let mut heard = Vec::new();
        while let Ok(one) = self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            heard.push(one);
        }
        heard
    }

    /// What it says until it ends by itself, which the disk makes it do.
    fn listen_to_the_end(&self) -> Result<Vec<Acknowledged>, Impossible> {
        let until = Instant::now() + FAILS_WITHIN;
        let mut heard = Vec::new();
        loop {
            match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(one) => heard.push(one),
                Err(RecvTimeoutError::Disconnected) => return Ok(heard),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Impossible::here(format!("the writer still runs after {} commits", heard.len())));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Impossible> {
        kill_process(Pid::from_child(&self.child), signal).map_err(Impossible::here)
    }

    /// Ends it, and returns what it had said that wasn't heard yet.
    fn end(&mut self) -> Result<Vec<Acknowledged>, Impossible> {
        self.child.kill().map_err(Impossible::here)?;
        self.child.wait().map_err(Impossible::here)?;
        Ok(self.said.iter().collect())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Ended already, unless something went wrong; then it must not outlive the command.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
