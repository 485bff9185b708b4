//! The banks' configurations, as far as they differ.

use super::{
    guessing::SOURCE_FAILURES,
    policies::{AGREED, LARGE, MIDDLE, SMALL},
    small::{COUNT_MAX, SMALL_MAX, SUM_MAX},
};

/// Passwords as cheap as they may be, and room for all who wait at once. All attacks come from one place, which
/// is to stop none of them where that is not the matter.
const BUSY: &str =
    "[auth]\nsource_failures_max = 1000000\n[passwords]\nmemory_kib = 7168\niterations = 5\nqueue = 1024\n";
/// Passkeys of one relying party.
const PASSKEYS: &str = "[passkeys]\nrelying_party_id = \"bank.example\"\norigins = [\"https://bank.example\"]\n";

fn with(policy: &str) -> String {
    format!("{BUSY}{PASSKEYS}[policy]\n{policy}")
}

/// Two kinds of proof sign in and pay.
pub(crate) fn two_kinds() -> String {
    with("profile = \"two_of_three\"\nsign_in = { kinds = 2 }\n")
}

/// The same, and a session is its device's.
pub(crate) fn bound_sessions() -> String {
    with("profile = \"two_of_three\"\nbind_sessions = true\nsign_in = { kinds = 2 }\n")
}

/// One kind of proof signs in and pays.
pub(crate) fn one_kind() -> String {
    with("profile = \"one_factor\"\n")
}

/// A rule for each amount.
pub(crate) fn rules() -> String {
    let up_to = |minor_units| format!("amount_up_to = [{{ currency = \"TWD\", minor_units = {minor_units} }}]");
    with(&format!(
        r#"rules = [
  {{ {small}, kinds = 1 }},
  {{ {middle}, category_codes = ["5942"], one_of = [["knowledge", "possession"]] }},
  {{ {large}, device = "bound", one_of = [["possession", "inherence"]] }},
  {{ {large}, device = "none", one_of = [["passkey"]] }},
  {{ {agreed}, kinds = 2, consent = true }},
  {{ kinds = 3, consent = true }},
]
"#,
        small = up_to(SMALL),
        middle = up_to(MIDDLE),
        large = up_to(LARGE),
        agreed = up_to(AGREED),
    ))
}

/// Small payments are easy.
pub(crate) fn small_payments() -> String {
    with(&format!(
        "profile = \"psd2\"\nlow_value = [{{ currency = \"TWD\", amount_max_minor_units = {SMALL_MAX}, \
         sum_max_minor_units = {SUM_MAX}, count_max = {COUNT_MAX} }}]\n"
    ))
}

/// Few failures from one place are borne.
pub(crate) fn few_failures() -> String {
    one_kind().replace("source_failures_max = 1000000", &format!("source_failures_max = {SOURCE_FAILURES}"))
}
