//! A network that stays up, keeps its data, and describes itself in `sandbox.json`.

mod guide;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use certs::files::make_folder;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::network::{Network, port};
use crate::process::ports::{self, Reserved};
use crate::shop::inbox::Beginning;
use crate::storefront;
use crate::topology::{Topology, plan};

/// The file in the sandbox's folder that describes it.
pub const DESCRIPTION: &str = "sandbox.json";

/// The file whose lock says that the sandbox is in use.
const LOCK: &str = ".lock";

/// How many customers for load each bank has: enough for a benchmark with as many payers.
pub const LOAD_CUSTOMERS: u32 = 64;

/// People look at a sandbox's pages.
const WISHES: plan::Wishes =
    plan::Wishes { reflection: true, log_filter: "info", load_customers: LOAD_CUSTOMERS, pages: plan::Pages::People };

/// How often the servers are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Runs a sandbox in a folder until it is interrupted: a new one where the folder is empty, and else
/// the one that is there, with its ports, certificates and data.
///
/// # Errors
/// The folder holds something else or is in use, a port is taken, or a server ends by itself.
pub async fn run(folder: &Path, interrupt: &mut Interrupt, console: &Console) -> Result<()> {
    make_folder(folder)?;
    let _lock = lock(folder)?;
    let Opened { topology, reserved, beginning } = open_or_make(folder, console)?;
    if reserved.is_none() {
        check_ports(&topology)?;
    }
    let mut network = tokio::select! {
        network = Network::start(topology, reserved, beginning, console) => network?,
        () = interrupt.wait() => return Ok(()),
    };
    let storefront = open_storefront(&network).await?;
    guide::show(&network.topology, &folder.join(DESCRIPTION), console);
    loop {
        if let Some(fallen) = network.fallen()? {
            bail!("{fallen}");
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_PAUSE) => {}
            () = interrupt.wait() => break,
        }
    }
    console.line("");
    console.line("Stopping the servers; everything is kept for the next start.");
    storefront.close().await?;
    // A second signal stops the patience: dropping the network kills what is left of it.
    tokio::select! {
        stopped = network.stop() => stopped,
        () = interrupt.wait() => bail!("a second signal ended the servers before they had drained"),
    }
}

/// The demo shops' pages, served from this process.
struct Open {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

async fn open_storefront(network: &Network) -> Result<Open> {
    let (stop, listener) = (CancellationToken::new(), storefront::listen(&network.topology).await?);
    let serving = storefront::open(&network.topology, &network.shops)?.serve(listener, stop.clone());
    Ok(Open { stop, serving: tokio::spawn(serving) })
}

impl Open {
    async fn close(self) -> Result<()> {
        self.stop.cancel();
        self.serving.await.context("the demo shops panicked")
    }
}

/// Reads the description of the sandbox in a folder, which may be running or not.
///
/// # Errors
/// There is none, or it is of another version.
pub fn describe(folder: &Path) -> Result<Topology> {
    Topology::load(&folder.join(DESCRIPTION))
        .with_context(|| format!("{} holds no sandbox; `merchant-sim sandbox --dir …` makes one", folder.display()))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("a sandbox is running in {} already", folder.display());
    }
    Ok(file)
}

/// A sandbox that can be started.
struct Opened {
    topology: Topology,
    /// The ports of a new one.
    reserved: Option<Reserved>,
    beginning: Beginning,
}

fn open_or_make(folder: &Path, console: &Console) -> Result<Opened> {
    let description = folder.join(DESCRIPTION);
    if description.exists() {
        let topology = Topology::load(&description)?;
        let here = folder.canonicalize().context("cannot use the folder")?;
        ensure!(
            topology.folder == here,
            "this sandbox was made in {}; its files name that folder, so move it back or make a new one",
            topology.folder.display()
        );
        return Ok(Opened { topology, reserved: None, beginning: Beginning::Resumed });
    }
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let other = entries.find_map(|entry| entry.ok().filter(|entry| entry.file_name() != LOCK));
    if let Some(other) = other {
        bail!("{} is neither empty nor a sandbox: it holds {}", folder.display(), other.file_name().display());
    }
    console.working("making certificates and keys");
    let plan::Planned { topology, reserved } = plan::make(folder, WISHES)?;
    topology.save(&description)?;
    console.done();
    Ok(Opened { topology, reserved: Some(reserved), beginning: Beginning::FirstOrder })
}

/// A sandbox keeps its ports, so a taken one is an error that names it.
fn check_ports(topology: &Topology) -> Result<()> {
    let platform = &topology.platform;
    let platform = [&platform.endpoint, &platform.devices, &platform.pages, &platform.metrics];
    let platform = platform.into_iter().map(|address| (&topology.platform.id, address));
    let acquirers = topology.acquirers.iter().flat_map(|a| [(&a.id, &a.endpoint), (&a.id, &a.pages)]);
    let issuers = topology.issuers.iter().map(|i| (&i.id, &i.endpoint));
    let apps = topology.issuers.iter().filter_map(|i| Some((&i.id, i.app.as_ref()?)));
    let merchants = topology.merchants.iter().map(|m| (&m.id, &m.notifications));
    let shops = topology.merchants.iter().zip(&topology.storefront).map(|(m, shops)| (&m.id, shops));
    for (id, address) in platform.chain(acquirers).chain(issuers).chain(apps).chain(merchants).chain(shops) {
        let port = port(address)?;
        ensure!(ports::is_free(port), "port {port} of {id} is taken by another program: end it and try again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::console::Stream;

    #[test]
    fn a_sandbox_is_found_again_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(Stream::Nowhere);
        let made = open_or_make(folder.path(), &console).unwrap();
        assert_eq!(made.beginning, Beginning::FirstOrder);
        assert!(check_ports(&made.topology).is_err(), "its ports are held for it");
        let found = open_or_make(folder.path(), &console).unwrap();
        assert_eq!(found.beginning, Beginning::Resumed);
        assert_eq!(found.topology, made.topology);
        assert_eq!(describe(folder.path()).unwrap(), made.topology);
    }

    #[test]
    fn a_description_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = open_or_make(folder.path(), &Console::new(Stream::Nowhere)).unwrap();
        Topology { format: 999, ..made.topology }.save(&folder.path().join(DESCRIPTION)).unwrap();
        let error = describe(folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("format 999"), "{error:#}");
    }

    #[test]
    fn somebody_elses_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
        let error = open_or_make(folder.path(), &Console::new(Stream::Nowhere)).err().unwrap();
        assert!(error.to_string().contains("thesis.txt"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_guide_for_programs_names_every_field() {
        let guide = include_str!("../SANDBOX.md");
        let folder = tempfile::tempdir().unwrap();
        let made = open_or_make(folder.path(), &Console::new(Stream::Nowhere)).unwrap();
        let mut fields = std::collections::BTreeSet::new();
        collect(&serde_json::to_value(&made.topology).unwrap(), &mut fields);
        let missing: Vec<&String> = fields.iter().filter(|field| !guide.contains(field.as_str())).collect();
        assert!(missing.is_empty() && fields.len() > 40, "{missing:?} of {}", fields.len());
    }

    /// The names of all fields, at any depth.
    fn collect(value: &serde_json::Value, fields: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    fields.insert(name.clone());
                    collect(value, fields);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }

    #[test]
    fn one_sandbox_runs_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(lock(folder.path()).is_err());
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }
}
