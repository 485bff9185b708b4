//! Threads that each run the connections given to them, and nothing else.

use std::io;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads with a runtime each, for a port whose calls are too short to be worth moving between
/// threads: a connection stays on one of them from its handshake to its end, with everything that its
/// calls do, so that they share no queue, no timer and no lock with those of the other threads.
///
/// The threads end when this is dropped.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    _stop: DropGuard,
}

impl Workers {
    /// Starts `count` threads, at least one. `name` is theirs in the operating system's lists.
    ///
    /// # Errors
    /// The operating system gives no thread, or no descriptor for one.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count.max(1));
        for i in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            std::thread::Builder::new()
                .name(format!("{name}-{i}"))
                .spawn(move || runtime.block_on(stop.cancelled_owned()))?;
        }
        Ok(Self { handles, _stop: stop.drop_guard() })
    }

    /// One for each thread, to give it work of its own.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}
