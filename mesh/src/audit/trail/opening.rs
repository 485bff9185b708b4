//! Reading a trail before it is written to: what a crash may have left is put right, the rest is refused.

use std::{fs, path::Path, time::SystemTime};

use super::{OpenError, Opened, Options, Repair, Trail, begin, lock, unopened};
use crate::audit::{
    BATCH_MAX,
    chain::{Before, Break, Chain},
    files::{self, Lines, Part, Piece},
    line::{Head, Line, NOTHING, Record, Start},
};

pub(super) fn open(options: Options, known: Option<Head>, now: SystemTime) -> Result<Opened, OpenError> {
    let lock = lock(&options.folder)?;
    let mut parts = files::parts(&options.folder).map_err(unopened("list", &options.folder))?;
    let mut reading = read(&parts, known)?;
    match known {
        Some(known) if !reading.reached => {
            return Err(OpenError::Behind { known: known.n, found: reading.chain.last().map_or(0, |head| head.n) });
        }
        Some(_) | None => {}
    }
    // A file without a whole line was being begun; the one before it, if any, is then the newest.
    if let Some(newest) = parts.last()
        && reading.newest_len == 0
    {
        fs::remove_file(&newest.path).map_err(unopened("remove", &newest.path))?;
        files::sync_folder(&options.folder).map_err(unopened("sync", &options.folder))?;
        parts.pop();
        reading.newest_len = match parts.last() {
            Some(part) => fs::metadata(&part.path).map_err(unopened("look at", &part.path))?.len(),
            None => 0,
        };
    }
    let (head, path, file, len) = match (parts.last(), reading.chain.last()) {
        (Some(part), Some(head)) => {
            let file = files::open_end(&part.path).map_err(unopened("open", &part.path))?;
            file.set_len(reading.newest_len).map_err(unopened("cut back", &part.path))?;
            // A killed process can leave lines that are in the page cache and not on the disk.
            file.sync_all().map_err(unopened("sync", &part.path))?;
            files::sync_folder(&options.folder).map_err(unopened("sync", &options.folder))?;
            (head, part.path.clone(), file, reading.newest_len)
        }
        (Some(_) | None, None) | (None, Some(_)) => {
            let (line, head) = Record::begun(&options.owner, now)?.line(1, &NOTHING);
            let (path, file) = begin(&options, &line, &head)?;
            reading.ahead.push(head);
            (head, path, file, line.len() as u64)
        }
    };
    let trail = Trail { options, head, path, file, len, debris: Vec::new(), failed: false, _lock: lock };
    Ok(Opened { trail, ahead: reading.ahead, repaired: reading.repaired })
}

/// What reading has found.
struct Reading {
    chain: Chain,
    /// Whether the known head was found.
    reached: bool,
    ahead: Vec<Head>,
    repaired: Option<Repair>,
    /// Where the last whole line of the newest file ends.
    newest_len: u64,
}

fn read(parts: &[Part], known: Option<Head>) -> Result<Reading, OpenError> {
    let mut reading = Reading {
        chain: Chain::new(if known.is_some() { Before::Anything } else { Before::Nothing }),
        reached: false,
        ahead: Vec::new(),
        repaired: None,
        newest_len: 0,
    };
    let from = known.map_or(0, |known| parts.iter().rposition(|part| part.first <= known.n).unwrap_or(0));
    for pair in parts[..parts.len().min(from + 1)].windows(2) {
        join(&pair[0], &pair[1])?;
    }
    for (at, part) in parts.iter().enumerate().skip(from) {
        reading.file(part, known, at + 1 == parts.len())?;
    }
    Ok(reading)
}

