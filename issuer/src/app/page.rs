//! What all pages have in common, and what they show of an order, a card and a charge.

use askama::Template;
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE},
    },
    response::{Html, IntoResponse as _, Redirect, Response},
};
use data_encoding::BASE64;
use mesh::web::{Asset, BASE_CSS, Language, Words, amount, cookie};
use proto::{authorization::Factor, money::Money, order::SignedOrder, pb, time::unix_millis};

use super::{
    App,
    notice::Notice,
    problem::{Problem, Stop},
    visitor::{Visitor, session_cookie},
    visits::Found,
};
use crate::error::Error;

/// The frame of a page.
pub(super) struct Shell {
    pub(super) language: Language,
    pub(super) bank: String,
    pub(super) page: &'static str,
    pub(super) state: &'static str,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) notice: Option<Notice>,
}

impl Shell {
    /// One of two texts, by the page's language.
    pub(super) fn t<'a>(&self, zh_tw: &'a str, en: &'a str) -> &'a str {
        match self.language {
            Language::ZhTw => zh_tw,
            Language::En => en,
        }
    }

    /// One sentence in the page's language.
    pub(super) fn say(&self, words: &Words) -> &'static str {
        words.of(self.language)
    }

    pub(super) fn tag(&self) -> &'static str {
        self.language.tag()
    }

    /// The frame with a state in it, for tests and scripts.
    pub(super) fn in_state(self, state: &'static str) -> Self {
        Self { state, ..self }
    }

    /// The frame with a notice.
    pub(super) fn with(self, notice: Option<Notice>) -> Self {
        Self { notice, ..self }
    }
}

/// The order as its acquirer signed it.
pub(super) struct OrderView {
    pub(super) shop: String,
    pub(super) domain: String,
    pub(super) amount: String,
    pub(super) recipient: String,
    pub(super) expires_ms: u64,
    pub(super) expires: String,
    /// The signed bytes, over which the script makes the digest itself.
    pub(super) body: String,
}

impl OrderView {
    pub(super) fn of(order: &SignedOrder) -> Self {
        let it = &order.order;
        Self {
            shop: it.merchant.display_name.clone(),
            domain: it.merchant.domain.clone(),
            amount: amount(it.amount),
            recipient: it.delivery_hint.clone(),
            expires_ms: unix_millis(it.expires_at),
            expires: iso(unix_millis(it.expires_at)),
            body: BASE64.encode(&order.signed.body),
        }
    }
}

/// A card as its holder knows it.
pub(super) struct CardView {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) brand: String,
    pub(super) brand_class: &'static str,
    pub(super) last_four: String,
    pub(super) kind: &'static str,
    pub(super) kind_words: Words,
    pub(super) expiry: String,
    pub(super) available: String,
    pub(super) unusable: Option<(&'static str, Words)>,
}

impl CardView {
    pub(super) fn of(option: pb::CardOption) -> Self {
        let (kind, kind_words) = kind_of(option.kind());
        Self {
            kind,
            kind_words,
            brand_class: brand_class(&option.brand),
            expiry: format!("{:02}/{:02}", option.expiry_month, option.expiry_year % 100),
            available: option
                .available
                .clone()
                .and_then(|money| Money::parse(money).ok())
                .map(amount)
                .unwrap_or_default(),
            unusable: unusable(option.unusable_reason()),
            id: option.card_option_id,
            label: option.label,
            brand: option.brand,
            last_four: option.last_four,
        }
    }
}

fn kind_of(kind: pb::CardKind) -> (&'static str, Words) {
    match kind {
        pb::CardKind::Debit => ("debit", Words { zh_tw: "金融卡", en: "Debit" }),
        pb::CardKind::Credit | pb::CardKind::Unspecified => ("credit", Words { zh_tw: "信用卡", en: "Credit" }),
    }
}

