//! What the templates show.

use std::time::SystemTime;

use askama::Template;
use http::StatusCode;
use mesh::web::{Language, amount};
use proto::order::OrderLine;
use time::{
    OffsetDateTime, UtcOffset,
    format_description::well_known::Rfc3339,
    macros::{format_description, offset},
};

use super::{
    assets::{ICON, SCRIPT, STYLE},
    browser::Standing,
    opening::open_path,
    payment_path,
    words::Texts,
};
use crate::{domain::order::State, records::KeptOrder};

/// The time zone of the times on the page: the acquirer's shops and their shoppers are in Taiwan, which
/// has no summer time.
const ZONE: UtcOffset = offset!(+8);

/// How often a page that waits for something reloads itself where no script runs, in seconds.
const REFRESH_OPEN_S: u32 = 5;
const REFRESH_BUSY_S: u32 = 2;

/// Where an order stands, as a shopper has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Open,
    /// Open again behind a payment that was declined.
    Declined,
    Busy,
    Paid,
    Expired,
    Failed,
    Cancelled,
}

impl Shown {
    pub(super) fn of(state: &State, now: SystemTime) -> Self {
        match state {
            State::Open(_) if state.has_lapsed(now) => Self::Expired,
            State::Open(course) if course.declines > 0 => Self::Declined,
            State::Open(_) => Self::Open,
            State::Authorizing(..) => Self::Busy,
            State::Approved(_) => Self::Paid,
            State::Expired(_) => Self::Expired,
            State::Failed(_) => Self::Failed,
            State::Cancelled(_) => Self::Cancelled,
        }
    }

    /// What tells one look of the page from another: a second decline looks like the first and is news.
    pub(super) fn version(self, state: &State) -> String {
        format!("{}.{}", self.name(), state.course().declines)
    }

    /// 410 where the page has lost its purpose for good without a payment.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Open | Self::Declined | Self::Busy | Self::Paid => StatusCode::OK,
            Self::Expired | Self::Failed | Self::Cancelled => StatusCode::GONE,
        }
    }

    /// Whether a payment may begin now.
    pub(super) const fn is_payable(self) -> bool {
        matches!(self, Self::Open | Self::Declined)
    }

    /// Whether the order is not final: while it is authorizing, a decline may open it again.
    pub(super) const fn may_be_paid(self) -> bool {
        matches!(self, Self::Open | Self::Declined | Self::Busy)
    }

    /// Whether nothing more will happen.
    pub(super) const fn is_final(self) -> bool {
        !self.may_be_paid()
    }

    const fn refresh_s(self) -> Option<u32> {
        match self {
            Self::Open | Self::Declined => Some(REFRESH_OPEN_S),
            Self::Busy => Some(REFRESH_BUSY_S),
            Self::Paid | Self::Expired | Self::Failed | Self::Cancelled => None,
        }
    }

    /// The state's name on the page.
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Declined => "declined",
            Self::Busy => "busy",
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// How its banner looks.
    const fn class(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Busy => "busy",
            Self::Paid => "good",
            Self::Declined | Self::Expired | Self::Failed | Self::Cancelled => "bad",
        }
    }

    const fn words(self, texts: &Texts) -> (&'static str, &'static str) {
        match self {
            Self::Open => (texts.open, texts.open_hint),
            Self::Declined => (texts.declined, texts.declined_hint),
            Self::Busy => (texts.busy, texts.busy_hint),
            Self::Paid => (texts.paid, texts.paid_hint),
            Self::Expired => (texts.expired, texts.expired_hint),
            Self::Failed => (texts.failed, texts.failed_hint),
            Self::Cancelled => (texts.cancelled, texts.cancelled_hint),
        }
    }
}

/// The ways to pay.
pub(super) struct Ways {
    /// The QR code, as SVG; none where the payment must come from this device.
    pub(super) qr: Option<String>,
    /// The same link for this device.
    pub(super) link: String,
    /// Where the form leads that chooses a bank.
    pub(super) choose_bank: Option<String>,
}

/// What every page has.
struct Frame {
    texts: &'static Texts,
    page: &'static str,
    state: &'static str,
    /// What an event must differ from to be news, and where the events come from.
    version: String,
    events: Option<String>,
    refresh_s: Option<u32>,
    heading: &'static str,
    hint: &'static str,
    class: &'static str,
}

impl Frame {
    fn style(&self) -> &'static str {
        STYLE.path()
    }

    fn script(&self) -> &'static str {
        SCRIPT.path()
    }

    fn icon(&self) -> &'static str {
        ICON.path()
    }
}