impl Reading {
    fn file(&mut self, part: &Part, known: Option<Head>, newest: bool) -> Result<(), OpenError> {
        let mut lines = Lines::open(&part.path).map_err(unopened("open", &part.path))?;
        loop {
            let line = lines.count + 1;
            let end = lines.offset;
            let damaged = |broken: Break| OpenError::Damaged { path: part.path.clone(), line, broken };
            let torn = match lines.next().map_err(unopened("read", &part.path))? {
                Piece::End if lines.offset > 0 || newest => break,
                Piece::End => return Err(damaged(Break::EmptyFile)),
                Piece::Torn(bytes) => Break::Incomplete { bytes },
                Piece::TooLong => return Err(damaged(Break::TooLong)),
                Piece::Line(bytes) => match Line::read(&bytes) {
                    Ok(read) => {
                        self.line(&read, known, (line == 1).then_some(part.first), damaged)?;
                        continue;
                    }
                    // No line holds a zero byte. These were never written: the file grew before its content came.
                    Err(fault) if bytes.contains(&0) => fault.into(),
                    Err(fault) => return Err(damaged(fault.into())),
                },
            };
            // Only what stands behind the known head can have been under way.
            let may_be_unfinished = newest && known.is_none_or(|_| self.reached);
            if !may_be_unfinished {
                return Err(self.cut_short(known, torn).unwrap_or_else(|| damaged(torn)));
            }
            let size = fs::metadata(&part.path).map_err(unopened("look at", &part.path))?.len();
            self.repaired = Some(Repair { path: part.path.clone(), line, bytes: size.saturating_sub(end) });
            self.newest_len = end;
            return Ok(());
        }
        self.newest_len = lines.offset;
        Ok(())
    }

    /// A file that ends in the middle of the known line, or of one before it, was cut.
    fn cut_short(&self, known: Option<Head>, torn: Break) -> Option<OpenError> {
        let found = self.chain.last().map_or(0, |head| head.n);
        let is_cut = matches!(torn, Break::Incomplete { .. });
        known.filter(|_| is_cut).map(|known| OpenError::Behind { known: known.n, found })
    }

    fn line(
        &mut self,
        line: &Line,
        known: Option<Head>,
        file: Option<u64>,
        damaged: impl FnOnce(Break) -> OpenError,
    ) -> Result<(), OpenError> {
        self.chain.take(line, file).map_err(damaged)?;
        let n = line.head.n;
        match known {
            Some(known) if n < known.n => return Ok(()),
            Some(known) if n == known.n => {
                self.reached = line.head == known;
                return if self.reached { Ok(()) } else { Err(OpenError::Other { n }) };
            }
            Some(known) if !self.reached => return Err(OpenError::Missing { known: known.n, found: n }),
            Some(_) | None => {}
        }
        self.ahead.push(line.head);
        // A restart that nobody has noted must be made again; the first line of all is nobody's yet.
        let unknown = match known {
            Some(_) => line.start.is_some(),
            None => n > 1 || line.start != Some(Start::Begun),
        };
        if unknown || self.ahead.len() > BATCH_MAX {
            return Err(OpenError::Ahead { known: known.map_or(0, |known| known.n), found: n });
        }
        Ok(())
    }
}

/// Whether a file goes on where the one before it ends, by its first and their last line.
fn join(before: &Part, after: &Part) -> Result<(), OpenError> {
    let damaged = |path: &Path, line, broken| OpenError::Damaged { path: path.to_owned(), line, broken };
    let mut lines = Lines::open(&after.path).map_err(unopened("open", &after.path))?;
    let first = match lines.next().map_err(unopened("read", &after.path))? {
        Piece::Line(bytes) => Line::read(&bytes).map_err(Break::Line),
        Piece::TooLong => Err(Break::TooLong),
        Piece::Torn(bytes) => Err(Break::Incomplete { bytes }),
        Piece::End => Err(Break::EmptyFile),
    };
    let first = first.map_err(|broken| damaged(&after.path, 1, broken))?;
    // Where an operator has begun anew, what stands before may be damaged.
    if first.start == Some(Start::Restarted) {
        return Ok(());
    }
    let last = files::last_line(&before.path).map_err(unopened("read", &before.path))?;
    let last = last.ok_or(Break::Incomplete { bytes: 0 }).and_then(|bytes| Ok(Line::read(&bytes)?));
    match last {
        Ok(last) => {
            let taken = Chain::behind(last.head).take(&first, Some(after.first));
            taken.map_err(|broken| damaged(&after.path, 1, broken))
        }
        Err(broken) => {
            let lines = count(&before.path).map_err(unopened("read", &before.path))?;
            Err(damaged(&before.path, lines, broken))
        }
    }
}

/// How many lines a file has, an unfinished one included.
fn count(path: &Path) -> std::io::Result<u64> {
    let mut lines = Lines::open(path)?;
    loop {
        match lines.next()? {
            Piece::Line(_) => {}
            Piece::Torn(_) | Piece::TooLong => return Ok(lines.count + 1),
            Piece::End => return Ok(lines.count),
        }
    }
}
