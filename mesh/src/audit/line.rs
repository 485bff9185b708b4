//! One line of a trail: how it is written, and how it is read back.

use std::{collections::BTreeMap, fmt, str::FromStr, time::SystemTime};

use proto::{digest::Digest, time::unix_millis};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use super::LINE_BYTES_MAX;

/// The fields of one entry at most.
const FIELDS_MAX: usize = 32;
/// Bytes of a field's name at most.
const NAME_BYTES_MAX: usize = 32;
/// Bytes of a field's value at most, before JSON escapes it. Ids, digests and reasons are far shorter.
const VALUE_BYTES_MAX: usize = 256;
/// The names that a line has anyway.
const RESERVED: [&str; 5] = ["n", "seq", "at", "prev", "hash"];
/// The last time that has four digits for its year, in milliseconds since 1970.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// The field that names the act.
const ACT: &str = "act";
/// Acts of the trail itself begin so; nobody else's may.
const OWN_ACTS: &str = "trail_";
/// The act of a trail's first line.
const BEGUN: &str = "trail_begun";
/// The act of the line with which an operator goes on after a loss.
const RESTARTED: &str = "trail_restarted";

/// What stands before and behind the hash.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const BEHIND_HASH: &[u8] = b"\"}";
const HASH_DIGITS: usize = 64;
const TAIL_BYTES: usize = BEFORE_HASH.len() + HASH_DIGITS + BEHIND_HASH.len();

/// The `prev` of a line that follows none.
pub(super) const NOTHING: Digest = Digest::from_bytes([0; 32]);

/// An entry that can be appended to a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    seq: u64,
    at: SystemTime,
    fields: Vec<(String, String)>,
}

/// Why an entry can't be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too many fields.
    #[error("an entry has at most {FIELDS_MAX} fields")]
    TooManyFields,
    /// A field's name is not of `a-z`, `0-9` and `_`, is too long, comes twice, or is one that every line has.
    #[error(
        "a field's name is 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _, comes once, and is none of n, seq, at, prev, hash"
    )]
    Name,
    /// A field's value is too long.
    #[error("a field's value has at most {VALUE_BYTES_MAX} bytes")]
    Value,
    /// The act is one of the trail's own.
    #[error("an act whose name begins with {OWN_ACTS} is the trail's own")]
    OwnAct,
}

impl Record {
    /// An entry with this place in the order of the store's events, of this time (cut to milliseconds), with
    /// these fields in this order.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn new(
        seq: u64,
        at: SystemTime,
        fields: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, RecordError> {
        let record = Self { seq, at, fields: fields.into_iter().collect() };
        record.check()?;
        match record.fields.iter().any(|(name, value)| name == ACT && value.starts_with(OWN_ACTS)) {
            true => Err(RecordError::OwnAct),
            false => Ok(record),
        }
    }

    /// The entry's place in the order of the store's events.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The line that begins a trail.
    pub(super) fn begun(owner: &str, at: SystemTime) -> Result<Self, RecordError> {
        Self::own(0, at, BEGUN, vec![("owner", owner.to_owned())])
    }

    /// The line that begins a trail anew after a loss; `after` is the head that was known before.
    pub(super) fn restarted(
        owner: &str,
        because: &str,
        after: Option<Head>,
        at: SystemTime,
    ) -> Result<Self, RecordError> {
        let after_n = after.map_or(0, |head| head.n);
        let after_hash = after.map_or(NOTHING, |head| head.hash);
        let fields = vec![
            ("actor", "operator".to_owned()),
            ("owner", owner.to_owned()),
            ("after_n", after_n.to_string()),
            ("after_hash", after_hash.to_string()),
            ("because", because.to_owned()),
        ];
        Self::own(after.map_or(0, |head| head.seq), at, RESTARTED, fields)
    }

