//! The process that makes the load: started with a description of the network, told line by line what to do.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path as FilePath;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::authorize::Authorizations;
use super::payment::Payments;
use super::{Order, Outcome, Path};
use crate::topology::Topology;

/// How many units are under way at one time, at most: twice what a port takes in hand.
pub(super) const UNDER_WAY_MAX: u64 = 2_048;

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ask {
    /// Have so many units ready.
    Prepare(u64),
    /// Make load.
    Run(Order),
}

/// What it says when it has done so.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tell {
    Prepared,
    Ran(Box<Outcome>),
    Failed(String),
}

/// The process, as long as this lives.
#[derive(Debug)]
pub(super) struct Generator {
    child: Child,
    asks: ChildStdin,
    tells: Lines<BufReader<ChildStdout>>,
}

impl Generator {
    pub(super) fn start(description: &FilePath, path: Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program to start it again")?;
        let name = match path {
            Path::Authorize => "authorize",
            Path::Payment => "payment",
        };
        let mut command = Command::new(program);
        command.args(["overload-load", "--path", name, "--topology"]).arg(description);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the process for the load")?;
        let asks = child.stdin.take().context("the load has no input")?;
        let tells = BufReader::new(child.stdout.take().context("the load has no output")?).lines();
        Ok(Self { child, asks, tells })
    }

    pub(super) fn id(&self) -> Result<u32> {
        self.child.id().context("the process for the load has ended")
    }

    pub(super) async fn prepare(&mut self, count: u64) -> Result<()> {
        match self.ask(&Ask::Prepare(count)).await? {
            Tell::Prepared => Ok(()),
            Tell::Failed(words) => bail!("preparing the load: {words}"),
            Tell::Ran(_) => bail!("the load answered another question"),
        }
    }

    pub(super) async fn run(&mut self, order: Order) -> Result<Outcome> {
        match self.ask(&Ask::Run(order)).await? {
            Tell::Ran(outcome) => Ok(*outcome),
            Tell::Failed(words) => bail!("making the load: {words}"),
            Tell::Prepared => bail!("the load answered another question"),
        }
    }

    /// Its input closes, and it ends.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.asks);
        let status = self.child.wait().await.context("waiting for the load's process")?;
        if status.success() { Ok(()) } else { bail!("the load's process ended with {status}") }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Tell> {
        let line = serde_json::to_string(ask)? + "\n";
        self.asks.write_all(line.as_bytes()).await.context("telling the load what to do")?;
        let line = self.tells.next_line().await?.context("the load's process has ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Runs as that process, until its input closes.
#[must_use]
pub fn serve(description: &FilePath, path: Path) -> ExitCode {
    match try_serve(description, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_serve(description: &FilePath, path: Path) -> Result<()> {
    let topology = Topology::load(description)?;
    // One thread: what makes the load must be cheap, and it must not take turns with itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut load = match path {
        Path::Authorize => Load::Authorize(Box::new(Authorizations::new(&topology)?)),
        Path::Payment => Load::Payment(Payments::new(&topology)?),
    };
    for line in io::stdin().lock().lines() {
        let tell = match serde_json::from_str(&line?)? {
            Ask::Prepare(count) => runtime.block_on(load.prepare(count)).map(|()| Tell::Prepared),
            Ask::Run(order) => runtime.block_on(load.run(order)).map(|outcome| Tell::Ran(Box::new(outcome))),
        };
        let tell = tell.unwrap_or_else(|error| Tell::Failed(format!("{error:#}")));
        writeln!(io::stdout(), "{}", serde_json::to_string(&tell)?)?;
    }
    Ok(())
}

#[allow(clippy::large_enum_variant, reason = "there is one of them in a process")]
enum Load {
    Authorize(Box<Authorizations>),
    Payment(Payments),
}

impl Load {
    async fn prepare(&mut self, count: u64) -> Result<()> {
        let count = usize::try_from(count)?;
        match self {
            Self::Authorize(load) => load.prepare(count).await,
            Self::Payment(load) => load.prepare(count).await,
        }
    }

    async fn run(&mut self, order: Order) -> Result<Outcome> {
        match self {
            Self::Authorize(load) => load.run(order).await,
            Self::Payment(load) => load.run(order).await,
        }
    }
}
