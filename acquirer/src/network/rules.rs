//! How the simulated network decides: by the number alone, so that everybody can tell beforehand.

use std::time::{Duration, SystemTime};

use proto::{
    authorization::{ApprovalCode, DeclineReason},
    card::{Bin, CardData, Pan},
    digest::Digest,
};

use super::{NetworkDecision, NetworkId, cards::TEST_BINS};

/// How long a slow card's answer takes: well within the acquirer's deadline of 5 seconds.
pub const SLOW_AFTER: Duration = Duration::from_secs(2);
/// When a late card is approved: well after the acquirer's deadline and its inquiry.
pub const LATE_AFTER: Duration = Duration::from_secs(8);

/// What the simulated network does with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Approves at once.
    Approve,
    /// Declines at once.
    Decline(DeclineReason),
    /// Approves after [`SLOW_AFTER`].
    Slow,
    /// Never answers; an inquiry never knows anything.
    Silent,
    /// Stays silent for [`LATE_AFTER`] and approves then, unless the authorization was reversed by
    /// then. An inquiry knows nothing before.
    Late,
}

impl Behaviour {
    /// The behaviour that a number stands for.
    ///
    /// | the three digits before the check digit | behaviour |
    /// |---|---|
    /// | 901 | declines, INSUFFICIENT_FUNDS |
    /// | 902 | declines, DO_NOT_HONOR |
    /// | 903 | declines, LOST_CARD |
    /// | 904 | declines, STOLEN_CARD |
    /// | 905 | declines, SUSPECTED_FRAUD |
    /// | 906 | declines, CVV_MISMATCH, whether a CVV is sent or not |
    /// | 907 | approves after 2 s |
    /// | 908 | never answers |
    /// | 909 | approves after 8 s, silent until then |
    /// | anything else | approves |
    ///
    /// Only cards under the invented [`TEST_BINS`] are known; any other number is declined with
    /// DO_NOT_HONOR, so that a real card can never look paid here.
    #[must_use]
    pub fn of(pan: &Pan) -> Self {
        if !is_test_bin(pan.bin()) {
            return Self::Decline(DeclineReason::DoNotHonor);
        }
        match digits_before_check_digit(pan) {
            "901" => Self::Decline(DeclineReason::InsufficientFunds),
            "902" => Self::Decline(DeclineReason::DoNotHonor),
            "903" => Self::Decline(DeclineReason::LostCard),
            "904" => Self::Decline(DeclineReason::StolenCard),
            "905" => Self::Decline(DeclineReason::SuspectedFraud),
            "906" => Self::Decline(DeclineReason::CvvMismatch),
            "907" => Self::Slow,
            "908" => Self::Silent,
            "909" => Self::Late,
            _ => Self::Approve,
        }
    }
}

/// The one CVV that the simulated network accepts for a number: the three digits before the last four.
#[must_use]
pub fn right_cvv(pan: &Pan) -> &str {
    let digits = pan.expose();
    &digits[digits.len() - 7..digits.len() - 4]
}

/// What the simulated network decides about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub decision: NetworkDecision,
    /// After how long it says so; never, where there is no such time.
    pub after: Option<Duration>,
}

/// Decides about a card. A wrong CVV and a past expiry are declined at once, whatever the number
/// stands for, as a network checks the card before it asks anybody.
#[must_use]
pub fn rule(id: &NetworkId, card: &CardData, now: SystemTime) -> Ruling {
    let at_once = |reason| Ruling { decision: NetworkDecision::Declined(reason), after: Some(Duration::ZERO) };
    if card.cvv.as_ref().is_some_and(|cvv| cvv.expose() != right_cvv(&card.pan)) {
        return at_once(DeclineReason::CvvMismatch);
    }
    if card.expiry.is_over(now) {
        return at_once(DeclineReason::CardExpired);
    }
    let approved = NetworkDecision::Approved(approval_code(id));
    match Behaviour::of(&card.pan) {
        Behaviour::Approve => Ruling { decision: approved, after: Some(Duration::ZERO) },
        Behaviour::Decline(reason) => at_once(reason),
        Behaviour::Slow => Ruling { decision: approved, after: Some(SLOW_AFTER) },
        Behaviour::Silent => Ruling { decision: approved, after: None },
        Behaviour::Late => Ruling { decision: approved, after: Some(LATE_AFTER) },
    }
}

/// The approval code follows from the id, so that a run with the same ids gives the same codes.
fn approval_code(id: &NetworkId) -> ApprovalCode {
    const CHARACTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digest = Digest::of(id.to_string().as_bytes());
    let code: String =
        digest.as_bytes().iter().take(6).map(|byte| char::from(CHARACTERS[usize::from(byte % 36)])).collect();
    code.parse().expect("invariant: six characters of 0-9 and A-Z are an approval code")
}

fn is_test_bin(bin: Bin) -> bool {
    TEST_BINS.iter().any(|(first, last)| (*first..=*last).contains(&bin))
}

fn digits_before_check_digit(pan: &Pan) -> &str {
    let digits = pan.expose();
    &digits[digits.len() - 4..digits.len() - 1]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::UNIX_EPOCH;

    use proto::card::Expiry;

    use super::*;

    fn id(byte: u8) -> NetworkId {
        NetworkId {
            issuer: "bank-aurora".parse().unwrap(),
            authorization: proto::ids::AuthorizationId::from_random([byte; 16]),
        }
    }

    fn card(pan: &str, cvv: Option<&str>) -> CardData {
        CardData {
            pan: pan.parse().unwrap(),
            expiry: Expiry::new(2031, 12).unwrap(),
            cvv: cvv.map(|text| text.parse().unwrap()),
        }
    }

    fn decision(card: &CardData, now: SystemTime) -> NetworkDecision {
        rule(&id(1), card, now).decision
    }

    #[test]
    fn a_card_of_no_test_bin_is_never_approved() {
        // 4111 1111 is outside of every test BIN; the number passes Luhn.
        let ruling = decision(&card("4111111111111111", None), UNIX_EPOCH);
        assert_eq!(ruling, NetworkDecision::Declined(DeclineReason::DoNotHonor));
    }

    #[test]
    fn a_cvv_is_checked_where_it_is_sent() {
        let pan = "4000000012340016";
        assert_eq!(right_cvv(&pan.parse().unwrap()), "234");
        assert!(matches!(decision(&card(pan, None), UNIX_EPOCH), NetworkDecision::Approved(_)));
        assert!(matches!(decision(&card(pan, Some("234")), UNIX_EPOCH), NetworkDecision::Approved(_)));
        for wrong in ["235", "2340", "000"] {
            let ruling = rule(&id(1), &card(pan, Some(wrong)), UNIX_EPOCH);
            assert_eq!(ruling.decision, NetworkDecision::Declined(DeclineReason::CvvMismatch));
            assert_eq!(ruling.after, Some(Duration::ZERO));
        }
    }

    #[test]
    fn a_card_past_its_month_is_declined() {
        // 2032-01-01T00:00:00Z.
        let after = UNIX_EPOCH + Duration::from_secs(1_956_528_000);
        assert_eq!(
            decision(&card("4000000012340016", None), after),
            NetworkDecision::Declined(DeclineReason::CardExpired)
        );
        assert!(matches!(
            decision(&card("4000000012340016", None), after - Duration::from_secs(1)),
            NetworkDecision::Approved(_)
        ));
    }

    #[test]
    fn the_approval_code_follows_from_the_id() {
        assert_eq!(approval_code(&id(1)), approval_code(&id(1)));
        assert_ne!(approval_code(&id(1)), approval_code(&id(2)));
    }
}
