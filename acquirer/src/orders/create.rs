//! Making an order.

use std::time::Duration;

use mesh::clock::truncate;
use prost::Message as _;
use proto::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{MerchantId, MerchantReference, OrderId},
    link::WebAddress,
    money::Money,
    order::{
        ORDER_LIFE_MAX, ORDER_LIFE_MIN, ORDER_LINES_MAX, Order, OrderLine, SignedOrder, lines_digest, lines_total,
        parse_delivery_hint, parse_return_url,
    },
    pb, require, time,
};

use super::{COMMIT_TRIES_MAX, Orders};
use crate::{
    domain::{merchant::Profile, order::State},
    error::Error,
    records::{KeptOrder, Lines},
    repository::{Changes, Outcome},
};

/// What a shop wants an order for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// The shop's own name for it.
    pub reference: MerchantReference,
    /// What is to be paid.
    pub amount: Money,
    /// What is sold.
    pub lines: Vec<OrderLine>,
    /// Where the shopper goes afterwards.
    pub return_url: WebAddress,
    /// How long it may be paid; the default where absent.
    pub life: Option<Duration>,
    /// Masked recipient and city.
    pub delivery_hint: String,
}

impl NewOrder {
    /// A received wish.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::CreateOrderRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let reference = fields.text("merchant_reference", &pb.merchant_reference);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let lines = parse_lines(&mut fields, pb.lines, amount);
        let return_url = parse_return_url(&mut fields, &pb.return_url);
        let life = match pb.expires_after {
            None => Some(None),
            Some(life) => fields.nested("expires_after", time::parse_duration(life)).map(Some),
        };
        if let Some(Some(life)) = life {
            let fits = (ORDER_LIFE_MIN..=ORDER_LIFE_MAX).contains(&life);
            fields.check("expires_after", fits, "must be 1 minute to 24 hours");
        }
        let delivery_hint = parse_delivery_hint(&mut fields, &pb.delivery_hint);
        require!(fields; reference, amount, lines, return_url, life, delivery_hint);
        Ok(Self { reference, amount, lines, return_url, life, delivery_hint })
    }

    /// What makes two wishes the same: the digest of their content as this program serialises it.
    fn digest(&self) -> Digest {
        let pb = pb::CreateOrderRequest {
            merchant_reference: self.reference.to_string(),
            amount: Some(self.amount.to_pb()),
            lines: self.lines.iter().map(OrderLine::to_pb).collect(),
            return_url: self.return_url.to_string(),
            expires_after: self.life.map(time::duration_to_pb),
            delivery_hint: self.delivery_hint.clone(),
        };
        Digest::of(&pb.encode_to_vec())
    }
}

fn parse_lines(fields: &mut Fields, lines: Vec<pb::OrderLine>, amount: Option<Money>) -> Option<Vec<OrderLine>> {
    fields.check("lines", (1..=ORDER_LINES_MAX).contains(&lines.len()), "must be 1 to 20 lines");
    // What is too much is counted and not read.
    let lines = lines.into_iter().take(ORDER_LINES_MAX).enumerate();
    let lines: Vec<_> =
        lines.map(|(place, line)| fields.nested(&format!("lines[{place}]"), OrderLine::parse(line))).collect();
    let lines = lines.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(amount) = amount {
        let adds_up = lines_total(&lines, amount.currency()) == Ok(amount);
        fields.check("lines", adds_up, "must add up to the amount, in its currency");
    }
    Some(lines)
}

