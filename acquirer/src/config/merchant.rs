//! One merchant in the configuration.

use mesh::config::FieldError;
use proto::{
    ids::MerchantId,
    link::WebAddress,
    money::{Currency, Money},
    order::Merchant,
    pb,
};
use serde::Deserialize;

use super::from_text;
use crate::domain::merchant::{Profile, ReturnPrefix, Terms};

/// A merchant that the acquirer has taken on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantConfig {
    /// Its id, the last part of its SPIFFE id.
    #[serde(deserialize_with = "from_text")]
    pub id: MerchantId,
    /// The name that cardholders see, at most 60 bytes.
    pub display_name: String,
    /// Its web domain, which the acquirer has verified.
    pub domain: String,
    /// Its ISO 18245 category, four digits.
    pub category_code: String,
    /// The beginnings of the addresses that its shoppers may be sent to, at least one.
    pub return_urls: Vec<String>,
    /// Where its `MerchantNotification` service is; without it the merchant follows `WatchOrders`.
    pub notification_endpoint: Option<String>,
    /// The currencies that it may take, at least one.
    pub currencies: Vec<AllowedCurrency>,
}

/// A currency that a merchant may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedCurrency {
    /// The ISO 4217 code.
    #[serde(deserialize_with = "from_text")]
    pub code: Currency,
    /// The largest order, in minor units.
    pub order_max_minor_units: i64,
    /// The most in one day (UTC), in minor units; without it there is no such limit.
    pub day_max_minor_units: Option<i64>,
}

impl MerchantConfig {
    /// The merchant as the domain knows it.
    ///
    /// # Errors
    /// Every field that can't be used.
    pub fn profile(&self) -> Result<Profile, Vec<FieldError>> {
        let mut errors = Vec::new();
        let merchant = Merchant::parse(pb::Merchant {
            merchant_id: self.id.to_string(),
            display_name: self.display_name.clone(),
            domain: self.domain.clone(),
            category_code: self.category_code.clone(),
        })
        .map_err(|invalid| {
            errors.extend(invalid.violations.into_iter().map(|wrong| FieldError::new(wrong.path, wrong.description)));
        });
        let return_urls = self.return_prefixes(&mut errors);
        let notification = self.notification_endpoint.as_deref().and_then(|text| {
            text.parse::<WebAddress>()
                .map_err(|error| errors.push(FieldError::new("notification_endpoint", error.to_string())))
                .ok()
        });
        let terms = self.terms(&mut errors);
        match merchant {
            Ok(merchant) if errors.is_empty() => Ok(Profile { merchant, terms, return_urls, notification }),
            Ok(_) | Err(()) => Err(errors),
        }
    }

    fn return_prefixes(&self, errors: &mut Vec<FieldError>) -> Vec<ReturnPrefix> {
        if self.return_urls.is_empty() {
            errors.push(FieldError::new("return_urls", "must have at least one"));
        }
        let mut prefixes = Vec::new();
        for (place, text) in self.return_urls.iter().enumerate() {
            let field = format!("return_urls[{place}]");
            match text.parse::<WebAddress>().map(ReturnPrefix::new) {
                Ok(Ok(prefix)) => prefixes.push(prefix),
                Ok(Err(error)) => errors.push(FieldError::new(field, error.to_string())),
                Err(error) => errors.push(FieldError::new(field, error.to_string())),
            }
        }
        prefixes
    }

    fn terms(&self, errors: &mut Vec<FieldError>) -> Terms {
        if self.currencies.is_empty() {
            errors.push(FieldError::new("currencies", "must have at least one"));
        }
        let mut terms = Terms::default();
        for (place, allowed) in self.currencies.iter().enumerate() {
            let limit = |name: &str, units: i64| {
                let money = Money::new(allowed.code, units).ok().filter(|money| money.minor_units() > 0);
                let field = format!("currencies[{place}].{name}");
                money.ok_or_else(|| FieldError::new(field, "must be 1 to 1000000000000 minor units"))
            };
            let order_max = limit("order_max_minor_units", allowed.order_max_minor_units);
            let day_max = allowed.day_max_minor_units.map(|units| limit("day_max_minor_units", units)).transpose();
            match (order_max, day_max) {
                (Ok(order_max), Ok(day_max)) => {
                    if terms.allow(order_max, day_max).is_err() {
                        errors.push(FieldError::new(format!("currencies[{place}]"), "has limits in two currencies"));
                    }
                }
                (order_max, day_max) => errors.extend(order_max.err().into_iter().chain(day_max.err())),
            }
        }
        terms
    }
}