fn unusable(reason: pb::CardUnusableReason) -> Option<(&'static str, Words)> {
    match reason {
        pb::CardUnusableReason::Unspecified => None,
        pb::CardUnusableReason::Expired => Some(("expired", Words { zh_tw: "已過期", en: "Expired" })),
        pb::CardUnusableReason::Blocked => Some(("blocked", Words { zh_tw: "已停用", en: "Blocked" })),
        pb::CardUnusableReason::InsufficientFunds => {
            Some(("insufficient-funds", Words { zh_tw: "餘額或額度不足", en: "Not enough left" }))
        }
        pb::CardUnusableReason::OtherCurrency => {
            Some(("other-currency", Words { zh_tw: "幣別不同", en: "In another currency" }))
        }
    }
}

/// A colour of our own for each brand; the name stands there as text, because the logos are others' marks.
fn brand_class(brand: &str) -> &'static str {
    match brand {
        "Visa" => "brand-a",
        "Mastercard" => "brand-b",
        "JCB" => "brand-c",
        _ => "brand-d",
    }
}

/// How a factor is called.
pub(super) const fn factor_words(factor: Factor) -> Words {
    match factor {
        Factor::Knowledge => {
            Words { zh_tw: "身分證字號、使用者代號與密碼", en: "National id, user code and password" }
        }
        Factor::Possession => {
            Words { zh_tw: "此瀏覽器（已綁定的裝置）", en: "This browser (a bound device)" }
        }
        Factor::Inherence => Words { zh_tw: "生物特徵", en: "Biometric features" },
        Factor::Passkey => Words { zh_tw: "通行密鑰", en: "Passkey" },
    }
}

/// A time as `2026-11-24T15:40:00Z`, for the `datetime` of a `time` element.
pub(super) fn iso(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The files that the pages load.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
}

