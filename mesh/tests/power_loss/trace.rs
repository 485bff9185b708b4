//! The writes and syncs of a process, recorded by strace and read back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::workload::Acknowledged;

/// The calls that change or sync files. The second group is not expected of the store and is
/// recorded to fail loudly if that changes.
const CALLS: &str = "openat,write,pwrite64,ftruncate,rename,unlink,mkdir,fsync,fdatasync,lseek,\
                     open,creat,writev,pwritev,pwritev2,truncate,fallocate,renameat,renameat2,unlinkat,mkdirat,rmdir,\
                     link,linkat,symlink,symlinkat,copy_file_range,sendfile,dup,dup2,dup3";

/// Bytes of the longest write; sled's are at most one segment of its log, 512 KiB.
const STRING_BYTES_MAX: &str = "4194304";

/// One step of the recorded process. A change begins and ends, because a crash may come between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The call with this number begins to change something.
    Begins(usize, Change),
    /// The call with this number begins to sync a file or a folder.
    SyncBegins(usize, PathBuf),
    /// The call with this number has succeeded.
    Ends(usize),
    /// The call with this number has failed.
    Fails(usize),
    /// The process has told the world, or is about to.
    Acknowledged(Acknowledged),
}

/// What a call changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Opens a file that is made if it isn't there, and emptied if so asked.
    Create {
        path: PathBuf,
        empty: bool,
    },
    Write {
        path: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        len: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
}

/// Whether strace is there and may trace; otherwise why not.
pub(crate) fn available() -> Result<(), String> {
    let tried = Command::new("strace").args(["-o", "/dev/null", "-e", "trace=none", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("strace can't trace here: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("strace can't be started ({error}); .ci/install installs it")),
    }
}

/// Runs a command under strace and returns its steps on files below `root`. Its output is kept in
/// the steps alone.
pub(crate) fn record(command: &Command, root: &Path, trace: &Path) -> Result<(ExitStatus, Vec<Step>), String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-xx", "--seccomp-bpf", "-s", STRING_BYTES_MAX, "-e"]).arg(format!("trace={CALLS}"));
    strace.arg("-e").arg("signal=none").arg("-o").arg(trace).arg("--").arg(command.get_program());
    strace.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            strace.env(name, value);
        }
    }
    let status = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).status();
    let status = status.map_err(|error| format!("strace can't be started: {error}"))?;
    let text = std::fs::read_to_string(trace).map_err(|error| format!("the trace can't be read: {error}"))?;
    Ok((status, Reader::new(root).read(&text)?))
}

