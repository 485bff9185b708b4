//! Going on after a loss, by an operator's decision.

use std::{io, time::SystemTime};

use super::{
    files::{self, Lines, Piece},
    line::{Head, NOTHING, Record},
    trail::{self, OpenError, Options},
};

/// Begins the trail anew in a file of its own, whose first line says so and why, and returns that line's head.
/// Nothing that is there is changed: it is what is left of the evidence.
///
/// `known` is the head that is known to have been written; the line repeats its number and hash. The new
/// line's number is above that one and above all in the files, so that no number stands for two entries.
///
/// # Errors
/// [`OpenError::Locked`], [`OpenError::Io`], [`OpenError::Record`].
pub fn restart(options: &Options, known: Option<Head>, because: &str, now: SystemTime) -> Result<Head, OpenError> {
    let _lock = trail::lock(options.folder())?;
    let n = next(options).map_err(trail::unopened("read", options.folder()))?;
    let n = n.max(known.map_or(0, |known| known.n) + 1);
    let (line, head) = Record::restarted(options.owner(), because, known, now)?.line(n, &NOTHING);
    trail::begin(options, &line, &head)?;
    Ok(head)
}

/// A number above all in the files. The lines of the newest one are counted, whatever is in them.
fn next(options: &Options) -> io::Result<u64> {
    let parts = files::parts(options.folder())?;
    let Some(newest) = parts.last() else { return Ok(1) };
    let mut lines = Lines::open(&newest.path)?;
    let unfinished = loop {
        match lines.next()? {
            Piece::Line(_) => {}
            // Whatever comes behind it can't be told apart into lines, but each takes more bytes than one.
            Piece::TooLong => break std::fs::metadata(&newest.path)?.len(),
            Piece::Torn(_) => break 1,
            Piece::End => break 0,
        }
    };
    // At least one more than the name says, which is taken even where the file is empty.
    Ok(newest.first.saturating_add(lines.count.saturating_add(unfinished).max(1)))
}
