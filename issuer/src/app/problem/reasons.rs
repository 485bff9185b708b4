//! What the pages say of the bank's reasons. What stands not here is nothing that a customer can bring about, and is
//! told as a failure.

use axum::http::StatusCode;
use mesh::web::Words;
use proto::reason::Reason;

use super::Problem;

/// What a customer is told of a reason.
pub(super) fn of(reason: Reason) -> Problem {
    let found = TABLE.iter().find(|(of, ..)| *of == reason);
    let (_, status, title, hint, again) = *found.unwrap_or(&FAILED);
    Problem { status, title, hint, again }
}

type Row = (Reason, StatusCode, Words, Words, bool);

const FAILED: Row = (
    Reason::Internal,
    StatusCode::SERVICE_UNAVAILABLE,
    Words { zh_tw: "系統暫時無法處理", en: "The bank can't do this right now" },
    Words {
        zh_tw: "請再試一次；同一筆付款不會重複扣款。",
        en: "Please try again. The same payment is never charged twice.",
    },
    true,
);

const fn row(reason: Reason, status: StatusCode, title: Words, hint: Words, again: bool) -> Row {
    (reason, status, title, hint, again)
}

const TABLE: &[Row] = &[
    FAILED,
    row(
        Reason::OrderSignatureInvalid,
        StatusCode::BAD_REQUEST,
        Words { zh_tw: "請不要支付這筆訂單", en: "Do not pay this order" },
        Words {
            zh_tw: "它不是由收單銀行簽署的，可能是偽造的。沒有任何扣款。",
            en: "It was not signed by the shop's bank and may be forged. Nothing was charged.",
        },
        false,
    ),
    row(
        Reason::OrderExpired,
        StatusCode::GONE,
        Words { zh_tw: "訂單的付款期限已過", en: "The time to pay this order is over" },
        Words {
            zh_tw: "沒有任何扣款。如仍要購買，請回到商店重新下單。",
            en: "Nothing was charged. If you still want to buy, please order again at the shop.",
        },
        false,
    ),
    row(
        Reason::AcquirerUnknown,
        StatusCode::BAD_REQUEST,
        Words { zh_tw: "請不要支付這筆訂單", en: "Do not pay this order" },
        Words {
            zh_tw: "它的收單銀行不在這個付款網路中。沒有任何扣款。",
            en: "The shop's bank is not part of this payment network. Nothing was charged.",
        },
        false,
    ),
    row(
        Reason::AcquirerSuspended,
        StatusCode::CONFLICT,
        Words { zh_tw: "商店的收單銀行暫停服務", en: "The shop's bank is suspended" },
        Words {
            zh_tw: "沒有任何扣款。請稍後再試，或改用其他付款方式。",
            en: "Nothing was charged. Try again later, or pay in another way.",
        },
        true,
    ),
    row(
        Reason::DirectoryStale,
        StatusCode::SERVICE_UNAVAILABLE,
        Words { zh_tw: "目前無法開始新的付款", en: "No new payment can be started now" },
        Words {
            zh_tw: "沒有任何扣款。請稍後再試一次。", en: "Nothing was charged. Please try again in a moment."
        },
        true,
    ),
    row(
        Reason::CodeNotFound,
        StatusCode::GONE,
        Words { zh_tw: "這個連結已經失效", en: "This link is no longer good" },
        Words {
            zh_tw: "連結只能使用一次，而且很快就會過期。請回到銀行選擇頁面再選一次銀行，沒有任何扣款。",
            en: "Each link works once and for a short time. Go back to the page with the banks and choose your bank again. \
                 Nothing was charged.",
        },
        false,
    ),
    row(
        Reason::RateLimit,
        StatusCode::TOO_MANY_REQUESTS,
        Words { zh_tw: "嘗試次數太多", en: "There were too many tries" },
        Words {
            zh_tw: "請稍候再試一次，沒有任何扣款。",
            en: "Please wait a little and try again. Nothing was charged.",
        },
        true,
    ),
    row(
        Reason::Overloaded,
        StatusCode::SERVICE_UNAVAILABLE,
        Words { zh_tw: "系統忙碌中", en: "The bank is busy" },
        Words {
            zh_tw: "請稍候再試一次；同一筆付款不會重複扣款。",
            en: "Please try again in a moment. The same payment is never charged twice.",
        },
        true,
    ),
    row(
        Reason::CredentialNotOffered,
        StatusCode::CONFLICT,
        Words { zh_tw: "本行不提供這種驗證方式", en: "This bank does not offer that credential" },
        Words { zh_tw: "請選擇其他驗證方式。", en: "Please choose another one." },
        false,
    ),
    row(
        Reason::InvalidField,
        StatusCode::BAD_REQUEST,
        Words { zh_tw: "送出的資料不正確", en: "Something that was sent is not right" },
        Words {
            zh_tw: "請檢查後再試一次，沒有任何扣款。", en: "Please check it and try again. Nothing was charged."
        },
        false,
    ),
    row(
        Reason::ActivationCodeInvalid,
        StatusCode::CONFLICT,
        Words { zh_tw: "啟用碼無效", en: "The activation code is not valid" },
        Words {
            zh_tw: "它不存在、已使用過，或已過期。請檢查輸入的內容，或向銀行索取新的啟用碼。",
            en: "It does not exist, was used, or is too old. Check what you typed, or ask the bank for a new one.",
        },
        false,
    ),
    row(
        Reason::SignatureInvalid,
        StatusCode::BAD_REQUEST,
        Words { zh_tw: "裝置的簽章不正確", en: "The device's signature is not right" },
        Words { zh_tw: "請再試一次。", en: "Please try again." },
        true,
    ),
    row(
        Reason::CredentialsMax,
        StatusCode::CONFLICT,
        Words {
            zh_tw: "裝置或通行密鑰已達上限", en: "You have as many devices or passkeys as the bank keeps"
        },
        Words { zh_tw: "請先移除一個不再使用的。", en: "Remove one that you no longer use first." },
        false,
    ),
    row(
        Reason::FactorsInsufficient,
        StatusCode::CONFLICT,
        Words { zh_tw: "需要再驗證一次身分", en: "The bank needs one more proof of who you are" },
        Words {
            zh_tw: "新增裝置、特徵或通行密鑰前，必須先以兩種方式驗證身分。",
            en: "To add a device, features or a passkey, you prove who you are in two ways first.",
        },
        false,
    ),
    row(
        Reason::DeviceNotFound,
        StatusCode::NOT_FOUND,
        Words { zh_tw: "找不到這個裝置", en: "There is no such device" },
        Words { zh_tw: "它可能已經移除。", en: "It may have been removed already." },
        false,
    ),
    row(
        Reason::PasskeyNotFound,
        StatusCode::NOT_FOUND,
        Words { zh_tw: "找不到這個通行密鑰", en: "There is no such passkey" },
        Words { zh_tw: "它可能已經移除。", en: "It may have been removed already." },
        false,
    ),
    row(
        Reason::ChallengeNotFound,
        StatusCode::CONFLICT,
        Words { zh_tw: "驗證已逾時", en: "That took too long" },
        Words { zh_tw: "請再試一次。", en: "Please try again." },
        true,
    ),
    row(
        Reason::ChallengeExpired,
        StatusCode::CONFLICT,
        Words { zh_tw: "驗證已逾時", en: "That took too long" },
        Words { zh_tw: "請再試一次。", en: "Please try again." },
        true,
    ),
    row(
        Reason::ConsentInvalid,
        StatusCode::CONFLICT,
        Words { zh_tw: "裝置的同意與付款不符", en: "What the device signed does not fit the payment" },
        Words {
            zh_tw: "沒有任何扣款。請檢查裝置的時間，然後再試一次。",
            en: "Nothing was charged. Check that the device's clock is right, then try again.",
        },
        true,
    ),
    row(
        Reason::TicketMissing,
        StatusCode::SERVICE_UNAVAILABLE,
        Words { zh_tw: "付款平台暫時無法使用", en: "The payment platform can't be reached now" },
        Words {
            zh_tw: "沒有任何扣款。請稍後再試一次。", en: "Nothing was charged. Please try again in a moment."
        },
        true,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_help_says_that_nothing_is_charged_twice() {
        let problem = of(Reason::Unspecified);
        assert_eq!((problem.status, problem.again), (StatusCode::SERVICE_UNAVAILABLE, true));
        assert!(problem.hint.en.contains("never charged twice"));
    }

    #[test]
    fn each_reason_stands_in_the_table_once_and_in_both_languages() {
        for (at, (reason, _, title, hint, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|(other, ..)| other != reason), "{}", reason.as_wire());
            for words in [title, hint] {
                assert!(words.en.is_ascii() && !words.zh_tw.is_ascii(), "{}", reason.as_wire());
            }
        }
    }
}
