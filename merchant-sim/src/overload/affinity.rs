//! Processors of their own for the servers that are measured and for the load.

use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

use super::servers;

/// Gives the servers the first half of the processors, and the load the rest. Returns in words who has what.
///
/// # Errors
/// The operating system refuses.
pub(super) fn separate(servers: &[servers::Pid], load: u32) -> Result<String> {
    let count = available_parallelism().map_or(1, NonZero::get);
    if count < 2 {
        return Ok("one processor for both".to_owned());
    }
    let half = count / 2;
    for server in servers {
        keep_to(server.id, 0..half)?;
    }
    // The shops' servers run in this process; what they are told costs the load's side.
    for other in [load, std::process::id()] {
        keep_to(other, half..count)?;
    }
    Ok(format!("the servers on {half} of {count} processors, the load on the other {}", count - half))
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