impl Assets {
    pub(super) fn new() -> Self {
        let scripts = [
            include_str!("../../templates/script/bytes.js"),
            include_str!("../../templates/script/device.js"),
            include_str!("../../templates/script/proofs.js"),
            include_str!("../../templates/script/amount.js"),
            include_str!("../../templates/script/consent.js"),
            include_str!("../../templates/script/credentials.js"),
            include_str!("../../templates/script/pages.js"),
        ];
        Self {
            style: Asset::css("/app/page", &[BASE_CSS, include_str!("../../templates/app.css")]),
            script: Asset::script("/app/page", &scripts.join("\n")),
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    s: Shell,
    title: Words,
    hint: Words,
    again: Option<String>,
    visit: Option<String>,
    shop: Option<String>,
}

impl App {
    /// The frame of a page.
    pub(super) fn shell(&self, visitor: &Visitor, page: &'static str) -> Shell {
        Shell {
            language: visitor.language,
            bank: self.name(visitor.language),
            page,
            state: "",
            style: self.assets.style.path().to_owned(),
            script: self.assets.script.path().to_owned(),
            notice: None,
        }
    }

    /// The answer to a request that is not answered with its page. `found` is the visit that it belongs to.
    pub(super) fn stopped(&self, visitor: &Visitor, stop: Stop, found: Option<&Found>) -> Response {
        match stop {
            Stop::To(path) => Redirect::to(&path).into_response(),
            Stop::SignIn { visit, notice } => {
                let page = format!("/v/{visit}/sign-in");
                let page = notice.map_or(page.clone(), |notice| notice.on(&page));
                with_cookie(Redirect::to(&page).into_response(), cookie::forget(&session_cookie(&visit)))
            }
            Stop::Problem(problem) => self.problem(visitor, problem, found),
        }
    }

    /// The same for a page's script: what to say, or where to go.
    pub(super) fn stopped_script(&self, visitor: &Visitor, stop: Stop) -> Response {
        match stop {
            // Something is to be done first, before the script may try again.
            Stop::To(path) => json(StatusCode::OK, &serde_json::json!({ "next": path, "first": true })),
            Stop::SignIn { visit, notice } => {
                let page = format!("/v/{visit}/sign-in");
                let page = notice.map_or(page.clone(), |notice| notice.on(&page));
                let answer = json(StatusCode::UNAUTHORIZED, &serde_json::json!({ "next": page }));
                with_cookie(answer, cookie::forget(&session_cookie(&visit)))
            }
            Stop::Problem(problem) => {
                let [title, hint] = [problem.title, problem.hint].map(|words| words.of(visitor.language));
                later(json(problem.status, &serde_json::json!({ "problem": title, "hint": hint })))
            }
        }
    }

    fn problem(&self, visitor: &Visitor, problem: Problem, found: Option<&Found>) -> Response {
        let Problem { status, title, hint, again } = problem;
        let page = ProblemPage {
            s: self.shell(visitor, "problem"),
            title,
            hint,
            again: again.then(|| found.map_or_else(|| "/".to_owned(), Found::path)),
            visit: found.filter(|_| !again).map(Found::path),
            shop: found.and_then(|found| found.order.as_ref()).map(|order| order.order.return_url.to_string()),
        };
        later(show_as(status, &page))
    }
}

/// A page.
pub(super) fn show(page: &impl Template) -> Response {
    show_as(StatusCode::OK, page)
}

fn show_as(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(problem) => {
            tracing::error!(%problem, "a page can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that says when to come again, where the same may succeed then.
fn later(mut response: Response) -> Response {
    let seconds = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => Some("60"),
        StatusCode::SERVICE_UNAVAILABLE => Some("5"),
        _ => None,
    };
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}

/// An answer for a script.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// An answer with one cookie more.
pub(super) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

/// Why the entropy gave nothing, as a page.
pub(super) fn random<const N: usize>(app: &App) -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    app.ctx.entropy.fill(&mut bytes).map_err(Error::from)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proto::money::Currency;

    use super::*;

    #[test]
    fn times_are_written_as_html_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_478_400, "2026-11-24T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(seconds * 1000 + 999), text);
        }
    }

    #[test]
    fn the_script_writes_amounts_as_the_pages_do() {
        let script = include_str!("../../templates/script/amount.js");
        let table = |name: &str| -> serde_json::Value {
            let (_, rest) = script.split_once(&format!("const {name} = ")).expect("a table");
            serde_json::from_str(rest.split_once(';').expect("its end").0).expect("JSON")
        };
        let (signs, decimals) = (table("SIGNS"), table("DECIMALS"));
        let is_known = |code: &&str| code.parse::<Currency>().is_ok();
        let letters = || b'A'..=b'Z';
        let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        let codes: Vec<String> = codes.map(|code| String::from_utf8_lossy(&code).into_owned()).collect();
        let known: Vec<&str> = codes.iter().map(String::as_str).filter(is_known).collect();
        assert_eq!(decimals.as_object().map(serde_json::Map::len), Some(known.len()));
        for code in known {
            let currency: Currency = code.parse().expect("known");
            assert_eq!(decimals[code], currency.decimals(), "{code}");
            let sign = signs[code].as_str().map_or_else(|| format!("{code}\u{a0}"), ToOwned::to_owned);
            let shown = amount(Money::new(currency, 7_654_321).expect("an amount"));
            assert!(shown.strip_prefix(&sign).is_some_and(|rest| rest.starts_with('7')), "{shown}");
        }
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        let answer = |status: StatusCode| later(status.into_response()).headers().get(RETRY_AFTER).cloned();
        assert_eq!(answer(StatusCode::TOO_MANY_REQUESTS).expect("seconds"), "60");
        assert_eq!(answer(StatusCode::SERVICE_UNAVAILABLE).expect("seconds"), "5");
        assert_eq!(answer(StatusCode::CONFLICT), None);
    }

    #[test]
    fn the_script_and_the_style_are_small() {
        let assets = Assets::new();
        assert!(include_str!("../../templates/app.css").len() + BASE_CSS.len() < 40_000);
        assert!(assets.script.path().starts_with("/app/page.") && assets.style.path().ends_with(".css"));
    }
}
