//! Who takes part.

use std::fmt;

/// A party: one process, with one network address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The acquiring bank's server.
    Acquirer,
    /// The relay.
    Platform,
    /// The issuing bank that calls by way of the platform.
    North,
    /// The issuing bank that calls the acquirer directly.
    South,
    /// The card network behind the acquirer.
    CardNetwork,
    /// A shop that is told of its orders.
    Books,
    /// Another one.
    Tea,
    /// The customers' phones. They don't crash: each of their flows is a customer of its own.
    Phones,
}

impl Party {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Acquirer,
        Self::Platform,
        Self::North,
        Self::South,
        Self::CardNetwork,
        Self::Books,
        Self::Tea,
        Self::Phones,
    ];
    /// Those that may crash.
    pub const MORTAL: [Self; 6] = [Self::Acquirer, Self::Platform, Self::North, Self::South, Self::Books, Self::Tea];
    /// The issuing banks.
    pub const ISSUERS: [Self; 2] = [Self::North, Self::South];
    /// The shops.
    pub const SHOPS: [Self; 2] = [Self::Books, Self::Tea];
    /// Those with a store of the engine's.
    pub const STORED: [Self; 3] = [Self::Acquirer, Self::North, Self::South];

    /// Its member id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer-one",
            Self::Platform => "platform-one",
            Self::North => "bank-north",
            Self::South => "bank-south",
            Self::CardNetwork => "card-network",
            Self::Books => "shop-books",
            Self::Tea => "shop-tea",
            Self::Phones => "phones",
        }
    }

    /// Its place in [`Party::ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
