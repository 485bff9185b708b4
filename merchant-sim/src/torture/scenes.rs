//! What shops and cardholders do, again and again, while the network is tormented.

use std::time::Duration;

use anyhow::Result;
use prost::Message as _;
use proto::pb;

use super::chance::Chance;
use super::follower::is_final;
use super::payer::{Manner, Payer, Placed};
use super::people::Temper;
use super::tale::OrderTale;
use super::world::{World, is, is_given_up, says};

/// What one payment is over, in minor units.
const AMOUNT: (u64, u64) = (100, 9_000);

/// The latest moment at which a shop cancels while somebody pays, or somebody walks away.
const SOON: Duration = Duration::from_millis(2_500);

/// How often a payer tries again after a decline.
const TRIES_MAX: u32 = 3;

/// Somebody who does one thing after the other.
#[derive(Debug)]
pub(super) struct Actor<'w> {
    world: &'w World,
    number: usize,
    chance: Chance,
}

impl<'w> Actor<'w> {
    /// The actor of this number; what it does follows from the seed.
    pub(super) fn new(world: &'w World, seed: u64, number: usize) -> Self {
        let part = 1 + u64::try_from(number).unwrap_or_default();
        Self { world, number, chance: Chance::of_part(seed, part) }
    }

    /// Plays until the run is closing.
    ///
    /// # Errors
    /// Something that can't happen to shops and devices.
    pub(super) async fn play(mut self) -> Result<()> {
        // Not all at one moment.
        tokio::time::sleep(self.chance.between(Duration::ZERO, SOON)).await;
        while !self.world.closing.is_cancelled() {
            self.scene().await?;
        }
        Ok(())
    }

    async fn scene(&mut self) -> Result<()> {
        let scene = self.chance.below(100);
        let shop = self.place_of(self.world.shops.len());
        let Some(placed) = self.place(shop, None).await? else { return Ok(()) };
        match scene {
            0..30 => {
                self.payer()?.pay(&placed, Temper::Plain, Manner::Plain).await?;
            }
            30..50 => self.rivals(&placed).await?,
            50..62 => self.tries_again(&placed).await?,
            62..72 => {
                self.payer()?.pay(&placed, Temper::Plain, Manner::Twice).await?;
            }
            72..86 => self.cancelled_meanwhile(&placed).await?,
            86..94 => {
                let temper = *self.chance.pick(&Temper::ALL).unwrap_or(&Temper::Slow);
                self.payer()?.pay(&placed, temper, Manner::Plain).await?;
            }
            _ => {
                let patience = self.chance.between(Duration::ZERO, SOON);
                let payer = self.payer()?;
                // Walks away: what was under way is dropped in the middle.
                let _ = tokio::time::timeout(patience, payer.pay(&placed, Temper::Plain, Manner::Plain)).await;
            }
        }
        self.looks(&placed).await;
        Ok(())
    }

    /// Several cardholders, mostly of different banks, pay one order at one time.
    async fn rivals(&mut self, placed: &Placed) -> Result<()> {
        let first = self.place_of(self.world.banks.len());
        let count = 2 + self.place_of(2);
        let customer = self.place_of(usize::MAX);
        let same_bank = self.chance.percent(20);
        let payers: Vec<Payer<'_>> = (0..count)
            .map(|place| {
                let bank = if same_bank { first } else { first + place };
                Payer::of(self.world, bank, customer.wrapping_add(place), self.number + place)
            })
            .collect::<Result<_>>()?;
        let temper = if self.chance.percent(15) { Temper::Slow } else { Temper::Plain };
        let paying = payers.iter().map(|payer| payer.pay(placed, temper, Manner::Plain));
        let mut paying: Vec<_> = paying.map(Box::pin).collect();
        match &mut paying[..] {
            [one, two] => drop(tokio::try_join!(one, two)?),
            [one, two, three] => drop(tokio::try_join!(one, two, three)?),
            _ => {}
        }
        Ok(())
    }

