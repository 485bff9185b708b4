//! Writing the log where it may be closed, full or not read.
//!
//! A server goes on without its log: a disk that is full, a pipe whose reader has gone and one whose reader
//! has stopped cost it log lines and nothing else. So a line is written only if that doesn't block, its
//! failure is nobody's error, and what was lost is counted and said as soon as there is somebody to say
//! it to. There is no queue in between, which a crash would take along with the lines that explain it.

use crate::config::LogFormat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr, write};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// What a pipe that isn't full takes without blocking (pipe(7), PIPE_BUF on Linux).
const PIECE_BYTES: usize = 4_096;

/// Don't wait.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// An output whose writes never block and never fail.
#[derive(Debug)]
pub(super) struct Output<F> {
    file: F,
    format: LogFormat,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lost: u64,
    /// Whether the last line was begun and not finished.
    is_torn: bool,
}

impl<F: AsFd> Output<F> {
    pub(super) fn new(file: F, format: LogFormat) -> Self {
        Self { file, format, state: Mutex::default() }
    }

    /// Writes one line with its end, or counts it as lost.
    fn line(&self, line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lost > 0 {
            let note = note(self.format, state.lost);
            if self.put(&mut state, note.as_bytes()).is_err() {
                state.lost += 1;
                return;
            }
            state.lost = 0;
        }
        if self.put(&mut state, line).is_err() {
            state.lost += 1;
        }
    }

    fn put(&self, state: &mut State, line: &[u8]) -> Result<(), Errno> {
        if state.is_torn {
            self.put_all(b"\n").1?;
            state.is_torn = false;
        }
        let (count, outcome) = self.put_all(line);
        state.is_torn = count > 0 && outcome.is_err();
        outcome
    }

    /// How many bytes were written, and what kept the others from it.
    fn put_all(&self, bytes: &[u8]) -> (usize, Result<(), Errno>) {
        let mut written = 0;
        while written < bytes.len() {
            let piece = &bytes[written..bytes.len().min(written + PIECE_BYTES)];
            // Only this holds the lock, so that what was there a moment ago is still there.
            match self.takes_more().and_then(|()| retry_on_intr(|| write(&self.file, piece))) {
                Ok(0) => return (written, Err(Errno::IO)),
                Ok(count) => written += count,
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn takes_more(&self) -> Result<(), Errno> {
        let mut looked_at = [PollFd::new(&self.file, PollFlags::OUT)];
        retry_on_intr(|| poll(&mut looked_at, Some(&AT_ONCE)))?;
        let [found] = looked_at;
        if found.revents().contains(PollFlags::OUT) { Ok(()) } else { Err(Errno::AGAIN) }
    }
}

impl<F: AsFd> io::Write for &Output<F> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn note(format: LogFormat, lines: u64) -> String {
    match format {
        LogFormat::Human => format!(" WARN mesh::telemetry: lines of the log were lost lines={lines}\n"),
        LogFormat::Json => {
            format!(
                "{{\"level\":\"WARN\",\"message\":\"lines of the log were lost\",\"lines\":{lines},\
                 \"target\":\"mesh::telemetry\"}}\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    #[test]
    fn a_full_pipe_costs_lines_and_no_time_and_says_so_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = Output::new(&writer, LogFormat::Human);
        let line = format!("{}\n", "x".repeat(99));
        // Ten times what a pipe holds. A write that blocked would end this test by never ending it.
        (0..6_553).for_each(|_| output.line(line.as_bytes()));
        let lost = output.state.lock().unwrap().lost;
        assert!((5_000..6_553).contains(&lost), "{lost}");
        let mut taken = vec![0; 32 * 1024];
        reader.read_exact(&mut taken).unwrap();
        output.line(b"there again\n");
        drop(writer);
        let mut text = String::from_utf8(taken).unwrap();
        reader.read_to_string(&mut text).unwrap();
        let mut lines = text.lines().rev();
        assert_eq!(lines.next(), Some("there again"));
        let note = lines.next().unwrap();
        assert!(note.contains(&format!("lines={lost}")), "{note}");
        assert!(lines.filter(|line| line.len() == 99).count() > 300);
    }

    #[test]
    fn a_line_longer_than_a_piece_arrives_whole() {
        let (mut reader, writer) = io::pipe().unwrap();
        Output::new(&writer, LogFormat::Json).line(&[b'y'; 3 * PIECE_BYTES + 1]);
        drop(writer);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [b'y'; 3 * PIECE_BYTES + 1]);
    }

    #[test]
    fn a_reader_that_has_gone_and_a_disk_that_is_full_are_no_errors() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let closed = Output::new(writer, LogFormat::Json);
        closed.line(b"a\n");
        closed.line(b"b\n");
        assert_eq!(closed.state.lock().unwrap().lost, 2);
        let full = Output::new(File::options().write(true).open("/dev/full").unwrap(), LogFormat::Json);
        full.line(b"a\n");
        assert_eq!(full.state.lock().unwrap().lost, 1);
    }

    #[test]
    fn the_note_is_in_the_logs_form() {
        let json: serde_json::Value = serde_json::from_str(&note(LogFormat::Json, 7)).unwrap();
        assert_eq!(json["lines"], 7);
    }
}
