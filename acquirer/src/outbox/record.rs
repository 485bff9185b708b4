//! One queued event as it is kept: its state, the index entries that follow from it, and what a try
//! makes of it. Pure: times and randomness come in as arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesh::store::{IndexEntry, RecordId};
use prost::Message;
use proto::{
    event::OrderEvent,
    ids::{MerchantId, OrderId},
    pb,
    signed::Signed,
    time,
};

use super::{DUE, HEADS, KIND, PARKED, PARKED_ORDERS, PARKED_SINCE};

/// The wait after the first failed try. A merchant that is restarting is back within seconds.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two tries: a merchant that repaired its server hears of everything within
/// an hour of it.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60 * 60);
/// How long an event is tried, from its first try. Three days let a shop survive a weekend.
pub const TRY_FOR: Duration = Duration::from_secs(72 * 60 * 60);
/// How much is kept of why a try failed: every reason that there is, and no end of a panic's.
const WHY_BYTES_MAX: usize = 200;

/// An event that its merchant has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The shop that it is for.
    pub merchant: MerchantId,
    /// The order that it is about.
    pub order: OrderId,
    /// Its position among the order's events.
    pub position: u32,
    /// The event, exactly as it was signed.
    pub event: pb::Signed,
    /// When it was tried first.
    pub first_try: Option<SystemTime>,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed; none before the first one.
    pub last_failure: Option<String>,
    /// Where it stands.
    pub state: State,
}

/// Where a delivery stands. A delivery that succeeded has no record any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is tried at `due`, after every earlier event of its order has left this state. Leads to
    /// the record's removal by a success, to a later `due` by a failure, and to `Parked`.
    Waiting {
        /// When.
        due: SystemTime,
    },
    /// It was tried for [`TRY_FOR`] in vain, and is not tried any more. The shop still finds the event by
    /// `WatchOrders`. Leads back to `Waiting` where an operator replays it.
    Parked {
        /// Since when.
        at: SystemTime,
    },
}

/// Stored bytes that are no delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox record is damaged: {0}")]
pub struct Damaged(&'static str);

impl Damaged {
    /// The event in it can't be read.
    pub(super) const EVENT: Self = Self("event");
}

impl Delivery {
    /// A new event's delivery, due at once.
    #[must_use]
    pub fn of(event: &OrderEvent, signed: &Signed) -> Self {
        Self {
            merchant: event.merchant.clone(),
            order: event.order.clone(),
            position: event.position,
            event: signed.to_pb(),
            first_try: None,
            tries: 0,
            last_failure: None,
            state: State::Waiting { due: event.occurred_at },
        }
    }

    /// The record that keeps it.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId::new(KIND, format!("{}.{}", self.order, self.position))
    }

    /// The entries that follow from its state.
    #[must_use]
    pub fn indexes(&self) -> Vec<IndexEntry> {
        match self.state {
            State::Waiting { due } => vec![
                IndexEntry::new(DUE, key(self.merchant.as_str().as_bytes(), due)),
                IndexEntry::new(HEADS, head_key(&self.order, self.position)),
            ],
            State::Parked { at } => vec![
                IndexEntry::new(PARKED, key(self.merchant.as_str().as_bytes(), at)),
                IndexEntry::new(PARKED_ORDERS, head_key(&self.order, self.position)),
                IndexEntry::new(PARKED_SINCE, time::unix_millis(at).to_be_bytes()),
            ],
        }
    }

    /// The body to store.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let state = match self.state {
            State::Waiting { due } => stored::State::DueMs(time::unix_millis(due)),
            State::Parked { at } => stored::State::ParkedMs(time::unix_millis(at)),
        };
        let stored = stored::Delivery {
            merchant_id: self.merchant.to_string(),
            order_id: self.order.to_string(),
            position: self.position,
            event: Some(self.event.clone()),
            first_try_ms: self.first_try.map(time::unix_millis),
            tries: self.tries,
            last_failure: self.last_failure.clone(),
            state: Some(state),
        };
        stored.encode_to_vec().into()
    }

    /// A stored body.
    ///
    /// # Errors
    /// [`Damaged`], which names the field.
    pub fn decode(body: Bytes) -> Result<Self, Damaged> {
        let stored = stored::Delivery::decode(body).map_err(|_| Damaged("not a message"))?;
        Ok(Self {
            merchant: stored.merchant_id.parse().map_err(|_| Damaged("merchant_id"))?,
            order: stored.order_id.parse().map_err(|_| Damaged("order_id"))?,
            position: stored.position,
            event: stored.event.ok_or(Damaged("event"))?,
            first_try: stored.first_try_ms.map(from_millis),
            tries: stored.tries,
            last_failure: stored.last_failure,
            state: match stored.state.ok_or(Damaged("state"))? {
                stored::State::DueMs(ms) => State::Waiting { due: from_millis(ms) },
                stored::State::ParkedMs(ms) => State::Parked { at: from_millis(ms) },
            },
        })
    }

    /// What a try that began at `began` and failed at `now` makes of it: a later try, or the end of
    /// trying. `jitter` is any number; it spreads out the tries of events that failed together. `why` is for
    /// people: its first 200 bytes are kept.
    #[must_use]
    pub fn failed(mut self, began: SystemTime, now: SystemTime, jitter: u16, why: &str) -> Self {
        // A first try that lies ahead was made before the clock was set back.
        let first_try = self.first_try.map_or(began, |first| first.min(began));
        self.first_try = Some(first_try);
        let end = first_try + TRY_FOR;
        let wait = back_off(self.tries, jitter);
        self.tries = self.tries.saturating_add(1);
        self.last_failure = Some(beginning(why));
        // The last try falls on the end itself, so that an event gets the whole of its time.
        self.state = if now >= end { State::Parked { at: now } } else { State::Waiting { due: (now + wait).min(end) } };
        self
    }

    /// What the end of its predecessor makes of it: it is due now. Where the predecessor was parked,
    /// it takes over that one's time: the shop has been silent for all of it, so the order's
    /// later events get one try each instead of three more days.
    #[must_use]
    pub fn promoted(mut self, now: SystemTime, parked: Option<&Delivery>) -> Self {
        if let Some(parked) = parked {
            self.first_try = parked.first_try;
        }
        self.state = match self.state {
            State::Waiting { due } => State::Waiting { due: due.min(now) },
            State::Parked { at } => State::Parked { at },
        };
        self
    }
}

