//! A merchant's events, in the one order in which they were committed.

use mesh::store::{Event, Seq, Topic};
use prost::Message as _;
use proto::{authorization::SIGNED_NOTE_BYTES_MAX, fields::Invalid, ids::MerchantId, pb, signed::Signed};

use super::{Orders, token};
use crate::{error::Error, records::EventMark, repository::Damaged};

/// How many events are read at once: at their largest 64 KiB, a fair share of a slow reader's memory.
const EVENTS_PAGE: usize = 64;

/// Some of a merchant's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events, each with the cursor that resumes after it.
    pub events: Vec<(String, Signed)>,
    /// Where the next page begins.
    pub next: Seq,
}

/// The topic that holds a merchant's events.
///
/// # Errors
/// [`Error::Inconsistent`] for an id that makes no topic, which none does.
pub fn merchant_topic(merchant: &MerchantId) -> Result<Topic, Error> {
    Topic::new(format!("merchant/{merchant}")).map_err(|_| Error::Inconsistent("a merchant's id makes no topic"))
}

impl Orders {
    /// The place of a cursor; the beginning for an empty one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that wasn't given to this merchant, or lies ahead of everything:
    /// reading on from there would silently skip events.
    pub fn place_of_cursor(&self, merchant: &MerchantId, cursor: &str) -> Result<Seq, Error> {
        if cursor.is_empty() {
            return Ok(Seq::START);
        }
        let place = token::read(token::Use::EventCursor, merchant, "cursor", cursor)?;
        let wrong = || Invalid::field("cursor", "lies ahead of every event that this service has");
        let place = Seq::new(u64::from_be_bytes(place.try_into().map_err(|_| wrong())?));
        let newest = *self.context.repository.store().watch().borrow();
        if place > newest { Err(wrong().into()) } else { Ok(place) }
    }

    /// A merchant's events after a place. Empty where there is none yet. The beginning is before the oldest
    /// event that is kept.
    ///
    /// # Errors
    /// [`Error::EventsRemoved`] where retention has removed events after this place, so that reading on would
    /// skip them; [`Error::Repository`].
    pub async fn events_after(&self, merchant: &MerchantId, after: Seq) -> Result<EventPage, Error> {
        let events = self.context.repository.events(&merchant_topic(merchant)?, after, EVENTS_PAGE).await?;
        // Read behind the events: what is removed between the two reads is noticed.
        let mark = self.context.repository.load::<EventMark>(&EventMark::key_of(merchant)).await?;
        if after != Seq::START && mark.is_some_and(|mark| mark.entity.removed_to > after) {
            return Err(Error::EventsRemoved);
        }
        let next = events.last().map_or(after, |event| event.seq);
        let read = |event: Event| {
            let signed = pb::Signed::decode(event.body).map_err(|_| Damaged("an event"))?;
            let signed = Signed::parse(signed, SIGNED_NOTE_BYTES_MAX).map_err(|_| Damaged("an event"))?;
            let cursor = token::write(token::Use::EventCursor, merchant, &event.seq.number().to_be_bytes());
            Ok((cursor, signed))
        };
        let events = events.into_iter().map(read).collect::<Result<_, Damaged>>()?;
        Ok(EventPage { events, next })
    }
}
