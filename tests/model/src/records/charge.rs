//! What a bank keeps: its charges, their claims on the order, and the account.

use ::issuer::domain::{
    account::{Account as DomainAccount, AccountFault, Funds},
    charge,
};
use proto::{
    authorization::{Decision, DeclineReason},
    money::Money,
};

use super::Verdict;
use crate::cast::{cast, made_at};

/// `issuer::domain::charge::State`, or none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charge {
    /// Not submitted.
    Absent,
    /// The funds are held and nothing was sent.
    Held,
    /// The request may have left.
    Sent,
    /// Sent, and no result came.
    Unknown {
        /// Whether an operator looks after it.
        parked: bool,
    },
    /// Paid, with the code of this authorization.
    Approved(u8),
    /// Declined.
    Declined(DeclineReason),
    /// Given up before anything was sent.
    Abandoned,
}

impl Charge {
    /// The domain's state of a charge that exists, whose request is this authorization's.
    #[must_use]
    pub fn load(self, authorization: u8) -> Option<charge::State> {
        let sent = cast().sent[usize::from(authorization)];
        Some(match self {
            Self::Absent => return None,
            Self::Held => charge::State::Held,
            Self::Sent => charge::State::Sent(sent),
            Self::Unknown { parked } => {
                let next = if parked { charge::Inquiry::Parked } else { charge::Inquiry::At(made_at()) };
                charge::State::Unknown { sent, questions: 0, next }
            }
            Self::Approved(code) => charge::State::Approved { sent, code: cast().codes[usize::from(code)] },
            Self::Declined(reason) => charge::State::Declined { sent, reason },
            Self::Abandoned => charge::State::Abandoned,
        })
    }

    /// The record of the domain's state.
    #[must_use]
    pub fn save(state: charge::State) -> Self {
        match state {
            charge::State::Held => Self::Held,
            charge::State::Sent(_) => Self::Sent,
            charge::State::Unknown { sent: _, questions: _, next } => {
                Self::Unknown { parked: next == charge::Inquiry::Parked }
            }
            charge::State::Approved { sent: _, code } => match Verdict::of(Decision::Approved(code)) {
                Verdict::Approved(number) => Self::Approved(number),
                Verdict::Declined(reason) => Self::Declined(reason),
            },
            charge::State::Declined { sent: _, reason } => Self::Declined(reason),
            charge::State::Abandoned => Self::Abandoned,
        }
    }

    /// Whether it holds funds.
    #[must_use]
    pub const fn is_live(self) -> bool {
        match self {
            Self::Held | Self::Sent | Self::Unknown { .. } => true,
            Self::Absent | Self::Approved(_) | Self::Declined(_) | Self::Abandoned => false,
        }
    }
}

/// `issuer::domain::account::Account`, in multiples of the order's amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// What the live charges hold.
    pub held: u8,
    /// What is owed.
    pub spent: u8,
}

impl Account {
    /// The domain's account.
    ///
    /// # Errors
    /// [`AccountFault`], which the domain gives for numbers that contradict each other.
    pub fn load(self) -> Result<DomainAccount, AccountFault> {
        let times = |count: u8| cast().amount().checked_mul(count.into());
        DomainAccount::new(Funds::Credit { limit: cast().line, spent: times(self.spent)? }, times(self.held)?)
    }

    /// The record of the domain's account.
    #[must_use]
    pub fn save(account: DomainAccount) -> Self {
        let multiple =
            |money: Money| u8::try_from(money.minor_units() / cast().amount().minor_units()).unwrap_or(u8::MAX);
        let spent = match account.funds() {
            Funds::Credit { limit: _, spent } => spent,
            Funds::Debit { balance } => balance,
        };
        Self { held: multiple(account.held()), spent: multiple(spent) }
    }
}

/// The claim that a charge has on its order at its bank (`issuer::records::Claim`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Nobody pays.
    Free,
    /// This charge pays.
    Taken(u8),
    /// This charge has paid.
    Paid(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_charge_is_lost_on_the_way() {
        assert_eq!(Charge::Absent.load(0), None);
        for record in [
            Charge::Held,
            Charge::Sent,
            Charge::Unknown { parked: false },
            Charge::Unknown { parked: true },
            Charge::Approved(3),
            Charge::Declined(DeclineReason::LostCard),
            Charge::Abandoned,
        ] {
            let state = record.load(1).expect("the charge is there");
            assert_eq!(Charge::save(state), record);
            assert_eq!(record.is_live(), !state.is_final());
        }
    }

    #[test]
    fn an_account_moves_by_the_orders_amount() {
        let amount = cast().amount();
        let held = Account::default().load().expect("an account").hold(amount).expect("enough funds");
        assert_eq!(Account::save(held), Account { held: 1, spent: 0 });
        let spent = held.confirm(amount).expect("a hold");
        assert_eq!(Account::save(spent), Account { held: 0, spent: 1 });
        assert_eq!(Account::save(spent).load(), Ok(spent));
    }
}
