//! The lines of an order, which its signed bytes name by their digest alone.

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::{ids::OrderId, order::OrderLine, pb};

use crate::repository::{Damaged, Entity};

/// The lines of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The order.
    pub order: OrderId,
    /// Its lines.
    pub lines: Vec<OrderLine>,
}

impl Entity for Lines {
    const KIND: Kind = Kind::new("order-lines");

    fn key(&self) -> Vec<u8> {
        self.order.as_str().into()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    fn to_bytes(&self) -> Vec<u8> {
        Body { lines: self.lines.iter().map(OrderLine::to_pb).collect() }.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("an order's lines"))?;
        let order = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
        let lines: Result<Vec<OrderLine>, _> = body.lines.into_iter().map(OrderLine::parse).collect();
        Ok(Self {
            order: order.ok_or(Damaged("the key of an order's lines"))?,
            lines: lines.map_err(|_| Damaged("an order's lines"))?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(message, repeated, tag = "1")]
    lines: Vec<pb::OrderLine>,
}