impl Delivery {
    /// A parked delivery as a new one: it is due now, and gets the whole of its time once more.
    #[must_use]
    pub fn replayed(self, now: SystemTime) -> Self {
        Self { first_try: None, tries: 0, last_failure: None, state: State::Waiting { due: now }, ..self }
    }
}

/// The key in the index of due deliveries, and in that of parked ones: the merchant first, so that
/// one merchant's backlog is a range of its own that nobody else has to read past.
pub(super) fn key(merchant: &[u8], at: SystemTime) -> Vec<u8> {
    let mut key = merchant_start(merchant);
    key.extend_from_slice(&time::unix_millis(at).to_be_bytes());
    key
}

/// The first key behind those of this merchant and time.
pub(super) fn behind_due_key(merchant: &[u8], due: SystemTime) -> Vec<u8> {
    let mut key = key(merchant, due);
    key.push(0);
    key
}

/// Where a merchant's range begins. No member's id contains a zero byte.
pub(super) fn merchant_start(merchant: &[u8]) -> Vec<u8> {
    [merchant, &[0]].concat()
}

/// The first key behind a merchant's range.
pub(super) fn merchant_end(merchant: &[u8]) -> Vec<u8> {
    [merchant, &[1]].concat()
}

/// The merchant and the time in a due key; `None` for a key of another shape.
pub(super) fn split_due_key(key: &[u8]) -> Option<(&[u8], SystemTime)> {
    let (rest, due) = key.split_last_chunk::<8>()?;
    let merchant = rest.strip_suffix(&[0])?;
    Some((merchant, from_millis(u64::from_be_bytes(*due))))
}

fn head_key(order: &OrderId, position: u32) -> Vec<u8> {
    [order.as_str().as_bytes(), &position.to_be_bytes()].concat()
}

/// 1 s, 2 s, 4 s … 1 h, less up to a quarter of it.
fn back_off(tries_before: u32, jitter: u16) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(1_u32.checked_shl(tries_before).unwrap_or(u32::MAX));
    let full = doubled.min(BACK_OFF_MAX);
    full - full / 4 * u32::from(jitter) / u32::from(u16::MAX)
}

/// As many whole letters as fit into what is kept.
fn beginning(why: &str) -> String {
    let fits = |(at, letter): &(usize, char)| at + letter.len_utf8() <= WHY_BYTES_MAX;
    why.char_indices().take_while(fits).map(|(_, letter)| letter).collect()
}

fn from_millis(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// The bytes of the store. A tag is never used for anything else.
mod stored {
    use proto::pb;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Delivery {
        #[prost(string, tag = "1")]
        pub(super) merchant_id: String,
        #[prost(string, tag = "2")]
        pub(super) order_id: String,
        #[prost(uint32, tag = "3")]
        pub(super) position: u32,
        #[prost(message, optional, tag = "4")]
        pub(super) event: Option<pb::Signed>,
        #[prost(uint64, optional, tag = "5")]
        pub(super) first_try_ms: Option<u64>,
        #[prost(uint32, tag = "6")]
        pub(super) tries: u32,
        #[prost(oneof = "State", tags = "7, 8")]
        pub(super) state: Option<State>,
        #[prost(string, optional, tag = "9")]
        pub(super) last_failure: Option<String>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
    pub(super) enum State {
        #[prost(uint64, tag = "7")]
        DueMs(u64),
        #[prost(uint64, tag = "8")]
        ParkedMs(u64),
    }
}

#[cfg(test)]
mod tests;
