//! Checking a trail by its files alone, also while another process writes to it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    chain::{Before, Break, Chain},
    files::{self, Lines, Part, Piece},
    line::{Head, Line, Published, Start},
};

/// How often, and at which interval, an unfinished last line is read again: another process may be writing it.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a trail is checked against, beside itself.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Heads that were given out. Each must be in the trail.
    pub heads: Vec<Published>,
    /// How the trail ended where the lines before the first one are kept; `None` where it begins here.
    pub after: Option<Published>,
}

/// A trail whose chain is unbroken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many entries were read.
    pub entries: u64,
    /// The last one.
    pub head: Head,
    /// The numbers at which an operator has begun the trail anew. What was lost before each is not here to be
    /// checked.
    pub restarts: Vec<u64>,
}

/// Why a trail is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is no file of a trail.
    #[error("{}: there is no audit trail in this folder", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// The first place at which the trail is broken.
    #[error("{}:{line}: {broken}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line in it, counted from 1.
        line: u64,
        /// What is wrong.
        broken: Break,
    },
}

/// Checks every line of the trail in this folder, in constant memory. Lines that are added meanwhile are checked
/// too, until the end is reached.
///
/// # Errors
/// [`CheckError`], with the first place that is wrong.
pub fn check(folder: &Path, options: &CheckOptions) -> Result<Checked, CheckError> {
    let mut checking = Checking {
        chain: Chain::new(options.after.map_or(Before::Nothing, Before::This)),
        published: Heads::of(&options.heads),
        entries: 0,
        restarts: Vec::new(),
        place: None,
    };
    let mut next = part_behind(folder, None)?;
    while let Some(part) = next {
        next = checking.file(&part, folder)?;
    }
    checking.end(folder)
}

/// The first file, or the next one behind that with this number. The folder is looked at each time, because
/// another file may have been begun meanwhile.
fn part_behind(folder: &Path, first: Option<u64>) -> Result<Option<Part>, CheckError> {
    let parts = files::parts(folder).map_err(unreadable(folder))?;
    Ok(parts.into_iter().find(|part| first.is_none_or(|first| part.first > first)))
}

struct Checking {
    chain: Chain,
    published: Heads,
    entries: u64,
    restarts: Vec<u64>,
    /// The last line that was read.
    place: Option<(PathBuf, u64)>,
}

impl Checking {
    /// Checks a file, and returns the one that comes next.
    fn file(&mut self, part: &Part, folder: &Path) -> Result<Option<Part>, CheckError> {
        let broken = |line, broken| CheckError::Broken { path: part.path.clone(), line, broken };
        let mut lines = Lines::open(&part.path).map_err(unreadable(&part.path))?;
        let mut later = part_behind(folder, Some(part.first))?;
        let mut looks = 0;
        loop {
            let number = lines.count + 1;
            match lines.next().map_err(unreadable(&part.path))? {
                Piece::Line(bytes) => {
                    let line = Line::read(&bytes).map_err(|fault| broken(number, fault.into()))?;
                    let first = (number == 1).then_some(part.first);
                    self.line(&line, first).map_err(|fault| broken(number, fault))?;
                    self.place = Some((part.path.clone(), number));
                    looks = 0;
                }
                Piece::TooLong => return Err(broken(number, Break::TooLong)),
                // A file is finished before the next one is begun: what was read after that was seen is all of it.
                Piece::End if number > 1 && later.is_some() => return Ok(later),
                Piece::End if number > 1 => {
                    later = part_behind(folder, Some(part.first))?;
                    if later.is_none() {
                        return Ok(None);
                    }
                }
                // A line may be under way in the newest file, and be the first.
                unfinished @ (Piece::End | Piece::Torn(_)) => {
                    if later.is_some() || looks == LOOKS {
                        return Err(broken(number, fault(&unfinished)));
                    }
                    std::thread::sleep(LOOK_EVERY);
                    looks += 1;
                    later = part_behind(folder, Some(part.first))?;
                }
            }
        }
    }

    fn line(&mut self, line: &Line, first: Option<u64>) -> Result<(), Break> {
        self.chain.take(line, first)?;
        self.published.pass(&line.head)?;
        self.entries += 1;
        if line.start == Some(Start::Restarted) {
            self.restarts.push(line.head.n);
        }
        Ok(())
    }

    fn end(self, folder: &Path) -> Result<Checked, CheckError> {
        let (Some(head), Some((path, line))) = (self.chain.last(), self.place) else {
            return Err(CheckError::Nothing { folder: folder.to_owned() });
        };
        if let Some(published) = self.published.left() {
            return Err(CheckError::Broken { path, line, broken: Break::Shorter { last: head.n, published } });
        }
        Ok(Checked { entries: self.entries, head, restarts: self.restarts })
    }
}

fn fault(unfinished: &Piece) -> Break {
    match unfinished {
        Piece::Torn(bytes) => Break::Incomplete { bytes: *bytes },
        Piece::End | Piece::Line(_) | Piece::TooLong => Break::EmptyFile,
    }
}

/// Heads that were given out, and were not passed yet.
struct Heads(BTreeMap<u64, Vec<Published>>);

impl Heads {
    fn of(heads: &[Published]) -> Self {
        let mut by_number: BTreeMap<u64, Vec<Published>> = BTreeMap::new();
        for head in heads {
            by_number.entry(head.n).or_default().push(*head);
        }
        Self(by_number)
    }

    /// The trail goes by this line.
    fn pass(&mut self, head: &Head) -> Result<(), Break> {
        while let Some(entry) = self.0.first_entry()
            && *entry.key() <= head.n
        {
            let (n, published) = entry.remove_entry();
            if n < head.n {
                return Err(Break::Missing { n });
            }
            if published.iter().any(|published| published.hash != head.hash) {
                return Err(Break::Published { n });
            }
        }
        Ok(())
    }

    /// The greatest number that the trail has not reached.
    fn left(&self) -> Option<u64> {
        self.0.keys().next_back().copied()
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CheckError {
    let path = path.to_owned();
    move |source| CheckError::Io { path, source }
}
