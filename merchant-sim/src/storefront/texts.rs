//! The words of the demo shops' pages.

use mesh::web::Language;
use proto::pb::CancelOutcome;

use super::catalogue::Way;
use super::counter::Standing;

/// The words in one language.
pub(super) struct Texts {
    pub(super) tag: &'static str,
    pub(super) shops: &'static str,
    pub(super) shops_hint: &'static str,
    pub(super) demo: &'static str,
    pub(super) basket: &'static str,
    pub(super) orders: &'static str,
    pub(super) all_shops: &'static str,
    pub(super) enter: &'static str,
    pub(super) add: &'static str,
    pub(super) empty: &'static str,
    pub(super) go_on: &'static str,
    pub(super) quantity: &'static str,
    pub(super) change: &'static str,
    pub(super) total: &'static str,
    pub(super) deliver: &'static str,
    pub(super) recipient: &'static str,
    pub(super) recipient_default: &'static str,
    pub(super) city: &'static str,
    pub(super) cities: [&'static str; 4],
    pub(super) time: &'static str,
    pub(super) times: [&'static str; 3],
    pub(super) check_out: &'static str,
    pub(super) leads: &'static str,
    pub(super) order: &'static str,
    pub(super) items: &'static str,
    pub(super) pay: &'static str,
    pub(super) cancel: &'static str,
    pub(super) answer: &'static str,
    pub(super) no_orders: &'static str,
    pub(super) waiting: &'static str,
    pub(super) declined: &'static str,
    pub(super) not_found: &'static str,
    pub(super) not_found_hint: &'static str,
    pub(super) not_yours: &'static str,
    pub(super) not_yours_hint: &'static str,
    pub(super) too_large: &'static str,
    pub(super) too_large_hint: &'static str,
    pub(super) unavailable: &'static str,
    pub(super) unavailable_hint: &'static str,
    pub(super) back_to_basket: &'static str,
    states: [(&'static str, &'static str); 5],
    ways: [&'static str; 2],
    answers: [&'static str; 5],
}

impl Texts {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::ZhTw => &ZH_TW,
            Language::En => &EN,
        }
    }

    /// How an order stands: in two words, and in a sentence.
    pub(super) const fn state(&self, standing: Standing) -> (&'static str, &'static str) {
        match standing {
            Standing::Open { .. } => self.states[0],
            Standing::Paid => self.states[1],
            Standing::Cancelled => self.states[2],
            Standing::Expired => self.states[3],
            Standing::Failed => self.states[4],
        }
    }

    /// How one pays at a shop.
    pub(super) const fn way(&self, way: Way) -> &'static str {
        match way {
            Way::Scan => self.ways[0],
            Way::Choose => self.ways[1],
        }
    }

    /// What the acquirer says to the wish to cancel.
    pub(super) const fn cancel_answer(&self, outcome: CancelOutcome) -> Option<&'static str> {
        match outcome {
            CancelOutcome::Unspecified => None,
            CancelOutcome::Cancelled => Some(self.answers[0]),
            CancelOutcome::TooLate => Some(self.answers[1]),
            CancelOutcome::Pending => Some(self.answers[2]),
            CancelOutcome::AlreadyExpired => Some(self.answers[3]),
            CancelOutcome::AlreadyFailed => Some(self.answers[4]),
        }
    }
}

