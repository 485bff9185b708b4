//! The invented network that every command starts: its members, shops, cardholders and cards.
//!
//! Adding a bank is adding a row here; everything else follows from these lists.

pub mod customers;
pub mod national_id;
pub mod policies;

use anyhow::Result;
use proto::money::{Currency, MINOR_UNITS_MAX, Money};

use crate::topology::{Demand, NextHop, Policy};

/// The network's name in every SPIFFE id.
pub const TRUST_DOMAIN: &str = "sandbox.bankside.example";

/// The network's operator.
pub const OPERATOR: &str = "operator-main";

/// The currency of most shops and of almost every account.
pub const CURRENCY: &str = "TWD";

/// The currency of the others.
pub const DOLLARS: &str = "USD";

/// A bank that serves shops.
#[derive(Clone, Copy, Debug)]
pub struct Acquirer {
    /// Its id.
    pub id: &'static str,
    /// Its name in English.
    pub name_en: &'static str,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: &'static str,
}

/// The acquirers.
pub const ACQUIRERS: &[Acquirer] =
    &[Acquirer { id: "acquirer-harbor", name_en: "Harbor Acquiring", name_zh_tw: "海港收單銀行" }];

/// An acquirer of the sandbox that works without the platform: banks call it directly.
pub const DIRECT_ACQUIRER: Acquirer =
    Acquirer { id: "acquirer-ferry", name_en: "Ferry Acquiring", name_zh_tw: "渡口收單銀行" };

/// Above this amount of [`CURRENCY`], in minor units, the acquirers of a sandbox want the payment to come from the
/// browser that opened the payment page.
pub const SAME_DEVICE_ABOVE: i64 = 1_000_000;

/// Who relays between the banks.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Its id.
    pub id: &'static str,
    /// Its name in English.
    pub name_en: &'static str,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: &'static str,
}

/// The platform.
pub const PLATFORM: Platform = Platform { id: "hub-plaza", name_en: "Plaza Hub", name_zh_tw: "廣場平台" };

/// A bank whose customers pay.
#[derive(Clone, Copy, Debug)]
pub struct Issuer {
    /// Its id.
    pub id: &'static str,
    /// Its name in English.
    pub name_en: &'static str,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: &'static str,
    /// Its app link.
    pub app_link: &'static str,
    /// The BINs of its cards, as a directory description writes them.
    pub bin_ranges: &'static [&'static str],
    /// Where it sends its authorization requests.
    pub next_hop: NextHop,
    /// The largest amount of one payment, in minor units, for each currency that it may pay in.
    pub amount_max: &'static [(&'static str, i64)],
    /// Which proofs it asks for.
    pub policy: Policy,
    /// The currency of the debit account that its first customer has.
    pub debit_currency: &'static str,
    /// The ids and names of its customers, in the order of [`customers::of`].
    pub people: [(&'static str, &'static str); 5],
}

/// The issuers: one that calls its acquirer directly, and two that a platform relays for. The BINs are ones
/// that card networks keep for tests.
pub const ISSUERS: &[Issuer] = &[
    Issuer {
        id: "bank-aurora",
        name_en: "Bank Aurora",
        name_zh_tw: "極光銀行",
        app_link: "https://app.bank-aurora.example/pay",
        bin_ranges: &["400000"],
        next_hop: NextHop::Acquirer,
        amount_max: &[(CURRENCY, MINOR_UNITS_MAX)],
        policy: Policy::Psd2,
        debit_currency: CURRENCY,
        people: [
            (customers::EVERYDAY, "Lin Yu-Chen"),
            (customers::SMALL_LINE, "Chen Wei-Ting"),
            (customers::LOCKED_OUT, "Huang Mei-Ling"),
            (customers::UNUSABLE, "Wu Guan-Ting"),
            (customers::VERIFIED, "Tsou Min-Hsuan"),
        ],
    },
    Issuer {
        id: "bank-basalt",
        name_en: "Basalt Savings Bank",
        name_zh_tw: "玄武儲蓄銀行",
        app_link: "https://basalt-bank.example/app/pay",
        bin_ranges: &["520000"],
        next_hop: NextHop::Platform,
        amount_max: &[(CURRENCY, BASALT_AMOUNT_MAX)],
        policy: Policy::Table,
        debit_currency: CURRENCY,
        people: [
            ("chang-yating", "Chang Ya-Ting"),
            ("liu-junhao", "Liu Jun-Hao"),
            ("tsai-peishan", "Tsai Pei-Shan"),
            ("hsu-zhiwei", "Hsu Zhi-Wei"),
            ("pan-siyu", "Pan Si-Yu"),
        ],
    },
    Issuer {
        id: "bank-nimbus",
        name_en: "Nimbus Commercial Bank",
        name_zh_tw: "雨雲商業銀行",
        app_link: "https://pay.nimbus.example/",
        bin_ranges: &["353011"],
        next_hop: NextHop::Platform,
        amount_max: &[(CURRENCY, MINOR_UNITS_MAX), (DOLLARS, 1_000_000)],
        policy: Policy::Any,
        debit_currency: DOLLARS,
        people: [
            ("kuo-yijun", "Kuo Yi-Jun"),
            ("cheng-haoyu", "Cheng Hao-Yu"),
            ("hsieh-jiaqi", "Hsieh Jia-Qi"),
            ("lai-mingde", "Lai Ming-De"),
            ("feng-ruoxi", "Feng Ruo-Xi"),
        ],
    },
];

