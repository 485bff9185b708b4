//! Processors of their own for the servers that are measured and for the load.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// The servers' processors and the load's: the first half, and the rest; the same ones where there is only one.
#[derive(Clone, Debug)]
pub(super) struct Halves {
    servers: Vec<usize>,
    load: Vec<usize>,
}

impl Halves {
    /// Those that this process may use now, and no more of them than it is given the time of.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub(super) fn of_all() -> Result<Self> {
        let set = sched_getaffinity(None).context("cannot find the processors")?;
        let count = available_parallelism().map_or(1, NonZero::get);
        Ok(Self::of((0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).take(count).collect()))
    }

    fn of(all: Vec<usize>) -> Self {
        match all.split_at(all.len() / 2) {
            ([], _) => Self { servers: all.clone(), load: all },
            (servers, load) => Self { servers: servers.to_vec(), load: load.to_vec() },
        }
    }

    /// Keeps this process to the servers' half until [`Halves::separate`], so that the servers that it starts are
    /// there from the beginning: how many threads one has follows from how many processors it finds.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn begin(&self) -> Result<()> {
        keep_to(std::process::id(), &self.servers)
    }

    /// Leaves their half to the servers, and gives the load the rest. Returns in words who has what.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn separate(&self, load: u32) -> Result<String> {
        // The shops' servers run in this process; what they are told costs the load's side.
        for other in [load, std::process::id()] {
            keep_to(other, &self.load)?;
        }
        Ok(self.in_words())
    }

    fn in_words(&self) -> String {
        let Self { servers, load } = self;
        if servers == load {
            return "one processor for both".to_owned();
        }
        let all = servers.len() + load.len();
        format!("the servers on {} of {all} processors, the load on the other {}", servers.len(), load.len())
    }
}

/// Every thread that the process has; those that it starts later inherit it.
fn keep_to(id: u32, processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    let mut kept = BTreeSet::new();
    loop {
        // A thread may start another one before its turn has come.
        let new: Vec<i32> = threads(id)?.into_iter().filter(|thread| kept.insert(*thread)).collect();
        if new.is_empty() {
            return Ok(());
        }
        keep_threads_to(id, &new, &set)?;
    }
}

fn threads(id: u32) -> Result<Vec<i32>> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).with_context(|| format!("process {id} has gone"))?;
    threads.map(|thread| thread?.file_name().to_string_lossy().parse::<i32>().context("no thread's id")).collect()
}

fn keep_threads_to(id: u32, threads: &[i32], set: &CpuSet) -> Result<()> {
    for thread in threads {
        match sched_setaffinity(Pid::from_raw(*thread), set) {
            // It has ended since.
            Err(Errno::SRCH) => {}
            kept => kept.with_context(|| format!("cannot keep {id} to its processors"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_processors_of_its_own_where_there_are_two() {
        let halves = |all: &[usize]| {
            let Halves { servers, load } = Halves::of(all.to_vec());
            (servers, load)
        };
        assert_eq!(halves(&[3]), (vec![3], vec![3]));
        assert_eq!(halves(&[0, 1]), (vec![0], vec![1]));
        assert_eq!(halves(&[2, 4, 7]), (vec![2], vec![4, 7]));
        assert_eq!(Halves::of(vec![5]).in_words(), "one processor for both");
        let words = "the servers on 1 of 3 processors, the load on the other 2";
        assert_eq!(Halves::of(vec![2, 4, 7]).in_words(), words);
    }
}
