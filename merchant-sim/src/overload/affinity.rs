//! Processors of their own for the servers that are measured and for the load.

use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// The servers' processors and the load's: the first half, and the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Halves {
    count: usize,
}

impl Halves {
    /// Those of this process, as long as it is kept to none of them.
    pub(super) fn of_all() -> Self {
        Self { count: available_parallelism().map_or(1, NonZero::get) }
    }

    /// Keeps this process to the servers' half until [`Halves::separate`], so that the servers that it starts are
    /// there from the beginning: how many threads one has follows from how many processors it finds.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn begin(self) -> Result<()> {
        if self.count < 2 { Ok(()) } else { keep_to(std::process::id(), 0..self.count / 2) }
    }

    /// Leaves their half to the servers, and gives the load the rest. Returns in words who has what.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn separate(self, load: u32) -> Result<String> {
        let Self { count } = self;
        if count < 2 {
            return Ok("one processor for both".to_owned());
        }
        let half = count / 2;
        // The shops' servers run in this process; what they are told costs the load's side.
        for other in [load, std::process::id()] {
            keep_to(other, half..count)?;
        }
        Ok(format!("the servers on {half} of {count} processors, the load on the other {}", count - half))
    }
}

/// Every thread that the process has; those that it starts later inherit it.
fn keep_to(id: u32, processors: std::ops::Range<usize>) -> Result<()> {
    let mut set = CpuSet::new();
    processors.for_each(|processor| set.set(processor));
    let threads = fs::read_dir(format!("/proc/{id}/task")).with_context(|| format!("process {id} has gone"))?;
    for thread in threads {
        let thread = thread?.file_name().to_string_lossy().parse::<i32>().context("no thread's id")?;
        sched_setaffinity(Pid::from_raw(thread), &set)
            .with_context(|| format!("cannot keep {id} to its processors"))?;
    }
    Ok(())
}