/// A bank that the operator of a sandbox has suspended: the picker shows it, and nobody can pay with it.
pub const SUSPENDED_BANK: SuspendedBank = SuspendedBank {
    id: "bank-tern",
    name_en: "Tern Cooperative Bank",
    name_zh_tw: "燕鷗合作銀行",
    bin_range: "601100",
};

/// A bank that runs no server here.
#[derive(Clone, Copy, Debug)]
pub struct SuspendedBank {
    /// Its id.
    pub id: &'static str,
    /// Its name in English.
    pub name_en: &'static str,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: &'static str,
    /// The BIN of its cards.
    pub bin_range: &'static str,
}

/// The bank where one factor is enough for everything.
pub const ANY_FACTOR: &str = "bank-nimbus";

/// How many values a feature vector has at each bank.
pub const FEATURE_COUNT: u32 = 128;

/// How many records of a vault move to a new key in a second: the servers' default.
pub const VAULT_ROTATION_RATE: u32 = 500;

/// How many failed proofs from one address each bank bears in ten minutes: ten times the servers' default,
/// because here all callers come from one address.
pub const SOURCE_FAILURES_MAX: u32 = 1_000;

/// The largest payment of the second bank, in minor units of [`CURRENCY`]: below what a shop may ask for.
pub const BASALT_AMOUNT_MAX: i64 = 3_000_000;

/// A shop.
#[derive(Clone, Copy, Debug)]
pub struct Merchant {
    /// Its id.
    pub id: &'static str,
    /// The name that a cardholder sees.
    pub display_name: &'static str,
    /// Its domain.
    pub domain: &'static str,
    /// Its ISO 18245 category.
    pub category_code: &'static str,
    /// Where its shoppers go afterwards.
    pub return_url: &'static str,
    /// The currency that it takes.
    pub currency: &'static str,
    /// What it may take in one order, in minor units.
    pub order_max: i64,
    /// What it may take in a day.
    pub day_max: i64,
    /// What its acquirer demands of payments to its category.
    pub demand: Option<Demand>,
}

/// The shops, all of them at the first acquirer. The daily limits leave room for long benchmarks.
pub const MERCHANTS: &[Merchant] = &[
    Merchant {
        id: "bookshop-lumen",
        display_name: "Lumen Books",
        domain: "lumen-books.example",
        category_code: "5942",
        return_url: "https://lumen-books.example/thanks",
        currency: CURRENCY,
        order_max: 5_000_000,
        day_max: MINOR_UNITS_MAX,
        demand: None,
    },
    Merchant {
        id: "tea-house-osmanthus",
        display_name: "Osmanthus Tea House",
        domain: "osmanthus-tea.example",
        category_code: "5499",
        return_url: "https://osmanthus-tea.example/thanks",
        currency: CURRENCY,
        order_max: 5_000_000,
        day_max: MINOR_UNITS_MAX,
        demand: None,
    },
    Merchant {
        id: "atlas-maps",
        display_name: "Atlas Map Room",
        domain: "atlas-maps.example",
        category_code: "5999",
        return_url: "https://atlas-maps.example/thanks",
        currency: DOLLARS,
        order_max: 200_000,
        day_max: MINOR_UNITS_MAX,
        demand: None,
    },
    Merchant {
        id: "pearl-cabinet",
        display_name: "Pearl Cabinet",
        domain: "pearl-cabinet.example",
        category_code: "5944",
        return_url: "https://pearl-cabinet.example/thanks",
        currency: CURRENCY,
        order_max: 5_000_000,
        day_max: MINOR_UNITS_MAX,
        demand: Some(Demand { kinds: 2, consent: true }),
    },
];

/// The sandbox's shop at the acquirer without the platform.
pub const DIRECT_MERCHANT: Merchant = Merchant {
    id: "kiln-ferry",
    display_name: "Ferry Kiln Pottery",
    domain: "ferry-kiln.example",
    category_code: "5970",
    return_url: "https://ferry-kiln.example/thanks",
    currency: CURRENCY,
    order_max: 5_000_000,
    day_max: MINOR_UNITS_MAX,
    demand: None,
};

/// A shop that has a certificate of the network and no contract with the acquirer.
pub const UNLISTED_MERCHANT: &str = "stall-unlisted";

/// A bank that has certificates of the network and isn't in the directory.
pub const UNLISTED_ISSUER: &str = "bank-unlisted";

/// An amount of [`CURRENCY`].
///
/// # Errors
/// An amount below zero or above the largest.
pub fn money(minor_units: i64) -> Result<Money> {
    let currency: Currency = CURRENCY.parse()?;
    Ok(Money::new(currency, minor_units)?)
}