struct Reader<'a> {
    root: &'a Path,
    steps: Vec<Step>,
    calls: usize,
    /// By thread: the call that has begun, its number where it matters, and its text so far.
    open: HashMap<&'a str, (Option<usize>, String)>,
    /// Where the next `write` of a descriptor goes.
    positions: HashMap<(u32, PathBuf), u64>,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, steps: Vec::new(), calls: 0, open: HashMap::new(), positions: HashMap::new() }
    }

    fn read(mut self, text: &'a str) -> Result<Vec<Step>, String> {
        for line in text.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if rest.starts_with("+++") || rest.starts_with("---") {
                continue;
            }
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some((number, begun)) = self.open.remove(thread) else { continue };
                let end = resumed.split_once("resumed>").map_or("", |(_, end)| end);
                self.end(number, &format!("{begun}{end}"))?;
            } else if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                let number = self.begin(begun)?;
                self.open.insert(thread, (number, begun.to_owned()));
            } else {
                let number = self.begin(rest)?;
                self.end(number, rest)?;
            }
        }
        Ok(self.steps)
    }

    /// Takes a call up by its arguments, and gives it a number where it concerns the root.
    fn begin(&mut self, text: &str) -> Result<Option<usize>, String> {
        let (name, arguments) = text.split_once('(').ok_or_else(|| format!("not a call: {}", short(text)))?;
        if name == "write" && arguments.starts_with("1<") {
            let line = strings(arguments).next().map(|line| String::from_utf8_lossy(&line).into_owned());
            self.steps.extend(line.iter().filter_map(|line| Acknowledged::read(line)).map(Step::Acknowledged));
            return Ok(None);
        }
        let file = descriptor(arguments).map(|(_, path)| path);
        let paths: Vec<PathBuf> = strings(arguments).map(path_of).collect();
        let concerned = match name {
            "write" | "pwrite64" | "ftruncate" | "fsync" | "fdatasync" | "lseek" => file.as_deref(),
            _ => paths.iter().chain(&file).map(PathBuf::as_path).find(|path| path.starts_with(self.root)),
        };
        if !concerned.is_some_and(|path| path.starts_with(self.root)) {
            return Ok(None);
        }
        let file = file.unwrap_or_default();
        let first = || paths.first().cloned().unwrap_or_default();
        let change = match name {
            "fsync" | "fdatasync" => None,
            "openat" if arguments.contains("O_CREAT") || arguments.contains("O_TRUNC") => {
                Some(Change::Create { path: first(), empty: arguments.contains("O_TRUNC") })
            }
            // Their results give a descriptor's position.
            "openat" | "lseek" => return Ok(None),
            "pwrite64" | "write" => {
                let bytes = strings(arguments).next().unwrap_or_default();
                let at = if name == "write" { self.advance(arguments, bytes.len())? } else { number(arguments, 1)? };
                Some(Change::Write { path: file.clone(), at, bytes })
            }
            "ftruncate" => Some(Change::Resize { path: file.clone(), len: number(arguments, 1)? }),
            "rename" => Some(Change::Rename { from: first(), to: paths.get(1).cloned().unwrap_or_default() }),
            "unlink" => Some(Change::Remove { path: first() }),
            "mkdir" => Some(Change::MakeFolder { path: first() }),
            _ => return Err(format!("the recorder does not know this call: {}", short(text))),
        };
        self.calls += 1;
        self.steps.push(match change {
            Some(change) => Step::Begins(self.calls, change),
            None => Step::SyncBegins(self.calls, file),
        });
        Ok(Some(self.calls))
    }

    fn end(&mut self, number: Option<usize>, text: &str) -> Result<(), String> {
        let result = text.rsplit_once(" = ").map_or("?", |(_, result)| result);
        if text.starts_with("openat(")
            && let Some((descriptor, path)) = descriptor(result)
        {
            self.positions.insert((descriptor, path), 0);
        }
        if text.starts_with("lseek(")
            && let (Some(file), Ok(at)) = (descriptor(&text["lseek(".len()..]), result.parse())
        {
            self.positions.insert(file, at);
        }
        let Some(number) = number else { return Ok(()) };
        if text.starts_with("write(") || text.starts_with("pwrite64(") {
            let wanted = strings(text).next().map_or(0, |bytes| bytes.len());
            if result.parse() != Ok(wanted) {
                return Err(format!("a write of {wanted} bytes gave {result}"));
            }
        }
        self.steps.push(if result.starts_with('-') { Step::Fails(number) } else { Step::Ends(number) });
        Ok(())
    }

    fn advance(&mut self, arguments: &str, len: usize) -> Result<u64, String> {
        let file = descriptor(arguments).ok_or_else(|| format!("no descriptor: {}", short(arguments)))?;
        let position = self.positions.get_mut(&file).ok_or_else(|| format!("never opened: {file:?}"))?;
        let at = *position;
        *position += len as u64;
        Ok(at)
    }
}

/// The strings among a call's arguments.
fn strings(arguments: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    arguments.split('"').skip(1).step_by(2).map(unescape)
}

/// A descriptor and the path that strace gives for it.
fn descriptor(text: &str) -> Option<(u32, PathBuf)> {
    let (number, rest) = text.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    Some((number.trim().parse().ok()?, path_of(unescape(path))))
}

/// The nth last argument, counted from 1, before the closing parenthesis.
fn number(arguments: &str, from_end: usize) -> Result<u64, String> {
    let list = arguments.rsplit_once(')').map_or(arguments, |(list, _)| list);
    let found = list.trim_end().trim_end_matches(',').rsplit(", ").nth(from_end - 1);
    found.and_then(|n| n.trim().parse().ok()).ok_or_else(|| format!("no number in {}", short(list)))
}

fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).filter_map(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok()).collect()
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

/// The beginning of a line that may be megabytes long.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
