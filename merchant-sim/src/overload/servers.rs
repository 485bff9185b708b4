//! What the processes use meanwhile: processor time, and memory over time.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::network::server_pid;
use crate::process::cpu;
use crate::topology::{ServerFiles, Topology};

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// The name of the load among the processes.
pub(super) const LOAD: &str = "load";

/// A process by its name.
#[derive(Clone, Debug)]
pub(super) struct Pid {
    pub(super) name: String,
    pub(super) id: u32,
}

impl Pid {
    pub(super) fn of(name: &str, files: &ServerFiles) -> Result<Self> {
        Ok(Self { name: name.to_owned(), id: server_pid(files)? })
    }
}

/// What one process used during a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Which.
    pub name: String,
    /// Its processor time over the time that passed: 1.0 is one processor, all the time.
    pub processors: f64,
    /// Its resident memory, in MiB, at even intervals.
    pub memory_mib: Vec<f64>,
}

/// Looks at every process until it is ended.
#[derive(Debug)]
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    watching: JoinHandle<Result<Vec<Usage>>>,
}

impl Watch {
    pub(super) fn begin(topology: &Topology, load: u32) -> Result<Self> {
        let servers = topology.servers().into_iter().map(|(_, id, files)| Pid::of(id, files));
        let load = Pid { name: LOAD.to_owned(), id: load };
        let processes = servers.chain([Ok(load)]).collect::<Result<Vec<_>>>()?;
        let over = Arc::new(AtomicBool::new(false));
        let watching = tokio::spawn(watch(processes, Arc::clone(&over)));
        Ok(Self { over, watching })
    }

    pub(super) async fn end(self) -> Result<Vec<Usage>> {
        self.over.store(true, Ordering::Relaxed);
        self.watching.await.context("watching the servers panicked")?
    }
}

async fn watch(processes: Vec<Pid>, over: Arc<AtomicBool>) -> Result<Vec<Usage>> {
    let begin = Instant::now();
    let before = processes.iter().map(|process| cpu::used(process.id)).collect::<Result<Vec<_>>>()?;
    let mut memory = vec![Vec::new(); processes.len()];
    while !over.load(Ordering::Relaxed) {
        for (process, memory) in processes.iter().zip(&mut memory) {
            memory.push(resident_mib(process.id)?);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    let took = begin.elapsed().as_secs_f64();
    let used = processes.iter().zip(before).zip(memory);
    used.map(|((process, before), memory_mib)| {
        let spent = cpu::used(process.id)?.saturating_sub(before).as_secs_f64();
        Ok(Usage { name: process.name.clone(), processors: spent / took, memory_mib })
    })
    .collect()
}

/// The resident memory of a process (Linux, proc_pid_status(5)).
fn resident_mib(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&status).with_context(|| format!("{path} is not understood"))
}

fn parse(status: &str) -> Option<f64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    Some(kib.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2.0));
        assert_eq!(parse("Name:\tx\n"), None);
        assert!(resident_mib(std::process::id()).unwrap() > 1.0);
    }
}
