//! Which browser opened an order's page first, and the secret of the tokens that say so.

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::{digest::Digest, ids::OrderId};

use crate::repository::{Damaged, Entity};

/// The browser that opened the page of an order first. It is kept only where the device is checked, and never
/// changed: whoever comes second finds it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageBrowser {
    /// The order.
    pub order: OrderId,
    /// The digest of what the browser holds in its cookie.
    pub cookie: Digest,
}

impl Entity for PageBrowser {
    const KIND: Kind = Kind::new("page-browser");

    fn key(&self) -> Vec<u8> {
        self.order.as_str().into()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    fn to_bytes(&self) -> Vec<u8> {
        Body { bytes: self.cookie.to_bytes() }.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let damaged = || Damaged("the browser of an order's page");
        let body = Body::decode(bytes).map_err(|_| damaged())?;
        let order = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
        let digest: [u8; 32] = body.bytes.as_ref().try_into().map_err(|_| damaged())?;
        Ok(Self { order, cookie: Digest::from_bytes(digest) })
    }
}

/// The secret of the device checks' tokens, encrypted, in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// As the vault has encrypted it.
    pub encrypted: Bytes,
}

impl DeviceKey {
    /// The key of the one record.
    pub const KEY: &'static [u8] = b"secret";
}

impl Entity for DeviceKey {
    const KIND: Kind = Kind::new("device-key");

    fn key(&self) -> Vec<u8> {
        Self::KEY.into()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    fn to_bytes(&self) -> Vec<u8> {
        Body { bytes: self.encrypted.clone() }.encode_to_vec()
    }

    fn from_bytes(_key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("the secret of the device checks"))?;
        Ok(Self { encrypted: body.bytes })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}
