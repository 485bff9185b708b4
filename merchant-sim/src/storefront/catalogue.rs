//! What the demo shops sell. Everything is invented; the drawings are our own.
//!
//! The prices fall on both sides of what the sample banks and acquirers ask of a payment, so that each of
//! their rules can be met by choosing what to buy.

use mesh::web::Words;

use crate::sample;

/// A demo shop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// The merchant that runs it.
    pub(super) merchant: &'static str,
    /// Its name.
    pub(super) name: Words,
    /// What it is, in a few words.
    pub(super) tagline: Words,
    /// How its customers reach their bank.
    pub(super) way: Way,
    /// What it sells.
    pub(super) products: &'static [Product],
}

/// How a shop's customers reach their bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They scan the order: its acquirer works with banks directly (embodiment 1).
    Scan,
    /// They choose a bank at the platform, or scan (embodiment 2).
    Choose,
}

/// Something to buy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// Its name in addresses and in the basket.
    pub(super) sku: &'static str,
    /// Its name.
    pub(super) name: Words,
    /// Its price, in minor units of the shop's currency.
    pub(super) price: i64,
    /// Its picture, an SVG.
    pub(super) art: &'static str,
}

impl Stall {
    /// Something that it sells.
    #[must_use]
    pub(super) fn product(&self, sku: &str) -> Option<&'static Product> {
        self.products.iter().find(|product| product.sku == sku)
    }
}

const fn words(zh_tw: &'static str, en: &'static str) -> Words {
    Words { zh_tw, en }
}

/// The demo shops: the direct one, then those at the platform.
pub(super) const STALLS: &[Stall] = &[
    Stall {
        merchant: sample::DIRECT_MERCHANT.id,
        name: words("渡口窯", "Ferry Kiln Pottery"),
        tagline: words("手作陶器", "Pots and bowls, made by hand"),
        way: Way::Scan,
        products: &[
            Product {
                sku: "tea-bowl",
                name: words("青釉茶碗", "Celadon tea bowl"),
                price: 32_000,
                art: include_str!("../../art/tea-bowl.svg"),
            },
            Product {
                sku: "vase",
                name: words("花器", "Bud vase"),
                price: 86_000,
                art: include_str!("../../art/vase.svg"),
            },
            Product {
                sku: "plates",
                name: words("餐盤四件組", "Set of four plates"),
                price: 240_000,
                art: include_str!("../../art/plates.svg"),
            },
            Product {
                sku: "moon-jar",
                name: words("月白大罐", "Moon jar"),
                price: 1_600_000,
                art: include_str!("../../art/moon-jar.svg"),
            },
        ],
    },
    Stall {
        merchant: "bookshop-lumen",
        name: words("流明書店", "Lumen Books"),
        tagline: words("山、海與城市的書", "Books on mountains, seas and cities"),
        way: Way::Choose,
        products: &[
            Product {
                sku: "field-notes",
                name: words("田野筆記", "Field Notes"),
                price: 25_000,
                art: include_str!("../../art/field-notes.svg"),
            },
            Product {
                sku: "harbour-tales",
                name: words("港邊故事", "Harbour Tales"),
                price: 48_000,
                art: include_str!("../../art/harbour-tales.svg"),
            },
            Product {
                sku: "island-birds",
                name: words("島嶼鳥類全集", "Birds of the Island, four volumes"),
                price: 198_000,
                art: include_str!("../../art/island-birds.svg"),
            },
            Product {
                sku: "first-edition",
                name: words("初版珍藏", "First edition, bound in linen"),
                price: 1_280_000,
                art: include_str!("../../art/first-edition.svg"),
            },
        ],
    },
    Stall {
        merchant: "tea-house-osmanthus",
        name: words("桂花茶行", "Osmanthus Tea House"),
        tagline: words("單一茶園的茶", "Tea from single gardens"),
        way: Way::Choose,
        products: &[
            Product {
                sku: "oolong",
                name: words("桂花烏龍", "Osmanthus oolong"),
                price: 18_000,
                art: include_str!("../../art/oolong.svg"),
            },
            Product {
                sku: "mountain-black",
                name: words("高山紅茶", "Mountain black tea"),
                price: 42_000,
                art: include_str!("../../art/mountain-black.svg"),
            },
            Product {
                sku: "tea-set",
                name: words("旅行茶具組", "Travelling tea set"),
                price: 265_000,
                art: include_str!("../../art/tea-set.svg"),
            },
        ],
    },
    Stall {
        merchant: "atlas-maps",
        name: words("輿圖室", "Atlas Map Room"),
        tagline: words("地圖與星圖，以美元計價", "Maps of land and sky, priced in dollars"),
        way: Way::Choose,
        products: &[
            Product {
                sku: "city-map",
                name: words("城市地圖", "City map"),
                price: 1_200,
                art: include_str!("../../art/city-map.svg"),
            },
            Product {
                sku: "star-chart",
                name: words("星圖", "Star chart"),
                price: 4_550,
                art: include_str!("../../art/star-chart.svg"),
            },
        ],
    },
    Stall {
        merchant: "pearl-cabinet",
        name: words("珍珠櫃", "Pearl Cabinet"),
        tagline: words("珠寶；收單銀行要求兩種驗證", "Jewellery; its acquirer asks for two kinds of proof"),
        way: Way::Choose,
        products: &[
            Product {
                sku: "ear-studs",
                name: words("珍珠耳環", "Pearl ear studs"),
                price: 98_000,
                art: include_str!("../../art/ear-studs.svg"),
            },
            Product {
                sku: "strand",
                name: words("珍珠項鍊", "Pearl strand"),
                price: 880_000,
                art: include_str!("../../art/strand.svg"),
            },
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_shop_of_the_sandbox_has_its_stall_and_each_product_its_own_name() {
        let merchants: BTreeSet<&str> =
            sample::MERCHANTS.iter().chain([&sample::DIRECT_MERCHANT]).map(|merchant| merchant.id).collect();
        let stalls: BTreeSet<&str> = STALLS.iter().map(|stall| stall.merchant).collect();
        assert_eq!(stalls, merchants);
        let skus: Vec<&str> = STALLS.iter().flat_map(|stall| stall.products).map(|product| product.sku).collect();
        assert_eq!(skus.iter().collect::<BTreeSet<_>>().len(), skus.len());
        assert!(skus.iter().all(|sku| sku.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    }

    #[test]
    fn what_is_sold_can_be_sold() {
        for merchant in sample::MERCHANTS.iter().chain([&sample::DIRECT_MERCHANT]) {
            let stall = STALLS.iter().find(|stall| stall.merchant == merchant.id);
            let dearest = stall.into_iter().flat_map(|stall| stall.products).map(|product| product.price).max();
            assert!(dearest.is_some_and(|price| price <= merchant.order_max), "{}", merchant.id);
        }
    }
}
