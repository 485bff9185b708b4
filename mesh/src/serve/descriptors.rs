//! File descriptors: as many as the ports may need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs beside its connections: the store, the log, certificates being read, connections to
/// others.
const OTHERS: u64 = 256;

/// Raises the soft limit of open files as far as this many connections more need it, which the hard limit
/// allows. Most systems give a process 1,024 by default, fewer than the connections of one port, so that
/// accepting would fail long before the port is full.
pub(super) fn make_room(port: &'static str, connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is shown as none.
    let Some(now) = current else { return };
    // Ports of one process start one after another, and none knows of the others: each adds its own.
    let wanted = now.max(OTHERS).saturating_add(connections as u64);
    let given = maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(now);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(given), maximum });
    let available = if raised.is_ok() { given } else { now };
    if available < OTHERS.saturating_add(connections as u64) {
        tracing::warn!(
            port,
            open_files_max = available,
            connections_max = connections,
            "fewer files may be open than the port has connections; raise the limit of open files (ulimit -n)"
        );
    }
}
