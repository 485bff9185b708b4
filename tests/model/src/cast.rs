//! Who and what takes part: the ids, the order, the card and the moments, in the domain's own types.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::issuer::domain::charge::{Schedule, Sent};
use bytes::Bytes;
use proto::{
    authorization::ApprovalCode,
    card::{CardData, Expiry},
    digest::Digest,
    ids::{AcquirerId, AuthorizationId, IssuerId, KeyId},
    money::Money,
    order::{CategoryCode, Merchant, Order, SignedOrder},
    signed::Signed,
};

/// How many authorization ids there are: one for each charge, and those that only a mistake makes.
pub const AUTHORIZATIONS: usize = 4;
/// How many charges there are at most.
pub const CHARGES: usize = 4;
/// How many banks there are at most.
pub const ISSUERS: usize = 2;
/// How many times the order's amount the credit line of an account holds: enough to pay twice.
const ORDERS_IN_A_LINE: u32 = 2;
/// An order's life.
const ORDER_LIFE: Duration = Duration::from_secs(15 * 60);
/// How old a request is when its charge is parked.
const PARK_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that never changes in the model.
#[derive(Debug)]
pub struct Cast {
    /// The acquirer.
    pub acquirer: AcquirerId,
    /// The banks.
    pub issuers: [IssuerId; ISSUERS],
    /// The authorizations' ids.
    pub authorizations: [AuthorizationId; AUTHORIZATIONS],
    /// What each bank has sent for an authorization: the digest of its request and when it was signed.
    pub sent: [Sent; AUTHORIZATIONS],
    /// The card network's code for each.
    pub codes: [ApprovalCode; AUTHORIZATIONS],
    /// The one order.
    pub order: SignedOrder,
    /// A card that is good.
    pub card: CardData,
    /// When a bank asks about an unknown charge.
    pub schedule: Schedule,
    /// How much an account may owe.
    pub line: Money,
    key: KeyId,
}

/// The cast, made once.
#[must_use]
pub fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| Cast::new().expect("invariant: the texts below are valid"))
}

/// When the order was made, every request signed and every result decided.
#[must_use]
pub fn made_at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The last moment at which the order can be paid.
#[must_use]
pub fn deadline() -> SystemTime {
    made_at() + ORDER_LIFE
}

/// The first moment at which it can't.
#[must_use]
pub fn past_deadline() -> SystemTime {
    deadline() + Duration::from_millis(1)
}

/// The moment from which a charge that is still unknown is parked.
#[must_use]
pub fn next_day() -> SystemTime {
    made_at() + PARK_AFTER
}

impl Cast {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let acquirer: AcquirerId = "acq-harbor".parse()?;
        let amount = Money::new("TWD".parse()?, 1_250)?;
        let key: KeyId = "0".repeat(32).parse()?;
        let order = Order {
            id: proto::ids::OrderId::from_random([1; 16]),
            acquirer: acquirer.clone(),
            merchant: Merchant {
                id: "shop-lantern".parse()?,
                display_name: "Lantern".to_owned(),
                domain: "lantern.example".to_owned(),
                category: "5812".parse::<CategoryCode>()?,
            },
            amount,
            lines_digest: Digest::of(b"lines"),
            created_at: made_at(),
            expires_at: deadline(),
            return_url: "https://lantern.example/back".parse()?,
            sealing_key: [1; 32],
            delivery_hint: String::new(),
            device_check_url: None,
        };
        // Signatures are not modelled: bytes that are compared and never verified stand for signed ones.
        let signed = Signed { body: Bytes::from_static(b"order"), key_id: key.clone(), signature: [1; 64] };
        let sent = |number: u8| Sent { request_digest: Digest::of(&[number]), signed_at: made_at() };
        Ok(Self {
            acquirer,
            issuers: ["bank-aurora".parse()?, "bank-borealis".parse()?],
            authorizations: [0, 1, 2, 3].map(|number| AuthorizationId::from_random([number; 16])),
            sent: [0, 1, 2, 3].map(sent),
            codes: ["A00000".parse()?, "A00001".parse()?, "A00002".parse()?, "A00003".parse()?],
            order: SignedOrder { digest: signed.digest(), signed, order },
            card: CardData { pan: "4000000012340016".parse()?, expiry: Expiry::new(2099, 12)?, cvv: None },
            schedule: Schedule {
                first: Duration::from_millis(200),
                max: Duration::from_secs(30),
                park_after: PARK_AFTER,
            },
            line: amount.checked_mul(ORDERS_IN_A_LINE)?,
            key,
        })
    }

    /// The order's amount.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.order.order.amount
    }

    /// Signed bytes that say this.
    #[must_use]
    pub fn sign(&self, body: Vec<u8>) -> Signed {
        Signed { body: body.into(), key_id: self.key.clone(), signature: [1; 64] }
    }
}
