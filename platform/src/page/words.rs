//! The pages' words.

use mesh::web::{Language, Words};

/// The words of every page in one language, for the templates.
#[derive(Clone, Copy)]
pub(super) struct Texts(pub(super) Language);

macro_rules! texts {
    ($($name:ident: $zh_tw:literal, $en:literal;)+) => {
        impl Texts {
            $(pub(super) const fn $name(self) -> &'static str {
                Words { zh_tw: $zh_tw, en: $en }.of(self.0)
            })+
        }
    };
}

texts! {
    brand: "安全付款", "Secure payment";
    promise: "本頁面不會要求您輸入卡號、密碼或驗證碼。", "This page never asks for a card number, a password or a code.";
    choose: "選擇付款銀行", "Choose your bank";
    choose_hint: "您的銀行 App 會再次顯示商店與金額，由您確認後才付款。",
        "Your bank's app shows the shop and the amount again, and you confirm it there.";
    amount: "應付金額", "Amount due";
    search: "搜尋銀行", "Search for a bank";
    search_button: "搜尋", "Search";
    banks: "銀行", "Banks";
    last_used: "上次使用", "Used last";
    no_match: "沒有符合的銀行，請換個名稱搜尋。", "No bank fits. Please search for another name.";
    show_all: "顯示所有銀行", "Show all banks";
    no_banks: "目前沒有可用的銀行", "There is no bank to choose now";
    no_banks_hint: "請稍後再試，或回到商店選擇其他付款方式。",
        "Please try again in a moment, or go back to the shop for another way to pay.";
    suspended: "暫停服務", "Paused";
    unreachable: "連線中斷", "Not answering";
    pick_another: "這家銀行目前無法使用，請選擇另一家。", "This bank can't be used now. Please choose another one.";
    opening: "正在開啟您的銀行", "Opening your bank";
    opening_hint: "在銀行 App 中核對商店與金額，再確認付款。付款後，結果會顯示在付款頁面。",
        "Check the shop and the amount in your bank's app, then confirm. The result appears on the payment page.";
    open_app: "開啟銀行 App", "Open the bank's app";
    no_app: "沒有開啟 App？", "No app opened?";
    no_app_hint: "請先確認手機已安裝這家銀行的 App，再試一次。每次都會產生新的一次性連結。",
        "Please check that this bank's app is installed, then try again. Each try makes a new link that works once.";
    again: "用新的連結再試一次", "Try again with a new link";
    another_bank: "選擇另一家銀行", "Choose another bank";
    back_to_payment: "回到付款頁面", "Back to the payment page";
    back_to_shop: "回到商店", "Back to the shop";
    landing: "正在準備付款", "Preparing your payment";
    landing_hint: "請稍候，馬上就會顯示銀行清單。", "One moment, the list of banks is about to appear.";
    landing_lost: "這個連結不完整", "This link is not complete";
    landing_lost_hint: "請用手機相機或銀行 App 再掃描一次付款頁面上的 QR 碼。",
        "Please scan the QR code on the payment page again, with your camera or your bank's app.";
    no_script_hint: "您的瀏覽器沒有執行 JavaScript，無法讀取這個連結。請改用銀行 App 掃描 QR 碼，或在付款頁面按「選擇我的銀行」。",
        "Your browser runs no JavaScript and can't read this link. Please scan the QR code with your bank's app, or \
         press \"Choose my bank\" on the payment page.";
    proceed: "繼續", "Continue";
    other_browser: "這筆付款已在另一個瀏覽器中開啟", "This payment is open in another browser";
    other_browser_hint: "為了保護您，它只能在那裡繼續。請回到原來的瀏覽器，或回到付款頁面重新選擇銀行。如果這個連結是別人傳給您的，請不要付款。",
        "To protect you, it goes on only there. Please return to that browser, or start again from the payment page. \
         If somebody sent you this link, do not pay.";
    not_found: "找不到這筆付款", "There is no such payment";
    not_found_hint: "請回到商店的付款頁面重新開始。", "Please start again from the shop's payment page.";
    not_an_order: "這不是有效的付款連結", "This is no valid payment link";
    not_an_order_hint: "請再掃描一次付款頁面上的 QR 碼。如果仍然無法使用，請不要付款。",
        "Please scan the QR code on the payment page again. If it still doesn't work, do not pay.";
    ended: "付款期限已過", "The time to pay is over";
    ended_hint: "沒有扣款。如仍要購買，請回到商店重新下單。",
        "Nothing was charged. If you still want to buy, please order again at the shop.";
    unavailable: "暫時無法顯示", "This page can't be shown now";
    unavailable_hint: "請稍後再試，您的付款不受影響。", "Please try again in a moment. Your payment is not affected.";
}

impl Texts {
    pub(super) const fn tag(self) -> &'static str {
        self.0.tag()
    }
}
