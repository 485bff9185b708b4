//! What the next page says about the step before it. It travels as a word in the address, which says nothing of
//! anybody, so that a reload shows the same.

use mesh::web::Words;

/// A notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// As it stands in the address.
    pub(super) code: &'static str,
    /// What it says.
    pub(super) words: Words,
    /// Whether it tells of something that went wrong.
    pub(super) bad: bool,
}

macro_rules! notices {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $bad:literal, $zh_tw:literal, $en:literal;)+) => {
        $($(#[$doc])+ pub(super) const $name: Notice =
            Notice { code: $code, bad: $bad, words: Words { zh_tw: $zh_tw, en: $en } };)+

        const ALL: &[Notice] = &[$($name,)+];
    };
}

notices! {
    /// A proof was wrong.
    NOT_VERIFIED = "wrong", true,
        "無法確認您的身分。請檢查輸入的內容，然後再試一次。",
        "We could not verify who you are. Check what you entered and try again.";
    /// A field of the sign-in has the wrong form.
    MALFORMED = "form", true,
        "輸入的格式不正確：身分證字號為一個英文字母加九位數字，密碼至少八個字元。",
        "Something is not written as it must be: the national id is a letter and nine digits, the password has at least eight characters.";
    /// The challenge's time is over.
    TOO_LATE = "late", true,
        "驗證已逾時，請再試一次。",
        "That took too long. Please try again.";
    /// The session has ended.
    ENDED = "ended", false,
        "您的登入已結束，請重新登入。付款不會重複扣款。",
        "You were signed out. Please sign in again; nothing is charged twice.";
    /// Signed out by the customer.
    SIGNED_OUT = "out", false,
        "您已登出。",
        "You are signed out.";
    /// The server has more to do than it can.
    BUSY = "busy", true,
        "系統忙碌中，請稍候再試一次。",
        "The bank is busy. Please try again in a moment.";
    /// Too many failures from this address.
    TOO_MANY = "many", true,
        "嘗試次數太多，請稍候再試一次。",
        "There were too many tries. Please wait a little and try again.";
    /// The first proof was right, and one more is needed.
    ONE_MORE = "more", false,
        "驗證成功。請再以另一種方式驗證身分。",
        "That was right. Please prove who you are in one more way.";
    /// The bank needs more proof for this payment.
    STEP_UP = "step", false,
        "請再以另一種方式驗證身分，才能繼續。",
        "To go on, please prove who you are in one more way.";
    /// The shop's bank needs more proof than ours.
    DEMANDED = "demand", false,
        "商店的銀行要求更高強度的身分驗證。請再以另一種方式驗證身分，然後重新選擇卡片。",
        "The shop's bank asks for more. Please prove who you are in one more way, then choose the card again.";
    /// The card can't be used.
    CARD = "card", true,
        "這張卡片無法支付這筆訂單，請選擇其他卡片。沒有任何扣款。",
        "That card can't pay this order. Please choose another one. Nothing was charged.";
    /// The account has not enough left.
    FUNDS = "funds", true,
        "這張卡片的餘額或額度不足，請選擇其他卡片。沒有任何扣款。",
        "That card has not enough left. Please choose another one. Nothing was charged.";
    /// The payment needs a device's signature.
    CONSENT = "consent", true,
        "這筆付款需要已綁定裝置的簽章。請使用已綁定的瀏覽器確認，或先綁定此瀏覽器。",
        "This payment needs the signature of a bound device. Confirm it in a bound browser, or bind this one first.";
    /// A device is bound.
    BOUND = "bound", false,
        "此瀏覽器已綁定。",
        "This browser is bound now.";
    /// Features are enrolled.
    ENROLLED = "enrolled", false,
        "特徵已登錄。",
        "The features are enrolled.";
    /// A passkey is registered.
    REGISTERED = "registered", false,
        "通行密鑰已登錄。",
        "The passkey is registered.";
    /// A credential was removed.
    REMOVED = "removed", false,
        "已移除。",
        "It is removed.";
    /// The device is confirmed.
    CONFIRMED = "confirmed", false,
        "已確認您使用的是開啟付款頁面的裝置。",
        "It is confirmed that this is the device that opened the payment page.";
}

impl Notice {
    /// The notice with this code.
    pub(super) fn of(code: &str) -> Option<Self> {
        ALL.iter().find(|notice| notice.code == code).copied()
    }

    /// The address of a page that shows it.
    pub(super) fn on(self, page: &str) -> String {
        format!("{page}?n={}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_is_found_by_its_own_code() {
        for notice in ALL {
            assert_eq!(Notice::of(notice.code), Some(*notice));
            assert!(notice.code.bytes().all(|b| b.is_ascii_lowercase()));
            assert!(notice.words.en.is_ascii() && !notice.words.zh_tw.is_ascii());
        }
        assert_eq!(Notice::of("nothing"), None);
        assert_eq!(BOUND.on("/v/x/credentials"), "/v/x/credentials?n=bound");
    }
}
