//! An append-only, hash-chained trail of entries, in files of JSON lines.
//!
//! A trail is a folder of files `audit-<number of the first line, 20 digits>.jsonl`. A line is one JSON
//! object, then a line feed:
//!
//! ```json
//! {"n":2,"seq":17,"at":"2026-11-24T10:00:00.000Z","act":"session_ended",…,"prev":"<64 digits>","hash":"…"}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `n` | the line's number: 1, 2, 3, … through all files |
//! | `seq` | the entry's place in the order of the store's events; it grows from line to line |
//! | `at` | when it was done: UTC, RFC 3339, always with three digits of milliseconds |
//! | others | the entry's own, strings all of them, in the order in which they were set |
//! | `prev` | the `hash` of the line before; 64 zeroes where a trail begins |
//! | `hash` | SHA-256, in lower-case hexadecimal |
//!
//! **What is hashed** are the very bytes of the line from its `{` up to the `"` that ends the value of
//! `prev`: everything before `,"hash":"`. Nothing is parsed and written again, so that no two readers can
//! differ, and no byte of a line is outside: behind the hash there are only `"}` and the line feed. Tools
//! that are everywhere recompute it:
//!
//! ```sh
//! sed -n 2p FILE | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum
//! ```
//!
//! **What the chain proves.** A line that is changed, removed, put in or moved breaks it there, which
//! [`check()`] names. Whoever can write the files can also write all of them anew; therefore heads, each the
//! number and hash of the last line, are given out at intervals to where that hand does not reach, and
//! [`check()`] compares. Entries behind the last published head can be cut off unnoticed by the files alone;
//! the process's store knows better, and [`Trail::open`] compares with that.
//!
//! **Files** are begun when the one before is full, and the chain goes on into the next one. Old files may be
//! moved away, oldest first, but for the newest two; [`check()`] then wants the last head of what was moved.
//!
//! **After a loss** an operator goes on with [`restart()`]: a new file whose first line has the act
//! `trail_restarted`, no `prev`, and a number above all that were known. What is damaged stays as it is.

mod chain;
mod check;
mod files;
mod line;
mod restart;
mod trail;

pub use chain::Break;
pub use check::{CheckError, CheckOptions, Checked, check};
pub use files::{Disk, LocalDisk};
pub use line::{Head, LineFault, NotAHead, Published, Record, RecordError};
pub use restart::restart;
pub use trail::{AppendError, OpenError, Opened, Options, Repair, Trail};

/// Entries that are appended at once, and made durable by one sync. It is also how far the files may be ahead of
/// what is known of them after a crash.
pub const BATCH_MAX: usize = 64;

/// The longest line, with its end. Limits of an entry's fields keep it far below.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