    fn own(seq: u64, at: SystemTime, act: &str, fields: Vec<(&str, String)>) -> Result<Self, RecordError> {
        let act = [(ACT, act.to_owned())].into_iter();
        let fields = act.chain(fields).map(|(name, value)| (name.to_owned(), value)).collect();
        let record = Self { seq, at, fields };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), RecordError> {
        if self.fields.len() > FIELDS_MAX {
            return Err(RecordError::TooManyFields);
        }
        for (at, (name, value)) in self.fields.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
            let twice = self.fields[..at].iter().any(|(earlier, _)| earlier == name);
            if !fits || twice || RESERVED.contains(&name.as_str()) {
                return Err(RecordError::Name);
            }
            if value.len() > VALUE_BYTES_MAX {
                return Err(RecordError::Value);
            }
        }
        Ok(())
    }

    /// The line of this entry behind `prev`, with its end, and the head that the trail has then.
    pub(super) fn line(&self, n: u64, prev: &Digest) -> (String, Head) {
        let mut line = format!("{{\"n\":{n},\"seq\":{},\"at\":{}", self.seq, quoted(&timestamp(self.at)));
        for (name, value) in &self.fields {
            line.push_str(&format!(",\"{name}\":{}", quoted(value)));
        }
        line.push_str(&format!(",\"prev\":\"{prev}\""));
        let hash = Digest::of(line.as_bytes());
        line.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
        debug_assert!(line.len() <= LINE_BYTES_MAX, "the limits of the fields keep a line below its own");
        (line, Head { n, seq: self.seq, hash })
    }

    /// The head that a trail has once this entry stands behind `before`.
    #[must_use]
    pub fn head_after(&self, before: &Head) -> Head {
        self.line(before.n + 1, &before.hash).1
    }
}

/// Where a trail has come to: its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The line's number; the first has 1.
    pub n: u64,
    /// The entry's place in the order of the store's events.
    pub seq: u64,
    /// The line's hash.
    pub hash: Digest,
}

/// The number and hash of one line, as they are given out: `<n>:<64 hexadecimal digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The line's number.
    pub n: u64,
    /// The line's hash.
    pub hash: Digest,
}

/// A text that is no published head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the number of an entry, a colon, and its hash in 64 hexadecimal digits")]
pub struct NotAHead;

impl FromStr for Published {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (n, hash) = text.split_once(':').ok_or(NotAHead)?;
        let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        match (digits.then(|| n.parse()), digest(&hash.to_ascii_lowercase())) {
            (Some(Ok(n)), Some(hash)) if n > 0 => Ok(Self { n, hash }),
            _ => Err(NotAHead),
        }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

/// A line that was read, and whose hash is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) head: Head,
    pub(super) prev: Digest,
    pub(super) start: Option<Start>,
}

/// A line that begins something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Begun,
    Restarted,
}

/// What is wrong with a line by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It doesn't end as every line does.
    #[error("the line does not end with its hash")]
    NoHash,
    /// Its bytes are not those that were hashed.
    #[error("the hash differs from the line's content")]
    HashDiffers,
    /// It is no JSON object with the fields that every line has.
    #[error("the line is not readable")]
    Unreadable,
}

impl Line {
    /// Reads a line, without its end.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LineFault> {
        let (content, tail) = bytes.split_at(bytes.len().checked_sub(TAIL_BYTES).ok_or(LineFault::NoHash)?);
        let digits = tail.strip_prefix(BEFORE_HASH).and_then(|tail| tail.strip_suffix(BEHIND_HASH));
        let hash = digits.and_then(|digits| digest(std::str::from_utf8(digits).ok()?)).ok_or(LineFault::NoHash)?;
        if Digest::of(content) != hash {
            return Err(LineFault::HashDiffers);
        }
        let fields: Fields = serde_json::from_slice(bytes).map_err(|_| LineFault::Unreadable)?;
        let prev = digest(&fields.prev).ok_or(LineFault::Unreadable)?;
        if fields.n == 0 || OffsetDateTime::parse(&fields.at, &Rfc3339).is_err() {
            return Err(LineFault::Unreadable);
        }
        let start = match fields.more.get(ACT).map(String::as_str) {
            Some(BEGUN) => Some(Start::Begun),
            Some(RESTARTED) => Some(Start::Restarted),
            Some(_) | None => None,
        };
        Ok(Self { head: Head { n: fields.n, seq: fields.seq, hash }, prev, start })
    }
}

#[derive(Deserialize)]
struct Fields {
    n: u64,
    seq: u64,
    at: String,
    prev: String,
    #[serde(flatten)]
    more: BTreeMap<String, String>,
}

/// A digest in lower-case digits, which are the only ones that a trail has.
fn digest(text: &str) -> Option<Digest> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A time in UTC with milliseconds. Times behind the year 9999 become its last millisecond.
fn timestamp(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let nanos = i128::from(unix_millis(at).min(LAST_MILLIS)) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&format).expect("invariant: a time with four digits for its year has all that the format asks for")
}
