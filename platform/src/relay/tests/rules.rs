//! The rules alone, by table: each one, and which of two broken ones decides.

use std::time::Duration;

use mesh::directory::Directory;
use mesh::identity::Role;
use proto::authorization::Route;
use proto::digest::Digest;
use proto::pb::MemberStatus;

use super::network::{AURORA, BOREALIS, HARBOR, Network, Terms, money, now};
use crate::relay::enforce::Rules;
use crate::relay::refused::Refused;
use crate::ticket::TicketFault;

fn terms(role: Role, status: MemberStatus) -> Terms {
    Terms { role, status, ..Terms::issuer() }
}

fn directory(network: &Network, issuer: MemberStatus, acquirer: MemberStatus) -> Directory {
    network.directory(&[
        (AURORA, terms(Role::Issuer, issuer)),
        (BOREALIS, terms(Role::Issuer, MemberStatus::Active)),
        (HARBOR, terms(Role::Acquirer, acquirer)),
    ])
}

/// Breaks one rule.
type Breach = (&'static str, fn(&Network, &mut Situation), Refused);

struct Situation {
    issuer: MemberStatus,
    acquirer: MemberStatus,
    caller: &'static str,
    route: Route,
    later: Duration,
    wait: Option<Duration>,
}

impl Situation {
    fn allowed(network: &Network) -> Self {
        Self {
            issuer: MemberStatus::Active,
            acquirer: MemberStatus::Active,
            caller: AURORA,
            route: network.route(),
            later: Duration::ZERO,
            wait: None,
        }
    }

    fn judge(&self, network: &Network) -> Result<String, Refused> {
        let directory = directory(network, self.issuer, self.acquirer);
        let rules = Rules { directory: &directory, tickets: &network.tickets, now: now() + self.later };
        let take = |_: &_| self.wait.map_or(Ok(()), Err);
        let caller = self.caller.parse().unwrap();
        rules.authorize(&caller, &self.route, take).map(|acquirer| acquirer.entry().member.to_string())
    }

    fn resolve(&self, network: &Network) -> Result<String, Refused> {
        let directory = directory(network, self.issuer, self.acquirer);
        let rules = Rules { directory: &directory, tickets: &network.tickets, now: now() + self.later };
        let caller = self.caller.parse().unwrap();
        rules.resolve(&caller, &self.route).map(|acquirer| acquirer.entry().member.to_string())
    }
}

/// Every rule with a way to break it, in the design's order.
const BREACHES: [Breach; 12] = [
    ("no member", |_, at| at.caller = "bank-nowhere", Refused::MemberUnknown),
    ("suspended", |_, at| at.issuer = MemberStatus::Suspended, Refused::MemberSuspended),
    ("another's name", |_, at| at.route.issuer = BOREALIS.parse().unwrap(), Refused::IssuerMismatch),
    ("no acquirer", |_, at| at.route.acquirer = "acq-nowhere".parse().unwrap(), Refused::AcquirerUnknown),
    ("acquirer suspended", |_, at| at.acquirer = MemberStatus::Suspended, Refused::AcquirerSuspended),
    ("no ticket", |_, at| at.route.ticket = Default::default(), Refused::Ticket(TicketFault::Missing)),
    (
        "forged ticket",
        |_, at| {
            let mut ticket = at.route.ticket.to_vec();
            if let Some(last) = ticket.last_mut() {
                *last ^= 1;
            }
            at.route.ticket = ticket.into();
        },
        Refused::Ticket(TicketFault::Invalid),
    ),
    ("late", |_, at| at.later = Duration::from_secs(3_661), Refused::Ticket(TicketFault::Expired)),
    (
        "another's ticket",
        |network, at| at.route.ticket = network.ticket(BOREALIS),
        Refused::Ticket(TicketFault::OtherBank),
    ),
    (
        "ticket of another order",
        |_, at| at.route.order_digest = Digest::of(b"another order"),
        Refused::Ticket(TicketFault::OtherOrder),
    ),
    ("too many", |_, at| at.wait = Some(Duration::from_millis(5)), Refused::RateLimit(Duration::from_millis(5))),
    ("too much", |_, at| at.route.amount = money(1_000_001), Refused::AmountLimit),
];

#[test]
fn each_rule_is_enforced() {
    let network = Network::new();
    assert_eq!(Situation::allowed(&network).judge(&network), Ok(HARBOR.to_owned()));
    for (name, breach, refused) in BREACHES {
        let mut situation = Situation::allowed(&network);
        breach(&network, &mut situation);
        assert_eq!(situation.judge(&network), Err(refused), "{name}");
    }
}

#[test]
fn of_two_broken_rules_the_first_decides() {
    let network = Network::new();
    for (i, (first, break_first, refused)) in BREACHES.into_iter().enumerate() {
        for (second, break_second, _) in BREACHES.into_iter().skip(i + 1) {
            let mut situation = Situation::allowed(&network);
            // The earlier breach comes last: two of them change the ticket, and then that one must stand.
            break_second(&network, &mut situation);
            break_first(&network, &mut situation);
            assert_eq!(situation.judge(&network), Err(refused), "{first}, then {second}");
        }
    }
}

#[test]
fn nothing_is_taken_from_the_rate_for_a_request_that_is_refused_before() {
    let network = Network::new();
    for (name, breach, _) in BREACHES.into_iter().take(10) {
        let mut situation = Situation::allowed(&network);
        breach(&network, &mut situation);
        let directory = directory(&network, situation.issuer, situation.acquirer);
        let rules = Rules { directory: &directory, tickets: &network.tickets, now: now() + situation.later };
        let taken = std::cell::Cell::new(false);
        let take = |_: &_| {
            taken.set(true);
            Ok(())
        };
        assert!(rules.authorize(&situation.caller.parse().unwrap(), &situation.route, take).is_err(), "{name}");
        assert!(!taken.get(), "{name}");
    }
}

#[test]
fn other_currencies_and_members_in_other_roles_are_not_allowed() {
    let network = Network::new();
    let mut foreign = Situation::allowed(&network);
    let euros = proto::pb::Money { currency_code: "EUR".to_owned(), minor_units: 1 };
    foreign.route.amount = proto::money::Money::parse_positive(euros).unwrap();
    assert_eq!(foreign.judge(&network), Err(Refused::AmountLimit));
    let acquirer_calls = Situation { caller: HARBOR, ..Situation::allowed(&network) };
    assert_eq!(acquirer_calls.judge(&network), Err(Refused::MemberUnknown));
    let mut to_a_bank = Situation::allowed(&network);
    to_a_bank.route.acquirer = BOREALIS.parse().unwrap();
    assert_eq!(to_a_bank.judge(&network), Err(Refused::AcquirerUnknown));
}

#[test]
fn a_question_stays_open_to_the_suspended_and_to_nobody_else() {
    let network = Network::new();
    let open = |change: fn(&mut Situation)| {
        let mut situation = Situation::allowed(&network);
        change(&mut situation);
        situation.resolve(&network)
    };
    assert_eq!(open(|_| {}), Ok(HARBOR.to_owned()));
    assert_eq!(open(|at| at.issuer = MemberStatus::Suspended), Ok(HARBOR.to_owned()));
    assert_eq!(open(|at| at.acquirer = MemberStatus::Suspended), Ok(HARBOR.to_owned()));
    assert_eq!(open(|at| at.route.ticket = Default::default()), Ok(HARBOR.to_owned()));
    assert_eq!(open(|at| at.route.amount = money(1_000_001)), Ok(HARBOR.to_owned()));
    assert_eq!(open(|at| at.caller = "bank-nowhere"), Err(Refused::MemberUnknown));
    assert_eq!(open(|at| at.route.issuer = BOREALIS.parse().unwrap()), Err(Refused::IssuerMismatch));
    assert_eq!(open(|at| at.route.acquirer = "acq-nowhere".parse().unwrap()), Err(Refused::AcquirerUnknown));
    assert_eq!(open(|at| at.issuer = MemberStatus::Removed), Err(Refused::MemberSuspended));
    assert_eq!(open(|at| at.acquirer = MemberStatus::Removed), Err(Refused::AcquirerSuspended));
}
