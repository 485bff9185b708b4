//! A process that has no file descriptor left: it waits, says so once, and goes on when there are some.

use crate::service::{ECHO, Network, Running, acquirer, ask, soon};
use mesh::channel::MeshChannel;
use mesh::config::{LogFormat, Period, TelemetryConfig, TlsFiles};
use mesh::serve::Limits;
use mesh::tls::TlsIdentity;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const FOLDER: &str = "BANKSIDE_TEST_DESCRIPTORS_FOLDER";
const NAME: &str = "descriptors::without_descriptors_a_server_waits_and_comes_back";

/// No wait of this test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many files the server's process may have open, and how many connections it is offered.
const OPEN_FILES: u32 = 40;
const CONNECTIONS: usize = 80;

#[test]
fn without_descriptors_a_server_waits_and_comes_back() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return serve(Path::new(&folder));
    }
    let network = Network::new();
    let mut server = Server::start(&network);
    let offer = |_| TcpStream::connect(server.address).expect("a place in the queue");
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(offer).collect();
    server.log.until("connections cannot be accepted");
    // Each try is followed by a rest of 50 ms, so that ten of them take half a second.
    let (first, begin) = (server.failures(), Instant::now());
    while server.failures() < first + 10 {
        assert!(begin.elapsed() < PATIENCE, "it has stopped trying");
    }
    assert!(begin.elapsed() >= Duration::from_millis(400), "it spins: ten tries in {:?}", begin.elapsed());
    drop(connections);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let address = format!("https://{}", server.address);
        let channel = MeshChannel::new(&address, Arc::clone(&network.merchant_identity), acquirer());
        let channel = channel.expect("a channel");
        soon("an answer", async { while ask(&channel, ECHO).await.is_err() {} }).await;
    });
    server.log.until("connections are accepted again");
    let complaints = server.log.seen.iter().filter(|line| line.contains("cannot be accepted")).count();
    assert_eq!(complaints, 1, "{:?}", server.log.seen);
    // Its input closes, and it ends by itself.
    drop(server.child.stdin.take());
    assert!(server.child.wait().expect("an end").success());
}

/// The process without descriptors.
fn serve(folder: &Path) {
    let config = TelemetryConfig { filter: "info".to_owned(), format: LogFormat::Human };
    mesh::telemetry::init(&config).expect("a log");
    let files = TlsFiles {
        certificate: folder.join("own.pem"),
        key: folder.join("own.key"),
        authority: folder.join("ca.pem"),
        revocations: Some(folder.join("crl.pem")),
    };
    let identity = TlsIdentity::load(&files, crate::pki::domain()).expect("a good identity");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connections that say nothing stay.
    let limits = Limits { handshake: Period::new(Duration::from_secs(600)), ..Limits::default() };
    let running = runtime.block_on(Running::mutual(identity, limits));
    let say = |text: String| io::stdout().write_all(text.as_bytes()).expect("a reader");
    say(format!("\nat {}\n", running.address));
    for _ in io::stdin().lock().lines() {
        let numbers = running.metrics.exposition();
        let name = "bankside_accept_failures_total{port=\"trial\"} ";
        let count = numbers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        say(format!("\nfailures {count}\n"));
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    says: Lines,
    log: Lines,
}

impl Server {
    fn start(network: &Network) -> Self {
        let program = std::env::current_exe().expect("this test's own file");
        let certificate = network.server_files.path("own.pem");
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {OPEN_FILES}; exec \"$0\" --exact {NAME} --nocapture")])
            .arg(program)
            .env(FOLDER, certificate.parent().expect("a folder"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let mut says = Lines::of(child.stdout.take().expect("a pipe"));
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        let address = says.until("at 127").trim_start_matches("at ").parse().expect("an address");
        Self { child, address, says, log }
    }

    fn failures(&mut self) -> u64 {
        let input = self.child.stdin.as_mut().expect("a pipe");
        input.write_all(b"\n").expect("it listens");
        self.says.until("failures ").trim_start_matches("failures ").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, line by line.
struct Lines {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn of(pipe: impl io::Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| sender.send(line).is_ok()) {}
        });
        Self { lines, seen: Vec::new() }
    }

    /// The next line that has this in it.
    fn until(&mut self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no `{what}` after {:?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
    }
}
