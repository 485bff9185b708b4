//! Which changes of the directory are allowed.
//!
//! The operator's signature is verified before; here the change is compared with what is in force.

use std::time::{Duration, SystemTime};

use http::Uri;
use mesh::directory::{Directory, Member};
use proto::{
    directory::{Entry, MemberStatus},
    fields::{Fields, Invalid},
    ids::MemberId,
    link::WebAddress,
    time::CLOCK_SKEW_MAX,
};

/// How old a signature under a change may be. An operator may sign on a machine that is on no network
/// and carry the entry over, but an entry that lay about for longer says what was wanted then.
pub const SIGNED_AT_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a call may do to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Add a member, or change anything but its status.
    Put,
    /// From active to suspended, and nothing else.
    Suspend,
    /// From suspended to active, and nothing else.
    Resume,
    /// From active or suspended to removed, and nothing else.
    Remove,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Fields are wrong.
    #[error(transparent)]
    Fields(#[from] Invalid),
    /// There is no such member to change the status of.
    #[error("there is no such member")]
    BankNotFound,
    /// The version does not increase.
    #[error("version {offered} does not come after version {held}, which is in force")]
    VersionNotIncreased {
        /// The version in force.
        held: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// The call may not change the status like this.
    #[error("this call cannot lead from {from} to {to}")]
    StatusChangeNotAllowed {
        /// The status in force.
        from: &'static str,
        /// The status that was offered.
        to: &'static str,
    },
    /// Some BINs are another member's.
    #[error("{path} overlaps with a range of {other}")]
    BinRangeOverlap {
        /// The field's path in the entry.
        path: String,
        /// Whose BINs they are.
        other: MemberId,
    },
}

/// Judges a verified entry that is offered in place of what the directory holds.
///
/// # Errors
/// [`ChangeRefused`]. Paths in it begin at the entry's body.
pub fn judge(kind: ChangeKind, offered: &Member, directory: &Directory, now: SystemTime) -> Result<(), ChangeRefused> {
    let entry = offered.entry();
    check_on_its_own(offered, now)?;
    match directory.member(&entry.member).map(|held| held.entry()) {
        None => check_newcomer(kind, entry)?,
        Some(held) => {
            if entry.version <= held.version {
                let (held, offered) = (held.version, entry.version);
                return Err(ChangeRefused::VersionNotIncreased { held, offered });
            }
            check_status(kind, held.status, entry.status)?;
            check_against(kind, held, entry)?;
        }
    }
    check_bins(offered, directory)
}

/// Whether the relay and devices can connect to it: `https://host:port` and nothing behind.
///
/// # Errors
/// [`Invalid`] with the path `endpoint`.
pub fn check_endpoint(endpoint: &WebAddress) -> Result<(), Invalid> {
    let is_address = endpoint.as_str().parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri.port_u16().is_some_and(|port| port != 0)
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    });
    if is_address { Ok(()) } else { Err(Invalid::field("endpoint", "must be https://host:port")) }
}

/// What can be told from the entry and the clock alone.
fn check_on_its_own(offered: &Member, now: SystemTime) -> Result<(), Invalid> {
    let entry = offered.entry();
    let mut fields = Fields::new();
    fields.nested("", check_endpoint(&entry.endpoint));
    let oldest = now.checked_sub(SIGNED_AT_AGE_MAX).unwrap_or(SystemTime::UNIX_EPOCH);
    let in_time = (oldest..=now + CLOCK_SKEW_MAX).contains(&entry.signed_at);
    fields.check("signed_at", in_time, "must be within the last 7 days; sign the entry again");
    if let Some(newest) = offered.certificates().first() {
        let in_force = (newest.not_before()..=newest.not_after()).contains(&now)
            && newest.revoked_since().is_none_or(|since| now < since);
        fields.check(
            "signing_certificates[0]",
            in_force,
            "must be valid now: it is the one that the member signs with",
        );
    }
    fields.finish()
}

fn check_newcomer(kind: ChangeKind, entry: &Entry) -> Result<(), ChangeRefused> {
    match kind {
        ChangeKind::Suspend | ChangeKind::Resume | ChangeKind::Remove => Err(ChangeRefused::BankNotFound),
        ChangeKind::Put => match entry.status {
            // A member may be made ready and start later.
            MemberStatus::Active | MemberStatus::Suspended => Ok(()),
            MemberStatus::Removed => Err(ChangeRefused::StatusChangeNotAllowed { from: "absent", to: "removed" }),
        },
    }
}

