//! Whether one line may stand behind another.

use proto::digest::Digest;

use super::line::{Head, Line, LineFault, NOTHING, Published, Start};

/// What is wrong at one place of a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The line by itself.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// The line is longer than any line is.
    #[error("the line is longer than {} bytes", super::LINE_BYTES_MAX)]
    TooLong,
    /// The file ends in the middle of a line.
    #[error("the line is incomplete: the file ends after {bytes} bytes of it")]
    Incomplete {
        /// What is there of it.
        bytes: usize,
    },
    /// The file has no line.
    #[error("the file is empty")]
    EmptyFile,
    /// The first line of a file has another number than the file's name.
    #[error("the file begins with n={found}, which is not the number in its name")]
    Name {
        /// The number.
        found: u64,
    },
    /// A number was left out, or comes again.
    #[error("n={found} stands where n={expected} must follow")]
    Number {
        /// The number that must follow.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// The line doesn't follow the one before it.
    #[error("prev of n={n} is not the hash of the line before")]
    Prev {
        /// The line's number.
        n: u64,
    },
    /// The sequence does not grow.
    #[error("the sequence of n={n} is not above that of the line before")]
    Seq {
        /// The line's number.
        n: u64,
    },
    /// A line that begins a trail stands where none may begin.
    #[error("n={n} begins a trail anew where the trail must go on")]
    Beginning {
        /// The line's number.
        n: u64,
    },
    /// The first lines are not there.
    #[error("the trail begins with n={n}; say with --after how it ended where the lines before are kept")]
    Late {
        /// The first number that is there.
        n: u64,
    },
    /// A line has another hash than the one that was given out.
    #[error("n={n} has another hash than the head that was published")]
    Published {
        /// The line's number.
        n: u64,
    },
    /// A line whose hash was given out is not there.
    #[error("n={n}, whose head was published, is not in the trail")]
    Missing {
        /// The line's number.
        n: u64,
    },
    /// The trail ends before a line whose hash was given out.
    #[error("the trail ends with n={last}, shorter than the published head n={published}")]
    Shorter {
        /// The last line's number.
        last: u64,
        /// The number that was given out.
        published: u64,
    },
}

/// What the first line of a folder must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: the trail must begin here.
    Nothing,
    /// This line, which is kept elsewhere.
    This(Published),
    /// It is not known.
    Anything,
}

/// A trail as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    before: Before,
    last: Option<Head>,
}

impl Chain {
    pub(super) fn new(before: Before) -> Self {
        Self { before, last: None }
    }

    /// A trail whose last line is known.
    pub(super) fn behind(last: Head) -> Self {
        Self { before: Before::Anything, last: Some(last) }
    }

    pub(super) fn last(&self) -> Option<Head> {
        self.last
    }

    /// Takes the next line. `file` is the number in the file's name where the line is the first of its file.
    pub(super) fn take(&mut self, line: &Line, file: Option<u64>) -> Result<(), Break> {
        let n = line.head.n;
        if file.is_some_and(|name| name != n) {
            return Err(Break::Name { found: n });
        }
        match (line.start, self.last) {
            (Some(start), last) => Self::begin(line, start, last, file.is_some())?,
            (None, Some(last)) => Self::follow(line, last.n, &last.hash, Some(last.seq))?,
            (None, None) => match self.before {
                Before::Nothing => return Err(Break::Late { n }),
                Before::This(published) => Self::follow(line, published.n, &published.hash, None)?,
                Before::Anything => {}
            },
        }
        self.last = Some(line.head);
        Ok(())
    }

    fn begin(line: &Line, start: Start, last: Option<Head>, first_of_file: bool) -> Result<(), Break> {
        let n = line.head.n;
        let fits = match start {
            Start::Begun => last.is_none() && n == 1,
            Start::Restarted => last.is_none_or(|last| n > last.n),
        };
        if !fits || !first_of_file {
            return Err(Break::Beginning { n });
        }
        if line.prev == NOTHING { Ok(()) } else { Err(Break::Prev { n }) }
    }

    fn follow(line: &Line, before: u64, hash: &Digest, seq: Option<u64>) -> Result<(), Break> {
        let n = line.head.n;
        if n != before + 1 {
            return Err(Break::Number { expected: before + 1, found: n });
        }
        if line.prev != *hash {
            return Err(Break::Prev { n });
        }
        if seq.is_some_and(|seq| line.head.seq <= seq) {
            return Err(Break::Seq { n });
        }
        Ok(())
    }
}
