//! What the templates show.

use std::time::SystemTime;

use askama::Template;
use http::StatusCode;
use proto::order::OrderLine;
use time::{
    OffsetDateTime, UtcOffset,
    format_description::well_known::Rfc3339,
    macros::{format_description, offset},
};

use super::language::{Language, Texts};
use crate::{domain::order::State, records::KeptOrder};

/// The time zone of the times on the page: the acquirer's shops and their shoppers are in Taiwan, which
/// has no summer time.
const ZONE: UtcOffset = offset!(+8);

/// How often a page that waits for something reloads itself, in seconds.
const REFRESH_OPEN_S: u32 = 5;
const REFRESH_AUTHORIZING_S: u32 = 2;

/// Where an order stands, as a shopper has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Open,
    Authorizing,
    Approved,
    Expired,
    Failed,
    Cancelled,
}

impl Shown {
    pub(super) fn of(state: &State, now: SystemTime) -> Self {
        match state {
            State::Open(_) if state.has_lapsed(now) => Self::Expired,
            State::Open(_) => Self::Open,
            State::Authorizing(..) => Self::Authorizing,
            State::Approved(_) => Self::Approved,
            State::Expired(_) => Self::Expired,
            State::Failed(_) => Self::Failed,
            State::Cancelled(_) => Self::Cancelled,
        }
    }

    /// 410 where the page has lost its purpose for good without a payment.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Open | Self::Authorizing | Self::Approved => StatusCode::OK,
            Self::Expired | Self::Failed | Self::Cancelled => StatusCode::GONE,
        }
    }

    /// Whether the order is not final: while it is authorizing, a decline may open it again.
    pub(super) const fn may_be_paid(self) -> bool {
        match self {
            Self::Open | Self::Authorizing => true,
            Self::Approved | Self::Expired | Self::Failed | Self::Cancelled => false,
        }
    }

    const fn refresh_s(self) -> Option<u32> {
        match self {
            Self::Open => Some(REFRESH_OPEN_S),
            Self::Authorizing => Some(REFRESH_AUTHORIZING_S),
            Self::Approved | Self::Expired | Self::Failed | Self::Cancelled => None,
        }
    }

    /// The state's name in the page's style.
    const fn class(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Authorizing => "authorizing",
            Self::Approved => "approved",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    const fn heading(self, texts: &Texts) -> &'static str {
        match self {
            Self::Open => texts.open,
            Self::Authorizing => texts.authorizing,
            Self::Approved => texts.approved,
            Self::Expired => texts.expired,
            Self::Failed => texts.failed,
            Self::Cancelled => texts.cancelled,
        }
    }

    const fn hint(self, texts: &Texts) -> &'static str {
        match self {
            Self::Open => texts.open_hint,
            Self::Authorizing => texts.authorizing_hint,
            Self::Approved => texts.approved_hint,
            Self::Expired | Self::Failed | Self::Cancelled => texts.ended_hint,
        }
    }
}

/// The page of one order.
#[derive(Template)]
#[template(path = "order.html")]
pub(super) struct OrderPage<'a> {
    texts: &'static Texts,
    refresh_s: Option<u32>,
    state: &'static str,
    heading: &'static str,
    hint: &'static str,
    declined: bool,
    qr: Option<String>,
    /// Where the form leads that chooses a bank.
    choose_bank: Option<String>,
    kept: &'a KeptOrder,
    lines: &'a [OrderLine],
    pay_by: Option<Moment>,
    back: Option<&'a str>,
}

impl<'a> OrderPage<'a> {
    pub(super) fn new(
        kept: &'a KeptOrder,
        shown: Shown,
        lines: &'a [OrderLine],
        qr: Option<String>,
        choose_bank: Option<String>,
        language: Language,
    ) -> Self {
        let texts = language.texts();
        let order = &kept.signed.order;
        Self {
            texts,
            refresh_s: shown.refresh_s(),
            state: shown.class(),
            heading: shown.heading(texts),
            hint: shown.hint(texts),
            declined: shown == Shown::Open && kept.state.course().declines > 0,
            qr,
            choose_bank,
            kept,
            lines,
            pay_by: if shown.may_be_paid() { Moment::of(order.expires_at) } else { None },
            // While it can be paid, a link that leads away would only be pressed by mistake.
            back: if shown.may_be_paid() { None } else { Some(order.return_url.as_str()) },
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
}

/// The page that says so.
#[derive(Template)]
#[template(path = "problem.html")]
pub(super) struct ProblemPage {
    texts: &'static Texts,
    refresh_s: Option<u32>,
    heading: &'static str,
    hint: &'static str,
    back: Option<String>,
}

impl ProblemPage {
    /// `back` leads to the payment page, where there is one.
    pub(super) fn new(problem: Problem, back: Option<String>, language: Language) -> Self {
        let texts = language.texts();
        let (heading, hint) = match problem {
            Problem::NotFound => (texts.not_found, texts.not_found_hint),
            Problem::Unavailable => (texts.unavailable, texts.unavailable_hint),
            Problem::NoPicker => (texts.no_picker, texts.no_picker_hint),
        };
        Self { texts, refresh_s: None, heading, hint, back }
    }

    pub(super) fn html(&self) -> Result<String, askama::Error> {
        self.render()
    }
}

/// A time for people and for machines.
struct Moment {
    shown: String,
    machine: String,
}

impl Moment {
    fn of(time: SystemTime) -> Option<Self> {
        let local = OffsetDateTime::from(time).to_offset(ZONE);
        let shown = local.format(format_description!("[year]-[month]-[day] [hour]:[minute] (UTC+8)")).ok()?;
        Some(Self { shown, machine: local.format(&Rfc3339).ok()? })
    }
}