fn check_status(kind: ChangeKind, from: MemberStatus, to: MemberStatus) -> Result<(), ChangeRefused> {
    use MemberStatus::{Active, Removed, Suspended};

    let allowed = match kind {
        ChangeKind::Put => matches!((from, to), (Active, Active) | (Suspended, Suspended)),
        ChangeKind::Suspend => matches!((from, to), (Active, Suspended)),
        ChangeKind::Resume => matches!((from, to), (Suspended, Active)),
        ChangeKind::Remove => matches!((from, to), (Active | Suspended, Removed)),
    };
    if allowed { Ok(()) } else { Err(ChangeRefused::StatusChangeNotAllowed { from: name(from), to: name(to) }) }
}

/// A member stays what it is, its signatures don't go back in time, and a change of status changes
/// nothing else.
fn check_against(kind: ChangeKind, held: &Entry, entry: &Entry) -> Result<(), Invalid> {
    const SAME: &str = "must be as in the entry in force: this call changes the status alone";

    let mut fields = Fields::new();
    fields.check("role", held.role == entry.role, "must stay: a bank that changes its role joins under another id");
    fields.check("signed_at", held.signed_at <= entry.signed_at, "must not be before that of the entry in force");
    match kind {
        ChangeKind::Put => {}
        ChangeKind::Suspend | ChangeKind::Resume | ChangeKind::Remove => {
            fields.check("name_zh_tw", held.name_zh_tw == entry.name_zh_tw, SAME);
            fields.check("name_en", held.name_en == entry.name_en, SAME);
            fields.check("logo_svg", held.logo_svg == entry.logo_svg, SAME);
            fields.check("app_link", held.app_link == entry.app_link, SAME);
            fields.check("endpoint", held.endpoint == entry.endpoint, SAME);
            fields.check("bin_ranges", held.bin_ranges == entry.bin_ranges, SAME);
            fields.check("signing_certificates", held.signing_certificates == entry.signing_certificates, SAME);
            fields.check("limits", held.limits == entry.limits, SAME);
        }
    }
    fields.finish()
}

fn check_bins(offered: &Member, directory: &Directory) -> Result<(), ChangeRefused> {
    let member = &offered.entry().member;
    let taken = offered.bins_in_force().iter().enumerate().find_map(|(i, range)| {
        let other = directory.other_owner_within(*range, member)?.entry().member.clone();
        Some(ChangeRefused::BinRangeOverlap { path: format!("bin_ranges[{i}]"), other })
    });
    taken.map_or(Ok(()), Err)
}

const fn name(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Active => "active",
        MemberStatus::Suspended => "suspended",
        MemberStatus::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_change_of_status_belongs_to_one_call_or_to_none() {
        use ChangeKind::{Put, Remove, Resume, Suspend};
        use MemberStatus::{Active, Removed, Suspended};

        let statuses = [Active, Suspended, Removed];
        let allowed = |from, to| -> Vec<ChangeKind> {
            [Put, Suspend, Resume, Remove].into_iter().filter(|kind| check_status(*kind, from, to).is_ok()).collect()
        };
        let expected = |from, to| match (from, to) {
            (Active, Active) | (Suspended, Suspended) => vec![Put],
            (Active, Suspended) => vec![Suspend],
            (Suspended, Active) => vec![Resume],
            (Active | Suspended, Removed) => vec![Remove],
            (Removed, Active | Suspended | Removed) => vec![],
        };
        for from in statuses {
            for to in statuses {
                assert_eq!(allowed(from, to), expected(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn an_endpoint_is_https_with_a_port() {
        let judge = |text: &str| check_endpoint(&text.parse().unwrap()).is_ok();
        for good in ["https://bank.example:8443", "https://127.0.0.1:1/", "https://[::1]:8443"] {
            assert!(judge(good), "{good}");
        }
        for bad in [
            "https://bank.example",
            "https://bank.example:8443/api",
            "https://bank.example:8443?x=1",
            "http://localhost:8443",
            "https://bank.example:0",
            "https://bank.example:99999",
        ] {
            assert!(!judge(bad), "{bad}");
        }
    }
}
