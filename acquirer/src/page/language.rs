//! The languages of the page.

/// A language that the page speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Traditional Chinese; where nothing else is asked for.
    ZhTw,
    /// English.
    En,
}

impl Language {
    /// The language of an Accept-Language header (RFC 9110, section 12.5.4) that the page speaks and
    /// the browser likes best; of equals the first.
    pub(super) fn preferred(header: Option<&str>) -> Self {
        let mut best = (0, Self::ZhTw);
        for range in header.unwrap_or_default().split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let language = match primary.as_str() {
                "zh" | "*" => Self::ZhTw,
                "en" => Self::En,
                _ => continue,
            };
            let quality = quality(parameters);
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }

    pub(super) const fn texts(self) -> &'static Texts {
        match self {
            Self::ZhTw => &ZH_TW,
            Self::En => &EN,
        }
    }
}

/// A quality value in thousandths: `q=0.7` is 700, none is 1000, and what is malformed counts for nothing.
fn quality(parameters: &str) -> u32 {
    let Some(value) = parameters.trim().strip_prefix("q=") else {
        return if parameters.trim().is_empty() { 1000 } else { 0 };
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 {
        return 0;
    }
    match (whole, format!("{fraction:0<3}").parse::<u32>()) {
        ("0", Ok(thousandths)) => thousandths,
        ("1", Ok(0)) => 1000,
        _ => 0,
    }
}

/// The page's words.
pub(super) struct Texts {
    pub(super) tag: &'static str,
    pub(super) title: &'static str,
    pub(super) open: &'static str,
    pub(super) open_hint: &'static str,
    pub(super) declined_hint: &'static str,
    pub(super) authorizing: &'static str,
    pub(super) authorizing_hint: &'static str,
    pub(super) approved: &'static str,
    pub(super) approved_hint: &'static str,
    pub(super) expired: &'static str,
    pub(super) failed: &'static str,
    pub(super) cancelled: &'static str,
    pub(super) ended_hint: &'static str,
    pub(super) choose_bank: &'static str,
    pub(super) choose_bank_hint: &'static str,
    pub(super) no_picker: &'static str,
    pub(super) no_picker_hint: &'static str,
    pub(super) back_to_payment: &'static str,
    pub(super) payee: &'static str,
    pub(super) amount: &'static str,
    pub(super) items: &'static str,
    pub(super) delivery: &'static str,
    pub(super) pay_by: &'static str,
    pub(super) order_id: &'static str,
    pub(super) back: &'static str,
    pub(super) not_found: &'static str,
    pub(super) not_found_hint: &'static str,
    pub(super) unavailable: &'static str,
    pub(super) unavailable_hint: &'static str,
}

const ZH_TW: Texts = Texts {
    tag: "zh-TW",
    title: "付款",
    open: "請用您的銀行 App 掃描付款",
    open_hint: "在銀行 App 中核對商店與金額後再確認付款。本頁面不會要求您輸入卡號或密碼。",
    declined_hint: "上一次付款未獲核准，您可以換一張卡片再試一次。",
    authorizing: "授權處理中，請稍候",
    authorizing_hint: "請不要重複付款，結果會顯示在這裡。",
    approved: "付款成功",
    approved_hint: "系統會自動通知商店。",
    expired: "訂單已逾期",
    failed: "付款未完成",
    cancelled: "訂單已取消",
    ended_hint: "這筆訂單已無法付款。如仍要購買，請回到商店重新下單。",
    choose_bank: "選擇我的銀行",
    choose_bank_hint: "不方便掃描嗎？也可以在這台裝置上選擇您的銀行付款。",
    no_picker: "暫時無法選擇銀行",
    no_picker_hint: "您仍可回到付款頁面，用銀行 App 掃描 QR 碼付款，或稍後再試一次。您的訂單不受影響。",
    back_to_payment: "回到付款頁面",
    payee: "商店",
    amount: "金額",
    items: "商品",
    delivery: "收件",
    pay_by: "付款期限",
    order_id: "訂單編號",
    back: "回到商店",
    not_found: "找不到這筆訂單",
    not_found_hint: "請檢查網址，或回到商店重新開啟付款頁面。",
    unavailable: "暫時無法顯示",
    unavailable_hint: "請稍後重新整理。您的付款狀態不受影響。",
};

const EN: Texts = Texts {
    tag: "en",
    title: "Payment",
    open: "Scan with your bank's app to pay",
    open_hint: "Check the shop and the amount in your bank's app before you confirm. This page never asks for a \
                card number or a password.",
    declined_hint: "The last payment was not approved. You can try again with another card.",
    authorizing: "Your payment is being authorized",
    authorizing_hint: "Please do not pay again. The result will appear here.",
    approved: "Paid",
    approved_hint: "The shop is told by itself.",
    expired: "This order has expired",
    failed: "The payment did not succeed",
    cancelled: "This order was cancelled",
    ended_hint: "It can't be paid any more. If you still want to buy, please order again at the shop.",
    choose_bank: "Choose my bank",
    choose_bank_hint: "Can't scan it? You can also choose your bank and pay on this device.",
    no_picker: "The banks can't be shown now",
    no_picker_hint: "You can go back and scan the QR code with your bank's app, or try again in a moment. Your order \
                     is not affected.",
    back_to_payment: "Back to the payment page",
    payee: "Shop",
    amount: "Amount",
    items: "Items",
    delivery: "Delivery",
    pay_by: "Pay by",
    order_id: "Order",
    back: "Back to the shop",
    not_found: "There is no such order",
    not_found_hint: "Please check the address, or open the payment page from the shop again.",
    unavailable: "This page can't be shown now",
    unavailable_hint: "Please reload it in a moment. Your payment is not affected.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_gets_the_language_that_it_likes_best() {
        for (header, language) in [
            (None, Language::ZhTw),
            (Some(""), Language::ZhTw),
            (Some("fr"), Language::ZhTw),
            (Some("*"), Language::ZhTw),
            (Some("en"), Language::En),
            (Some("EN-us,zh;q=0.5"), Language::En),
            (Some("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7"), Language::ZhTw),
            (Some("zh;q=0.3, en;q=0.30"), Language::ZhTw),
            (Some("zh;q=0.3, en;q=0.301"), Language::En),
            (Some("de, en;q=0.1"), Language::En),
            (Some("en;q=0"), Language::ZhTw),
            (Some("en;q=x, zh;q=0.1"), Language::ZhTw),
            (Some("en;q=1.5"), Language::ZhTw),
            (Some(";;;,,,q=1"), Language::ZhTw),
        ] {
            assert_eq!(Language::preferred(header), language, "{header:?}");
        }
    }
}
