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
    records::{KeptOrder, Lines, RemovedOrder},
    repository::{Changes, Loaded, Outcome},
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

/// What was answered when an order was made. A repeat gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The order as it stands now.
    pub order: KeptOrder,
    /// Its payment page as it was given out first, whatever is configured by now.
    pub payment_url: String,
}

impl Orders {
    /// Makes an order, or returns the one that this reference stands for.
    ///
    /// # Errors
    /// [`Error::MerchantUnknown`], [`Error::ReferenceReused`], [`Error::OrderRemoved`], [`Error::MerchantLimit`], and
    /// [`Error::Invalid`] for a return address that is not allowed.
    pub async fn create(&self, merchant: &MerchantId, new: &NewOrder) -> Result<Made, Error> {
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
            let payment_url = self.context.payment_url(order.id());
            let answer = Answer { order: order.id().clone(), payment_url: Some(payment_url.clone()), content };
            let changes = Changes::new().create(&order).create(&lines).idempotency(key.clone(), answer.encode());
            match self.context.repository.commit(changes).await? {
                Outcome::Committed(_) => return Ok(Made { order, payment_url }),
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
        answer.map(|answer| Ok(Answer::read(&answer)?.order)).transpose()
    }

    async fn replay(&self, answer: &[u8], content: Digest) -> Result<Made, Error> {
        let first = Answer::read(answer)?;
        if first.content != content {
            return Err(Error::ReferenceReused);
        }
        let order = self.current(&first.order).await?;
        let Some(Loaded { entity: order, .. }) = order else {
            return Err(
                match self.context.repository.load::<RemovedOrder>(&RemovedOrder::key_of(&first.order)).await? {
                    Some(_) => Error::OrderRemoved,
                    None => Error::Inconsistent("a reference stands for an order that is not kept"),
                },
            );
        };
        let payment_url = first.payment_url.unwrap_or_else(|| self.context.payment_url(order.id()));
        Ok(Made { order, payment_url })
    }

    fn build(&self, profile: &Profile, new: &NewOrder) -> Result<KeptOrder, Error> {
        let id = OrderId::from_random(self.context.entropy.id()?);
        let key = self.context.sealing_keys.generate(&id)?;
        let created_at = self.context.clock.now();
        let life = new.life.unwrap_or(self.context.limits.order_life_default.get());
        let device_check_url = self.context.device_check_url(&id, new.amount)?;
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
            device_check_url,
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

/// The key of the answer that is kept under a shop's reference.
pub(crate) fn idempotency_key(merchant: &MerchantId, reference: &MerchantReference) -> Vec<u8> {
    format!("create/{merchant}/{reference}").into_bytes()
}

/// What is kept under a reference: the order's id, the address of its page behind a line's end, and the
/// digest of the wish.
struct Answer {
    order: OrderId,
    /// None in an answer of before it was kept.
    payment_url: Option<String>,
    content: Digest,
}

impl Answer {
    fn encode(&self) -> Vec<u8> {
        let page = self.payment_url.iter().flat_map(|url| [b"\n", url.as_bytes()]);
        let parts: Vec<&[u8]> = [self.order.as_str().as_bytes()].into_iter().chain(page).collect();
        [&parts.concat(), &self.content.as_bytes()[..]].concat()
    }

    fn read(answer: &[u8]) -> Result<Self, Error> {
        let read = || {
            let (text, content) = answer.split_last_chunk::<32>()?;
            let text = std::str::from_utf8(text).ok()?;
            let (id, page) = text.split_once('\n').map_or((text, None), |(id, page)| (id, Some(page)));
            let content = Digest::from_bytes(*content);
            Some(Self { order: id.parse().ok()?, payment_url: page.map(str::to_owned), content })
        };
        read().ok_or(Error::Inconsistent("the answer under an order's reference can't be read back"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_is_read_back_with_and_without_its_page() {
        // Every byte may stand in a digest, a line's end among them.
        let (order, content) = (OrderId::from_random([1; 16]), Digest::from_bytes([b'\n'; 32]));
        for payment_url in [None, Some("https://pay.example/pay/ord".to_owned())] {
            let answer = Answer { order: order.clone(), payment_url: payment_url.clone(), content };
            let read = Answer::read(&answer.encode()).unwrap();
            assert_eq!((read.order, read.payment_url, read.content), (order.clone(), payment_url, content));
        }
        for damaged in [&b""[..], &[0; 31], &[0xff; 80]] {
            assert!(Answer::read(damaged).is_err());
        }
    }
}
