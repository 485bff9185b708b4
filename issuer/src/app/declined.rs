//! Why a payment was declined, in words for its customer, and whether another card may do.

use mesh::web::Words;
use proto::pb::DeclineReason;

/// What the page of a declined charge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Declined {
    /// Why.
    pub(super) words: Words,
    /// Whether the order can still be paid.
    pub(super) again: bool,
}

const fn order_is_over(zh_tw: &'static str, en: &'static str) -> Declined {
    Declined { words: Words { zh_tw, en }, again: false }
}

const fn another(zh_tw: &'static str, en: &'static str) -> Declined {
    Declined { words: Words { zh_tw, en }, again: true }
}

/// What a reason means to the customer.
pub(super) const fn of(reason: DeclineReason) -> Declined {
    match reason {
        DeclineReason::OrderAlreadyApproved => order_is_over(
            "這筆訂單已經付款，可能是在另一個裝置或另一家銀行付的。",
            "This order is paid already, perhaps on another device or at another bank.",
        ),
        DeclineReason::OrderExpired => order_is_over("訂單的付款期限已過。", "The time to pay this order is over."),
        DeclineReason::OrderCancelled => order_is_over("商店已取消這筆訂單。", "The shop cancelled this order."),
        DeclineReason::OrderFailed => order_is_over(
            "這筆訂單的付款次數已用完，請回到商店重新下單。",
            "This order was declined too often. Please order again at the shop.",
        ),
        DeclineReason::OrderUnknown | DeclineReason::OrderAltered => {
            order_is_over("收單銀行沒有這筆訂單，請不要支付它。", "The shop's bank has no such order. Do not pay it.")
        }
        DeclineReason::OrderBusy => another(
            "這筆訂單正在進行另一筆付款，請稍候再試。",
            "Another payment of this order is under way. Please wait and try again.",
        ),
        DeclineReason::CardExpired => another("卡片已過期。", "The card has expired."),
        DeclineReason::InsufficientFunds => another("餘額或額度不足。", "There is not enough left on the card."),
        DeclineReason::LostCard | DeclineReason::StolenCard => {
            another("這張卡片已掛失，無法使用。", "This card was reported lost and can't be used.")
        }
        DeclineReason::SuspectedFraud => another(
            "為了保護您，這筆付款沒有核准。如有疑問請聯絡銀行。",
            "To protect you this payment was not approved. Ask the bank if in doubt.",
        ),
        DeclineReason::MerchantLimit => {
            order_is_over("金額超過這家商店的收款上限。", "The amount is over what this shop may take.")
        }
        DeclineReason::NetworkUnavailable => another("卡片組織沒有回應。", "The card network did not answer."),
        DeclineReason::NeverReceived => {
            another("付款要求沒有送達收單銀行。", "The request did not reach the shop's bank.")
        }
        DeclineReason::AuthenticationInsufficient => {
            another("商店的銀行要求更高強度的身分驗證。", "The shop's bank asks for a stronger proof of who you are.")
        }
        DeclineReason::DeviceNotConfirmed => another(
            "無法確認您使用的是開啟付款頁面的裝置。請在該裝置上重新確認。",
            "It could not be confirmed that this is the device that opened the payment page. Confirm again on that device.",
        ),
        DeclineReason::AmountMismatch
        | DeclineReason::CardUnreadable
        | DeclineReason::CardInvalid
        | DeclineReason::BinNotOfIssuer
        | DeclineReason::CvvMismatch
        | DeclineReason::DoNotHonor
        | DeclineReason::Unspecified => {
            another("這張卡片的付款沒有核准。", "The payment with this card was not approved.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_over_is_not_tried_with_another_card() {
        for number in 0..=23 {
            let reason = DeclineReason::try_from(number).expect("a reason");
            let Declined { words, again } = of(reason);
            assert!(!words.zh_tw.is_ascii() && words.en.is_ascii(), "{reason:?}");
            // The page says it below each reason, once.
            assert!(!words.zh_tw.contains("沒有扣款") && !words.en.contains("charged"), "{reason:?}");
            let is_over = matches!(number, 2..=7 | 13);
            assert_eq!(again, !is_over, "{reason:?}");
        }
    }
}