/// The page of one order.
#[derive(Template)]
#[template(path = "order.html")]
pub(super) struct OrderPage<'a> {
    frame: Frame,
    ways: Option<Ways>,
    /// Where the form leads that makes the page this browser's own, where nothing else has.
    open: Option<String>,
    kept: &'a KeptOrder,
    amount: String,
    lines: Vec<Line<'a>>,
    deadline: Option<Deadline>,
    is_over: bool,
}

/// A line of the order.
struct Line<'a> {
    description: &'a str,
    quantity: u32,
    price: String,
}

impl<'a> OrderPage<'a> {
    pub(super) fn new(
        kept: &'a KeptOrder,
        shown: Shown,
        lines: &'a [OrderLine],
        ways: Option<Ways>,
        standing: Standing,
        now: SystemTime,
        language: Language,
    ) -> Self {
        let texts = Texts::of(language);
        let order = &kept.signed.order;
        let elsewhere = standing == Standing::Other && shown.is_payable();
        let (heading, hint) = if elsewhere { (texts.elsewhere, texts.elsewhere_hint) } else { shown.words(texts) };
        let frame = Frame {
            texts,
            page: "payment",
            state: shown.name(),
            version: shown.version(&kept.state),
            events: shown.may_be_paid().then(|| format!("{}/events", payment_path(kept.id()))),
            refresh_s: shown.refresh_s(),
            heading,
            hint,
            class: if elsewhere { "bad" } else { shown.class() },
        };
        let line = |line: &'a OrderLine| Line {
            description: &line.description,
            quantity: line.quantity,
            price: line.unit_price.checked_mul(line.quantity).map(amount).unwrap_or_default(),
        };
        Self {
            frame,
            ways,
            open: (standing == Standing::Free && shown.is_payable()).then(|| open_path(kept)),
            kept,
            amount: amount(order.amount),
            lines: lines.iter().map(line).collect(),
            deadline: if shown.is_payable() { Deadline::of(order.expires_at, now) } else { None },
            is_over: shown.is_final(),
        }
    }

    pub(super) fn html(&self) -> Result<String, askama::Error> {
        self.render()
    }
}

/// Why there is no order to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NotFound,
    Unavailable,
    /// The platform's bank picker can't be led to.
    NoPicker,
    /// The device check was opened in another browser than the page.
    OtherDevice,
    /// The device check makes no sense.
    BadCheck,
    /// The bank takes no payments now.
    NoBank,
    /// The browser keeps no cookie, and the device is checked.
    NoCookie,
}

/// The page that says so.
#[derive(Template)]
#[template(path = "problem.html")]
pub(super) struct ProblemPage {
    frame: Frame,
    back: Option<String>,
}

impl ProblemPage {
    /// `back` leads to the payment page, where there is one.
    pub(super) fn new(problem: Problem, back: Option<String>, language: Language) -> Self {
        let texts = Texts::of(language);
        let (heading, hint) = match problem {
            Problem::NotFound => (texts.not_found, texts.not_found_hint),
            Problem::Unavailable => (texts.unavailable, texts.unavailable_hint),
            Problem::NoPicker => (texts.no_picker, texts.no_picker_hint),
            Problem::OtherDevice => (texts.other_device, texts.other_device_hint),
            Problem::BadCheck => (texts.bad_check, texts.bad_check_hint),
            Problem::NoBank => (texts.no_bank, texts.no_bank_hint),
            Problem::NoCookie => (texts.no_cookie, texts.no_cookie_hint),
        };
        let frame = Frame {
            texts,
            page: "problem",
            state: "problem",
            version: String::new(),
            events: None,
            refresh_s: None,
            heading,
            hint,
            class: "bad",
        };
        Self { frame, back }
    }

    pub(super) fn html(&self) -> Result<String, askama::Error> {
        self.render()
    }
}

/// The last moment to pay, for people and for machines.
struct Deadline {
    shown: String,
    machine: String,
    /// How long that is from now, and the same in seconds: a browser's clock may be wrong.
    left: String,
    left_s: u64,
}

impl Deadline {
    fn of(time: SystemTime, now: SystemTime) -> Option<Self> {
        let local = OffsetDateTime::from(time).to_offset(ZONE);
        let shown = local.format(format_description!("[year]-[month]-[day] [hour]:[minute] (UTC+8)")).ok()?;
        let left_s = time.duration_since(now).unwrap_or_default().as_secs();
        let (hours, minutes, seconds) = (left_s / 3600, left_s / 60 % 60, left_s % 60);
        let hours = if hours > 0 { format!("{hours}:") } else { String::new() };
        let left = format!("{hours}{minutes:02}:{seconds:02}");
        Some(Self { shown, machine: local.format(&Rfc3339).ok()?, left, left_s })
    }
}
