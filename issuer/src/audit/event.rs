//! An entry on its way from the store to the trail.

use std::time::UNIX_EPOCH;

use mesh::audit::Record;
use proto::digest::Digest;

use crate::records::time_of;

/// The act of a line whose entry can't be read.
const UNREADABLE: &str = "entry_unreadable";

/// What is stored of an entry until it is in the trail: the fields as they will stand there, so that a build
/// with other acts or fields carries it on unchanged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Event {
    /// When it was done, in milliseconds since 1970.
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    /// The fields, in the order in which they were set.
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl Event {
    pub(super) fn new(at_ms: u64) -> Self {
        Self { at_ms, fields: Vec::new() }
    }

    /// Sets a field; a second value replaces the first, where it stands.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.value = value,
            None => self.fields.push(Field { name: name.to_owned(), value }),
        }
        self
    }

    /// What the trail will hold of an event of the store. An event that can't be read must not keep all the
    /// later ones from the trail: it gets a line that says so, with the digest of what is there.
    pub(super) fn read(event: &mesh::store::Event) -> Record {
        let seq = event.seq.number();
        let stored = <Self as prost::Message>::decode(event.body.clone()).ok().and_then(|stored| {
            let fields = stored.fields.into_iter().map(|field| (field.name, field.value));
            Record::new(seq, time_of(stored.at_ms), fields).ok()
        });
        stored.unwrap_or_else(|| {
            tracing::error!(seq, "an entry that waited for the audit trail can't be read; the trail says so");
            unreadable(seq, &event.body)
        })
    }
}

/// When it was, only the entry itself would say. The same event always makes the same line.
fn unreadable(seq: u64, body: &[u8]) -> Record {
    let fields =
        [("act", UNREADABLE.to_owned()), ("actor", "issuer".to_owned()), ("evidence", Digest::of(body).to_string())];
    Record::new(seq, UNIX_EPOCH, fields.map(|(name, value)| (name.to_owned(), value)))
        .expect("invariant: three short fields of different names are an entry")
}
