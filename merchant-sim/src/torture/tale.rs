//! What shops and payers asked for and were told: the outside's view, which must turn out to be true.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::pb;

/// Every order of a run with everything that was said about it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Page>>>);

/// The tale of one order that is still being written. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Page(Arc<Mutex<OrderTale>>);

/// One order, as its shop and its payers saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OrderTale {
    /// The acquirer's id.
    pub(super) id: String,
    /// The shop.
    pub(super) merchant: String,
    /// What was to be paid, in minor units.
    pub(super) amount: i64,
    /// Every answer to `CreateOrder` with this reference, serialised.
    pub(super) created: Vec<Vec<u8>>,
    /// Every answer to `CancelOrder`, in the order in which they came.
    pub(super) cancels: Vec<pb::CancelOutcome>,
    /// Whether a cancel was only sent because the run was over.
    pub(super) closed: bool,
    /// Every final state that the shop was shown.
    pub(super) ends: Vec<pb::OrderState>,
    /// The charges.
    pub(super) charges: Vec<ChargeTale>,
    /// What somebody got who must not have got it.
    pub(super) liberties: Vec<String>,
}

/// One charge, as its cardholder saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ChargeTale {
    /// The bank.
    pub(super) bank: String,
    /// The customer.
    pub(super) customer: String,
    /// The cardholder's own id of it.
    pub(super) id: String,
    /// The last four digits of the card that was picked.
    pub(super) card: String,
    /// Every charge that the bank has shown, as it then stood.
    pub(super) shown: Vec<pb::Charge>,
    /// Why the bank did not take it, where it said so.
    pub(super) refused: Option<String>,
}

impl Journal {
    /// Opens a page for an order that was made.
    pub(super) fn open(&self, tale: OrderTale) -> Page {
        let page = Page(Arc::new(Mutex::new(tale)));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(page.clone());
        page
    }

    /// The pages.
    pub(super) fn pages(&self) -> Vec<Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What stands on them.
    pub(super) fn tales(&self) -> Vec<OrderTale> {
        self.pages().iter().map(|page| page.read().clone()).collect()
    }
}

impl Page {
    /// What stands there; nobody writes meanwhile.
    pub(super) fn read(&self) -> MutexGuard<'_, OrderTale> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down.
    pub(super) fn write(&self, note: impl FnOnce(&mut OrderTale)) {
        note(&mut self.read());
    }

    /// The order's id.
    pub(super) fn id(&self) -> String {
        self.read().id.clone()
    }

    /// Writes down that the order was shown in this final state.
    pub(super) fn end(&self, state: pb::OrderState) {
        self.write(|tale| tale.ends.push(state));
    }

    /// Writes down what a charge showed or why it was refused.
    pub(super) fn charge(&self, id: &str, note: impl FnOnce(&mut ChargeTale)) {
        if let Some(charge) = self.read().charges.iter_mut().find(|charge| charge.id == id) {
            note(charge);
        }
    }
}

impl ChargeTale {
    /// How it ended, as far as its cardholder was shown.
    pub(super) fn end(&self) -> Option<&pb::Charge> {
        self.shown.iter().find(|charge| crate::device::app::is_final(charge.state()))
    }

    /// Whether the bank has ever admitted that there is such a charge.
    pub(super) fn was_taken(&self) -> bool {
        !self.shown.is_empty()
    }
}
