//! An issuer's customers: invented people with cards of the simulated card network.

use std::fmt::Write as _;

use proto::card::{CardData, Expiry};

use crate::network::Network;

/// What each account may spend, in minor units: more than any test does.
pub const FUNDS: i64 = 1_000_000_000;

/// How the simulated card network decides about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// It approves.
    Good,
    /// It declines for want of funds.
    Poor,
}

/// A customer with one account and one card of each kind on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The bank's ids of the customer and the account end in this number, 0 to 999.
    pub number: u32,
    /// The first BIN of the bank's.
    pub bin: u32,
}

impl Card {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Good, Self::Poor];

    /// The label in the bank's app.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Good => "Everyday Credit",
            Self::Poor => "Empty Credit",
        }
    }

    /// The digits before the check digit, by which the simulated network knows the kind.
    const fn digits(self) -> &'static str {
        match self {
            Self::Good => "001",
            Self::Poor => "901",
        }
    }
}

impl Customer {
    /// The customer's national id, well-formed and nobody's.
    #[must_use]
    pub fn national_id(&self) -> String {
        // The letter A counts as 1; the digits behind it have the weights 8 to 1, and the check digit 1.
        let digits = format!("1{:07}", self.number);
        let weighted =
            digits.bytes().zip([8, 7, 6, 5, 4, 3, 2, 1]).map(|(digit, weight)| u32::from(digit - b'0') * weight);
        let check = (10 - (1 + weighted.sum::<u32>()) % 10) % 10;
        format!("A{digits}{check}")
    }

    /// What the customer signs in with beside the password.
    #[must_use]
    pub fn user_code(&self) -> String {
        format!("user-code-{}", self.number)
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> String {
        format!("correct horse {}", self.number)
    }

    /// The activation code that the bank gave by another way.
    #[must_use]
    pub fn activation_code(&self) -> String {
        format!("CODE-{:04}-{:04}", self.bin % 10_000, self.number)
    }

    /// The bank's id of the account.
    #[must_use]
    pub fn account(&self) -> String {
        format!("credit-{}", self.number)
    }

    /// What is on a card.
    #[must_use]
    pub fn card(&self, card: Card) -> CardData {
        let front = format!("{}4{:03}{}", self.bin, self.number, card.digits());
        let doubled =
            |place: usize, digit: u32| if place.is_multiple_of(2) { digit * 2 / 10 + digit * 2 % 10 } else { digit };
        let sum: u32 =
            front.bytes().rev().enumerate().map(|(place, digit)| doubled(place, u32::from(digit - b'0'))).sum();
        CardData {
            pan: format!("{front}{}", (10 - sum % 10) % 10).parse().unwrap(),
            expiry: Expiry::new(2035, 12).unwrap(),
            // The one that the simulated network accepts: the three digits before the last four.
            cvv: Some(format!("{:03}", self.number).parse().unwrap()),
        }
    }
}

/// Loads the customers into a stopped issuer's store.
pub async fn import(network: &Network, config: &str, customers: &[Customer]) {
    let mut text = String::new();
    for customer in customers {
        write!(
            text,
            "[[customers]]\nid = \"customer-{number}\"\nname = \"Customer {number}\"\nnational_id = \"{}\"\n\
             user_code = \"{}\"\npassword = \"{}\"\nactivation_code = \"{}\"\n[[customers.accounts]]\nid = \"{account}\"\nkind = \"credit\"\n\
             currency = \"TWD\"\nlimit_minor_units = {FUNDS}\n",
            customer.national_id(),
            customer.user_code(),
            customer.password(),
            customer.activation_code(),
            number = customer.number,
            account = customer.account(),
        )
        .unwrap();
        for kind in Card::ALL {
            let card = customer.card(kind);
            write!(
                text,
                "[[customers.cards]]\nlabel = \"{}\"\npan = \"{}\"\nexpiry = \"2035-12\"\ncvv = \"{}\"\naccount = \"{}\"\n",
                kind.label(),
                card.pan.expose(),
                card.cvv.as_ref().unwrap().expose(),
                customer.account(),
            )
            .unwrap();
        }
    }
    let file = format!("{config}.customers");
    network.write_secret(&file, &text);
    let [config, file] = [config, &file].map(|name| network.path(name).into_os_string());
    let arguments = ["issuer import".into(), "--config".into(), config, file];
    let exit = tokio::task::spawn_blocking(|| issuer::import_command(arguments)).await.unwrap();
    // The command has replaced the panic hook by one that keeps a panic's text to itself. A test's must be seen.
    drop(std::panic::take_hook());
    assert_eq!(format!("{exit:?}"), format!("{:?}", std::process::ExitCode::SUCCESS), "the customers are loaded");
}