const ZH_TW: Texts = Texts {
    tag: "zh-TW",
    shops: "示範商店",
    shops_hint: "在任一家商店選購，然後用您自己的銀行應用程式付款。",
    demo: "示範環境：商品、銀行和款項都是虛構的。",
    basket: "購物車",
    orders: "我的訂單",
    all_shops: "所有商店",
    enter: "進入商店",
    add: "加入購物車",
    empty: "購物車是空的。",
    go_on: "繼續選購",
    quantity: "數量",
    change: "更新",
    total: "總計",
    deliver: "配送",
    recipient: "收件人",
    recipient_default: "王小明",
    city: "城市",
    cities: ["臺北市", "臺中市", "臺南市", "高雄市"],
    time: "付款期限",
    times: ["15 分鐘", "1 小時", "1 分鐘（試試逾期）"],
    check_out: "前往付款",
    leads: "接下來會到收單銀行的付款頁；這裡不需要輸入卡號。",
    order: "訂單",
    items: "內容",
    pay: "前往付款頁",
    cancel: "取消訂單",
    answer: "關於取消",
    no_orders: "這個瀏覽器還沒有在這家商店下過訂單。",
    waiting: "等待通知；本頁會自動更新。",
    declined: "剛才的付款沒有成功，可以改用其他卡片再試。",
    not_found: "找不到這個頁面",
    not_found_hint: "網址可能打錯了。",
    not_yours: "這筆訂單不是在這個瀏覽器下的",
    not_yours_hint: "只有下訂單的瀏覽器可以取消訂單。",
    too_large: "訂單金額太高",
    too_large_hint: "這家商店不能收這麼高的金額。購物車沒有變動，請減少數量。",
    unavailable: "目前無法聯絡收單銀行",
    unavailable_hint: "沒有收取任何款項，購物車也沒有變動。請稍候再試一次。",
    back_to_basket: "回到購物車",
    states: [
        ("等待付款", "付款完成後，收單銀行會通知我們。"),
        ("已付款", "收單銀行已通知我們。謝謝您的訂購。"),
        ("已取消", "沒有收取任何款項。"),
        ("已逾期", "付款期限已過，沒有收取任何款項。"),
        ("付款失敗", "已達嘗試次數上限，沒有收取任何款項。"),
    ],
    ways: ["用 QR 碼付款", "選擇您的銀行付款"],
    answers: [
        "訂單已取消。沒有收取任何款項，之後也不會收取。",
        "來不及了：這筆訂單已經付款。",
        "付款正在進行中。如果沒有成功，訂單就會取消；如果成功，訂單就算已付款。",
        "這筆訂單先前已經逾期，沒有收取任何款項。",
        "這筆訂單先前已經失敗，沒有收取任何款項。",
    ],
};

const EN: Texts = Texts {
    tag: "en",
    shops: "Demo shops",
    shops_hint: "Buy something at any of them, and pay from your own bank's app.",
    demo: "A demonstration: goods, banks and money are invented.",
    basket: "Basket",
    orders: "My orders",
    all_shops: "All shops",
    enter: "Visit the shop",
    add: "Add to basket",
    empty: "Your basket is empty.",
    go_on: "Continue shopping",
    quantity: "Quantity",
    change: "Update",
    total: "Total",
    deliver: "Delivery",
    recipient: "Recipient",
    recipient_default: "Wang Xiao-Ming",
    city: "City",
    cities: ["Taipei", "Taichung", "Tainan", "Kaohsiung"],
    time: "Time to pay",
    times: ["15 minutes", "1 hour", "1 minute (to see it expire)"],
    check_out: "Go to payment",
    leads: "Next comes the payment page of the shop's acquirer. No card number is typed anywhere.",
    order: "Order",
    items: "Items",
    pay: "Go to the payment page",
    cancel: "Cancel the order",
    answer: "About cancelling",
    no_orders: "This browser has made no order at this shop yet.",
    waiting: "Waiting for news; this page updates by itself.",
    declined: "The last payment was declined. Another card may work.",
    not_found: "There is no such page",
    not_found_hint: "Perhaps the address was mistyped.",
    not_yours: "This order was made in another browser",
    not_yours_hint: "Only the browser that made an order can cancel it.",
    too_large: "The order is too large",
    too_large_hint: "This shop may not take such an amount. Your basket is as it was: please take fewer.",
    unavailable: "The shop's bank cannot be reached",
    unavailable_hint: "Nothing was charged, and your basket is as it was. Please try again in a moment.",
    back_to_basket: "Back to the basket",
    states: [
        ("Waiting for payment", "The shop's bank tells us when it is paid."),
        ("Paid", "The shop's bank has told us so. Thank you for your order."),
        ("Cancelled", "Nothing was charged."),
        ("Expired", "The time to pay is over. Nothing was charged."),
        ("Payment failed", "There were too many attempts. Nothing was charged."),
    ],
    ways: ["Pay with a QR code", "Choose your bank"],
    answers: [
        "The order is cancelled. Nothing was charged, and nothing will be.",
        "Too late: the order is paid already.",
        "A payment is under way. If it is declined, the order is cancelled; if it is approved, the order is paid.",
        "The order had expired before. Nothing was charged.",
        "The order had failed before. Nothing was charged.",
    ],
};