    /// A card that is declined, then another one.
    async fn tries_again(&mut self, placed: &Placed) -> Result<()> {
        let payer = self.payer()?;
        let declined = payer.pay(placed, Temper::Declines, Manner::Plain).await?;
        if declined.is_none() {
            return Ok(());
        }
        for _ in 0..TRIES_MAX {
            let charge = payer.pay(placed, Temper::Debit, Manner::Plain).await?;
            let Some(charge) = charge else { return Ok(()) };
            // Nothing was sent, or nothing arrived and now never will: a new charge is a new try.
            let is_over = charge.state() == pb::ChargeState::Approved
                || (charge.state() == pb::ChargeState::Declined
                    && charge.decline_reason() != pb::DeclineReason::NeverReceived);
            if is_over {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The shop cancels while somebody pays; another shop tries to, too.
    async fn cancelled_meanwhile(&mut self, placed: &Placed) -> Result<()> {
        let moment = self.chance.between(Duration::ZERO, SOON);
        let others = self.chance.percent(30);
        let payer = self.payer()?;
        let cancelling = async {
            tokio::time::sleep(moment).await;
            if others {
                trespass(self.world, placed).await;
            }
            cancel(self.world, placed).await;
        };
        let (paid, ()) = tokio::join!(payer.pay(placed, Temper::Plain, Manner::Plain), cancelling);
        paid?;
        // "Pending" has become something else by itself, and whatever was said before is said again.
        cancel(self.world, placed).await;
        Ok(())
    }

    /// The shop looks at its order, now and then.
    async fn looks(&mut self, placed: &Placed) {
        if !self.chance.percent(40) {
            return;
        }
        let Some(shop) = self.world.shops.get(placed.shop) else { return };
        if let Ok(order) = self.world.persist(|| shop.order(&placed.id)).await
            && is_final(order.state())
        {
            placed.page.end(order.state());
        }
    }

    /// Makes an order, now and then twice, and now and then once more with another content.
    pub(super) async fn place(&mut self, shop: usize, life: Option<Duration>) -> Result<Option<Placed>> {
        let Some(at) = self.world.shops.get(shop) else { return Ok(None) };
        let amount = AMOUNT.0 + self.chance.below(AMOUNT.1 - AMOUNT.0);
        let amount = i64::try_from(amount).unwrap_or(1);
        let mut request = at.request(amount)?;
        request.expires_after =
            life.map(|life| prost_types::Duration { seconds: i64::try_from(life.as_secs()).unwrap_or(60), nanos: 0 });
        let Ok(first) = self.world.persist(|| at.create(request.clone())).await else { return Ok(None) };
        let parsed = crate::shop::Placed::parse(first.clone())?;
        let id = parsed.id.to_string();
        let tale = OrderTale {
            id: id.clone(),
            merchant: at.merchant().id.clone(),
            amount,
            created: vec![first.encode_to_vec()],
            ..OrderTale::default()
        };
        let order = parsed.signed.signed.to_pb();
        let placed = Placed { shop, id, order, page: self.world.journal.open(tale) };
        if self.chance.percent(20)
            && let Ok(again) = self.world.persist(|| at.create(request.clone())).await
        {
            placed.page.write(|tale| tale.created.push(again.encode_to_vec()));
        }
        if self.chance.percent(5) {
            let other = at.request(amount + 1)?;
            let other = pb::CreateOrderRequest { merchant_reference: request.merchant_reference.clone(), ..other };
            if self.world.persist(|| at.create(other.clone())).await.is_ok() {
                let what = "another order was made under its reference".to_owned();
                placed.page.write(|tale| tale.liberties.push(what));
            }
        }
        Ok(Some(placed))
    }

    fn payer(&mut self) -> Result<Payer<'w>> {
        let bank = self.place_of(self.world.banks.len());
        let customer = self.place_of(usize::MAX);
        Payer::of(self.world, bank, customer, self.number)
    }

    fn place_of(&mut self, count: usize) -> usize {
        let place = self.chance.below(u64::try_from(count).unwrap_or(u64::MAX));
        usize::try_from(place).unwrap_or_default()
    }
}

/// Cancels an order, and writes the answer down.
async fn cancel(world: &World, placed: &Placed) {
    let Some(shop) = world.shops.get(placed.shop) else { return };
    match world.persist(|| shop.cancel(&placed.id)).await {
        Ok(outcome) => placed.page.write(|tale| tale.cancels.push(outcome)),
        Err(status) if is_given_up(&status) => {}
        Err(status) => {
            let what = format!("its own shop's cancel was refused: {}", says(&status));
            placed.page.write(|tale| tale.liberties.push(what));
        }
    }
}

/// Another shop tries to cancel the order.
async fn trespass(world: &World, placed: &Placed) {
    let Some(other) = world.shops.get((placed.shop + 1) % world.shops.len().max(1)) else { return };
    match world.persist(|| other.cancel(&placed.id)).await {
        Err(status) if is_given_up(&status) || is(&status, "ORDER_NOT_FOUND") => {}
        Ok(_) => placed.page.write(|tale| tale.liberties.push("another shop has cancelled it".to_owned())),
        Err(status) => {
            let what = format!("another shop's cancel was refused with {}", says(&status));
            placed.page.write(|tale| tale.liberties.push(what));
        }
    }
}