impl Orders {
    /// Makes an order, or returns the one that this reference stands for.
    ///
    /// # Errors
    /// [`Error::MerchantUnknown`], [`Error::ReferenceReused`], [`Error::MerchantLimit`], and
    /// [`Error::Invalid`] for a return address that is not allowed.
    pub async fn create(&self, merchant: &MerchantId, new: &NewOrder) -> Result<KeptOrder, Error> {
        let profile = self.context.merchants.find(merchant).ok_or(Error::MerchantUnknown)?;
        let key = idempotency_key(merchant, &new.reference);
        let content = new.digest();
        for _ in 0..COMMIT_TRIES_MAX {
            // A repeat is answered before the limits are looked at: they may have changed since.
            if let Some(answer) = self.context.repository.answer(&key).await? {
                return self.replay(&answer, content).await;
            }
            check_terms(profile, new)?;
            let order = self.build(profile, new)?;
            let lines = Lines { order: order.id().clone(), lines: new.lines.clone() };
            let answer = [order.id().as_str().as_bytes(), content.as_bytes()].concat();
            let changes = Changes::new().create(&order).create(&lines).idempotency(key.clone(), answer);
            match self.context.repository.commit(changes).await? {
                Outcome::Committed(_) => return Ok(order),
                Outcome::Duplicate(answer) => return self.replay(&answer, content).await,
                // Not known whether it was committed: the answer under the key tells.
                Outcome::Stale => {}
            }
        }
        Err(Error::Contended)
    }

    /// Our id of the order that a shop's reference stands for.
    pub(super) async fn id_of_reference(
        &self,
        merchant: &MerchantId,
        reference: &MerchantReference,
    ) -> Result<Option<OrderId>, Error> {
        let answer = self.context.repository.answer(&idempotency_key(merchant, reference)).await?;
        answer.map(|answer| Ok(read_answer(&answer)?.0)).transpose()
    }

    async fn replay(&self, answer: &[u8], content: Digest) -> Result<KeptOrder, Error> {
        let (id, first_content) = read_answer(answer)?;
        if first_content != content {
            return Err(Error::ReferenceReused);
        }
        let order = self.current(&id).await?;
        Ok(order.ok_or(Error::Inconsistent("a reference stands for an order that is not kept"))?.entity)
    }

    fn build(&self, profile: &Profile, new: &NewOrder) -> Result<KeptOrder, Error> {
        let id = OrderId::from_random(self.context.entropy.id()?);
        let key = self.context.sealing_keys.generate(&id)?;
        let created_at = self.context.clock.now();
        let life = new.life.unwrap_or(self.context.limits.order_life_default.get());
        let order = Order {
            id,
            acquirer: self.context.acquirer.clone(),
            merchant: profile.merchant.clone(),
            amount: new.amount,
            lines_digest: lines_digest(&new.lines),
            created_at,
            // Whole milliseconds, as the clock and the index of deadlines have them.
            expires_at: truncate(created_at + life),
            return_url: new.return_url.clone(),
            sealing_key: key.public,
            delivery_hint: new.delivery_hint.clone(),
        };
        let signed = self.context.seal.sign(&order.to_pb());
        // The contracts bound every text so that the whole fits into a QR code; this holds it to that.
        let signed = SignedOrder::parse(signed.to_pb())?;
        let state = State::new(signed.order.expires_at);
        Ok(KeptOrder { signed, reference: new.reference.clone(), sealing_key: Some(key.wrapped), state })
    }
}

fn check_terms(profile: &Profile, new: &NewOrder) -> Result<(), Error> {
    if !profile.return_urls.iter().any(|prefix| prefix.allows(&new.return_url)) {
        let expected = "must begin with one of the merchant's registered return addresses";
        return Err(Invalid::field("return_url", expected).into());
    }
    if profile.terms.allow_order(new.amount) { Ok(()) } else { Err(Error::MerchantLimit) }
}

fn idempotency_key(merchant: &MerchantId, reference: &MerchantReference) -> Vec<u8> {
    format!("create/{merchant}/{reference}").into_bytes()
}

fn read_answer(answer: &[u8]) -> Result<(OrderId, Digest), Error> {
    let damaged = || Error::Inconsistent("the answer under an order's reference can't be read back");
    let (id, content) = answer.split_last_chunk::<32>().ok_or_else(damaged)?;
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or_else(damaged)?;
    Ok((id, Digest::from_bytes(*content)))
}
