//! A party's process: its own runtime, whose tasks and memory go with a crash.
//!
//! Each process is a `current_thread` runtime of its own. All of them run on the one thread of the run, one after
//! the other and never at the same time: the runtime of whoever something happens at runs until nothing in it can
//! go on, and tells so by its park hook.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
};

/// The process of a party; none while it is down.
#[derive(Debug, Default)]
pub struct Host(Mutex<Option<Process>>);

#[derive(Debug)]
struct Process {
    runtime: Runtime,
    rest: Arc<Rest>,
}

/// Tells when nothing in a runtime can go on.
#[derive(Debug, Default)]
struct Rest {
    reached: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

impl Host {
    /// Begins a process.
    ///
    /// # Panics
    /// Where the runtime can't be made, which takes nothing but memory.
    pub fn start(&self) {
        let rest = Arc::new(Rest::default());
        let hook = Arc::clone(&rest);
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || hook.reach())
            .build()
            .expect("invariant: a runtime without timers and sockets needs nothing from the system");
        *self.process() = Some(Process { runtime, rest });
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process().is_some()
    }

    /// Ends the process as a crash does: its tasks are dropped where they are.
    pub fn crash(&self) {
        let process = self.process().take();
        // Outside the lock: what the tasks hold may look at this host when it goes.
        drop(process);
    }

    /// Starts a task; `None` while the process is down.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        self.process().as_ref().map(|process| process.runtime.spawn(task).abort_handle())
    }

    /// Runs until nothing can go on.
    pub fn run_to_rest(&self) {
        if let Some(Process { runtime, rest }) = &*self.process() {
            runtime.block_on(rest.wait());
        }
    }

    /// Runs one thing to its end, which must not wait for anything that the engine does.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.process().as_ref().map(|process| process.runtime.block_on(work))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn reach(&self) {
        self.reached.store(true, Ordering::Relaxed);
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    async fn wait(&self) {
        self.reached.store(false, Ordering::Relaxed);
        poll_fn(|cx| {
            if self.reached.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
