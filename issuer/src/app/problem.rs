//! Why a page isn't shown, in words that a customer understands, and where the way goes on. No page of these
//! is a dead end: each leads somewhere, at least to the app's own first page.

use axum::http::StatusCode;
use mesh::web::Words;

use super::{bank::Refused, notice::Notice};
use crate::error::Error;

mod reasons;

/// Why a request isn't answered with its page.
#[derive(Debug)]
pub(super) enum Stop {
    /// A page says what is wrong.
    Problem(Problem),
    /// The way goes on there.
    To(String),
    /// The session of this visit has ended, or is none: its cookie is forgotten, and the customer signs in.
    SignIn {
        /// The visit.
        visit: String,
        /// What the sign-in page says about it.
        notice: Option<Notice>,
    },
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// In one line.
    pub(super) title: Words,
    /// What it means, and what can be done.
    pub(super) hint: Words,
    /// Whether the same may succeed later.
    pub(super) again: bool,
}

impl Problem {
    /// There is no such page.
    pub(super) const fn nothing_here() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: Words { zh_tw: "找不到這個頁面", en: "There is no such page" },
            hint: Words {
                zh_tw: "網址可能不完整，請從首頁重新開始。",
                en: "The address may be incomplete. Please start again from the first page.",
            },
            again: false,
        }
    }

    /// There is no such visit, or it is another browser's.
    pub(super) const fn no_visit() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: Words {
                zh_tw: "這筆付款不在這個瀏覽器中", en: "This payment is not open in this browser"
            },
            hint: Words {
                zh_tw: "它可能已經結束，或是在另一個瀏覽器中開啟的。請回到商店的付款頁面重新開啟，或在首頁貼上付款連結。",
                en: "It may be over, or was opened in another browser. Open it again from the shop's payment page, or \
                     paste the payment link on the first page.",
            },
            again: false,
        }
    }

    /// Too many visits were opened.
    pub(super) const fn too_many() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            title: Words { zh_tw: "目前請求太多", en: "There are too many requests now" },
            hint: Words {
                zh_tw: "請幾分鐘後再試一次，沒有任何扣款。",
                en: "Please try again in a few minutes. Nothing was charged.",
            },
            again: true,
        }
    }

    /// The form can't be read.
    pub(super) const fn malformed() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            title: Words { zh_tw: "無法讀取送出的資料", en: "What was sent can't be read" },
            hint: Words {
                zh_tw: "請回到上一頁再試一次，沒有任何扣款。",
                en: "Please go back and try again. Nothing was charged.",
            },
            again: false,
        }
    }

    /// A text is no payment link.
    pub(super) const fn not_a_link() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            title: Words { zh_tw: "這不是付款連結", en: "This is no payment link" },
            hint: Words {
                zh_tw: "連結可能不完整。請重新掃描 QR 碼，或從商店的付款頁面再次複製完整連結。",
                en: "It may be incomplete. Scan the QR code again, or copy the whole link from the shop's payment page.",
            },
            again: false,
        }
    }

    /// The platform can't be asked.
    pub(super) const fn no_platform() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: Words { zh_tw: "暫時無法取得訂單", en: "The order can't be fetched now" },
            hint: Words {
                zh_tw: "付款平台沒有回應，沒有任何扣款。請稍後再試一次。",
                en: "The payment platform does not answer. Nothing was charged. Please try again in a moment.",
            },
            again: true,
        }
    }

    /// There is no such charge, or it is another customer's.
    pub(super) const fn no_charge() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: Words { zh_tw: "找不到這筆扣款", en: "There is no such charge" },
            hint: Words { zh_tw: "您的帳戶中沒有這筆扣款。", en: "There is none of it in your account." },
            again: false,
        }
    }

    /// The order is another customer's to pay, or was paid by one.
    pub(super) const fn of_another() -> Self {
        Self {
            status: StatusCode::CONFLICT,
            title: Words { zh_tw: "這筆訂單正由其他客戶付款", en: "Somebody else is paying this order" },
            hint: Words {
                zh_tw: "它已經付款，或正在付款中。您沒有被扣款。",
                en: "It is paid, or about to be, from another account of this bank. You were not charged.",
            },
            again: false,
        }
    }

    /// The browser came back from a check of the device that nothing here waits for.
    pub(super) const fn no_check() -> Self {
        Self {
            status: StatusCode::CONFLICT,
            title: Words { zh_tw: "沒有等待確認的付款", en: "No payment waits for this confirmation" },
            hint: Words {
                zh_tw: "確認可能已逾時。請回到付款頁面重新開始，沒有任何扣款。",
                en: "It may be too late. Start again from the payment page. Nothing was charged.",
            },
            again: false,
        }
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Problem(reasons::of(refused.reason))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        // The table of the gRPC edge logs what is inside.
        Self::from(Refused::from(tonic::Status::from(error)))
    }
}
