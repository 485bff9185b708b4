//! The files of a trail: their names, their lines, and how bytes get to the disk.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::LINE_BYTES_MAX;

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";
const NUMBER_DIGITS: usize = 20;

/// How bytes get to the disk. Tests put one in that fails.
pub trait Disk: Send + Sync + 'static {
    /// Writes all of these bytes at the end of the file.
    ///
    /// # Errors
    /// What the operating system says; some of the bytes may be written all the same.
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was written to the file.
    ///
    /// # Errors
    /// What the operating system says; nobody knows then what is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// One file, by the number of its first line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Part {
    pub(super) fn new(folder: &Path, first: u64) -> Self {
        Self { first, path: folder.join(format!("{PREFIX}{first:0NUMBER_DIGITS$}{SUFFIX}")) }
    }
}

/// The files of a folder, in their order. What has another name is none of ours.
pub(super) fn parts(folder: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(first) = path.file_name().and_then(|name| number(name.to_str()?)) {
            parts.push(Part { first, path });
        }
    }
    parts.sort();
    Ok(parts)
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == NUMBER_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Makes the folder and its missing ancestors, for this user alone, with durable entries.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing: Vec<_> = folder.ancestors().take_while(|dir| !dir.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a file that must not be there yet.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file to go on behind its end.
pub(super) fn open_end(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// What a file holds next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line, without its end.
    Line(Vec<u8>),
    /// The beginning of a line that is too long.
    TooLong,
    /// So many bytes without an end of line, and then nothing more.
    Torn(usize),
    /// Nothing more.
    End,
}

/// The lines of a file, one at a time.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    partial: Vec<u8>,
    /// How many lines were read.
    pub(super) count: u64,
    /// Where the last of them ends.
    pub(super) offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(File::open(path)?), partial: Vec::new(), count: 0, offset: 0 })
    }

    /// The next line. After [`Piece::Torn`] and [`Piece::End`] it can be asked again: the file may have grown.
    pub(super) fn next(&mut self) -> io::Result<Piece> {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.partial.len());
        self.reader.by_ref().take(room as u64).read_until(b'\n', &mut self.partial)?;
        if self.partial.last() == Some(&b'\n') {
            self.count += 1;
            self.offset += self.partial.len() as u64;
            let mut line = std::mem::take(&mut self.partial);
            line.pop();
            return Ok(Piece::Line(line));
        }
        Ok(match self.partial.len() {
            0 => Piece::End,
            long if long > LINE_BYTES_MAX => Piece::TooLong,
            bytes => Piece::Torn(bytes),
        })
    }
}

/// The last line of a file, without its end and without the rest of the file being read; `None` where the file
/// doesn't end with a whole line.
pub(super) fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    // The line, and the end of the one before it.
    file.seek(SeekFrom::Start(len.saturating_sub(LINE_BYTES_MAX as u64 + 1)))?;
    let mut end = Vec::new();
    file.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut end)?;
    if end.pop() != Some(b'\n') {
        return Ok(None);
    }
    let begin = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(Some(end.split_off(begin)))
}
