//! Entries of the bank directory: who is a member, and under which terms.

use std::time::SystemTime;

use bytes::Bytes;

use crate::{
    authorization::Carried,
    card::Bin,
    digest::Digest,
    fields::{Fields, Invalid},
    ids::MemberId,
    link::WebAddress,
    money::Money,
    pb, require,
    signed::Signed,
    time,
};

/// The largest signed entry, so that it fits into one record of the store.
pub const SIGNED_ENTRY_BYTES_MAX: usize = 3 * 1024;
/// A newest certificate, its predecessor, and one more for an emergency.
pub const SIGNING_CERTIFICATES_MAX: usize = 3;
/// How many BIN ranges a member may have.
pub const BIN_RANGES_MAX: usize = 64;
/// The largest logo.
const LOGO_BYTES_MAX: usize = 1024;
/// The largest certificate: an Ed25519 leaf has about 600 bytes.
const CERTIFICATE_BYTES_MAX: usize = 1024;
/// The highest rate that an entry may grant.
const RATE_MAX: u32 = 100_000;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberRole {
    /// Issues cards.
    Issuer,
    /// Serves shops and decides authorizations.
    Acquirer,
}

/// Whether a member may take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Takes part.
    Active,
    /// Starts nothing new.
    Suspended,
    /// Has left for good.
    Removed,
}

impl MemberStatus {
    /// The status as a message's number.
    #[must_use]
    pub const fn to_pb(self) -> pb::MemberStatus {
        match self {
            Self::Active => pb::MemberStatus::Active,
            Self::Suspended => pb::MemberStatus::Suspended,
            Self::Removed => pb::MemberStatus::Removed,
        }
    }
}

/// A range of BINs, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BinRange {
    first: Bin,
    last: Bin,
}

impl BinRange {
    /// A range of eight-digit BINs.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn new(first: u32, last: u32) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        fields.check("first", (10_000_000..=99_999_999).contains(&first), "must be a number of eight digits");
        fields.check("last", (first..=99_999_999).contains(&last), "must be a number of eight digits, not below first");
        fields.finish()?;
        Ok(Self { first: Bin(first), last: Bin(last) })
    }

    /// The lowest BIN.
    #[must_use]
    pub const fn first(self) -> Bin {
        self.first
    }

    /// The highest BIN.
    #[must_use]
    pub const fn last(self) -> Bin {
        self.last
    }

    /// Whether a BIN lies in the range.
    #[must_use]
    pub fn contains(self, bin: Bin) -> bool {
        (self.first..=self.last).contains(&bin)
    }

    /// Whether the ranges share a BIN.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What the platform lets a member do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest amount of one authorization, one per allowed currency.
    pub amount_max: Vec<Money>,
    /// Authorizations per second.
    pub authorizations_per_second: u32,
}

impl Limits {
    /// Whether one authorization may be for this amount.
    #[must_use]
    pub fn allow(&self, amount: Money) -> bool {
        self.amount_max
            .iter()
            .any(|max| max.currency() == amount.currency() && amount.minor_units() <= max.minor_units())
    }
}

/// An entry, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The member.
    pub member: MemberId,
    /// What it is.
    pub role: MemberRole,
    /// Increases with every change.
    pub version: u64,
    /// Whether it may take part.
    pub status: MemberStatus,
    /// The name in Traditional Chinese.
    pub name_zh_tw: String,
    /// The name in English.
    pub name_en: String,
    /// A logo as SVG; may be empty.
    pub logo_svg: String,
    /// An issuer's app link; none for an acquirer.
    pub app_link: Option<WebAddress>,
    /// Where its server is reached.
    pub endpoint: WebAddress,
    /// An issuer's BINs.
    pub bin_ranges: Vec<BinRange>,
    /// Its signing certificates in DER form, the newest first.
    pub signing_certificates: Vec<Bytes>,
    /// What it may do.
    pub limits: Limits,
    /// When the operator signed.
    pub signed_at: SystemTime,
}

impl Entry {
    /// A decoded entry.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::DirectoryEntry) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let member = fields.text("member_id", &pb.member_id);
        let role = parse_role(&mut fields, pb.role);
        fields.check("version", pb.version > 0, "must be 1 or more");
        let status = parse_status(&mut fields, pb.status);
        let name_zh_tw = fields.plain_text("name_zh_tw", &pb.name_zh_tw, 1, 60);
        let name_en = fields.plain_text("name_en", &pb.name_en, 1, 60);
        check_logo(&mut fields, &pb.logo_svg);
        let app_link = match (role, pb.app_link.as_str()) {
            (Some(MemberRole::Acquirer), "") => Some(None),
            (Some(MemberRole::Acquirer), _) => {
                fields.wrong("app_link", "must be empty for an acquirer");
                None
            }
            (Some(MemberRole::Issuer) | None, link) => fields.text("app_link", link).map(Some),
        };
        let endpoint = fields.text("endpoint", &pb.endpoint);
        let bin_ranges = parse_bin_ranges(&mut fields, role, &pb.bin_ranges);
        check_certificates(&mut fields, &pb.signing_certificates);
        let limits = fields.message("limits", pb.limits, |limits| parse_limits(role, limits));
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        require!(fields; member, role, status, name_zh_tw, name_en, app_link, endpoint, bin_ranges, limits, signed_at);
        Ok(Self {
            member,
            role,
            version: pb.version,
            status,
            name_zh_tw,
            name_en,
            logo_svg: pb.logo_svg,
            app_link,
            endpoint,
            bin_ranges,
            signing_certificates: pb.signing_certificates,
            limits,
            signed_at,
        })
    }

    /// The entry as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::DirectoryEntry {
        let role = match self.role {
            MemberRole::Issuer => pb::MemberRole::Issuer,
            MemberRole::Acquirer => pb::MemberRole::Acquirer,
        };
        pb::DirectoryEntry {
            member_id: self.member.to_string(),
            role: role.into(),
            version: self.version,
            status: self.status.to_pb().into(),
            name_zh_tw: self.name_zh_tw.clone(),
            name_en: self.name_en.clone(),
            logo_svg: self.logo_svg.clone(),
            app_link: self.app_link.as_ref().map(ToString::to_string).unwrap_or_default(),
            endpoint: self.endpoint.to_string(),
            bin_ranges: self.bin_ranges.iter().map(|r| pb::BinRange { first: r.first.0, last: r.last.0 }).collect(),
            signing_certificates: self.signing_certificates.clone(),
            limits: Some(pb::MemberLimits {
                amount_max: self.limits.amount_max.iter().map(|max| max.to_pb()).collect(),
                authorizations_per_second: self.limits.authorizations_per_second,
            }),
            signed_at: Some(time::to_pb(self.signed_at)),
        }
    }
}

impl Carried<Entry> {
    /// A signed entry as it arrived. Verify its signature at `signed_at` before believing it.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_ENTRY_BYTES_MAX)?;
        let says = Entry::parse(signed.decode()?).map_err(|invalid| invalid.under("body"))?;
        Ok(Self { signed, says })
    }
}

/// The platform's word about the whole directory at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Increases with every change to any entry.
    pub directory_version: u64,
    /// How many entries there are.
    pub entry_count: u32,
    /// From [`entries_digest`].
    pub entries_digest: Digest,
    /// When the platform signed.
    pub signed_at: SystemTime,
}

impl Head {
    /// A decoded head.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::DirectoryHead) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let entries_digest = fields.bytes("entries_digest", &pb.entries_digest).map(Digest::from_bytes);
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        require!(fields; entries_digest, signed_at);
        Ok(Self { directory_version: pb.directory_version, entry_count: pb.entry_count, entries_digest, signed_at })
    }

    /// The head as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::DirectoryHead {
        pb::DirectoryHead {
            directory_version: self.directory_version,
            entry_count: self.entry_count,
            entries_digest: self.entries_digest.to_bytes(),
            signed_at: Some(time::to_pb(self.signed_at)),
        }
    }
}

/// The digest that stands for all entries: over the digests of their bodies, in ascending order of
/// member id.
#[must_use]
pub fn entries_digest<'a>(digests_by_member: impl IntoIterator<Item = &'a Digest>) -> Digest {
    Digest::of_parts(digests_by_member.into_iter().map(|digest| digest.as_bytes().as_slice()))
}

fn parse_role(fields: &mut Fields, number: i32) -> Option<MemberRole> {
    let role = match pb::MemberRole::try_from(number).unwrap_or_default() {
        pb::MemberRole::Unspecified => None,
        pb::MemberRole::Issuer => Some(MemberRole::Issuer),
        pb::MemberRole::Acquirer => Some(MemberRole::Acquirer),
    };
    fields.check("role", role.is_some(), "must be issuer or acquirer");
    role
}

fn parse_status(fields: &mut Fields, number: i32) -> Option<MemberStatus> {
    let status = match pb::MemberStatus::try_from(number).unwrap_or_default() {
        pb::MemberStatus::Unspecified => None,
        pb::MemberStatus::Active => Some(MemberStatus::Active),
        pb::MemberStatus::Suspended => Some(MemberStatus::Suspended),
        pb::MemberStatus::Removed => Some(MemberStatus::Removed),
    };
    fields.check("status", status.is_some(), "must be active, suspended or removed");
    status
}

/// A logo is shown inside a page, so it may bring nothing along that runs or loads.
fn check_logo(fields: &mut Fields, logo: &str) {
    let lower = logo.to_ascii_lowercase();
    let harmless = !["<script", "javascript:", "href", "url(", " on", "<foreignobject", "<!"]
        .iter()
        .any(|part| lower.contains(part));
    let fits = logo.is_empty() || (logo.len() <= LOGO_BYTES_MAX && lower.starts_with("<svg") && harmless);
    fields.check("logo_svg", fits, "must be an SVG of at most 1 KiB without scripts and references, or empty");
}

fn parse_bin_ranges(fields: &mut Fields, role: Option<MemberRole>, ranges: &[pb::BinRange]) -> Option<Vec<BinRange>> {
    let allowed = match role {
        Some(MemberRole::Issuer) | None => 1..=BIN_RANGES_MAX,
        Some(MemberRole::Acquirer) => 0..=0,
    };
    fields.check(
        "bin_ranges",
        allowed.contains(&ranges.len()),
        "must be 1 to 64 ranges for an issuer, none for an acquirer",
    );
    let mut parsed: Vec<BinRange> = Vec::with_capacity(ranges.len().min(BIN_RANGES_MAX));
    for (i, range) in ranges.iter().enumerate().take(BIN_RANGES_MAX) {
        let path = format!("bin_ranges[{i}]");
        let range = fields.nested(&path, BinRange::new(range.first, range.last))?;
        fields.check(
            &path,
            !parsed.iter().any(|other| other.overlaps(range)),
            "must not overlap another range of this entry",
        );
        parsed.push(range);
    }
    Some(parsed)
}

fn check_certificates(fields: &mut Fields, certificates: &[Bytes]) {
    let count_fits = (1..=SIGNING_CERTIFICATES_MAX).contains(&certificates.len());
    fields.check("signing_certificates", count_fits, "must be 1 to 3 certificates in DER form");
    for (i, certificate) in certificates.iter().enumerate() {
        let fits = (1..=CERTIFICATE_BYTES_MAX).contains(&certificate.len());
        fields.check(&format!("signing_certificates[{i}]"), fits, "must be 1 to 1024 bytes");
    }
}

fn parse_limits(role: Option<MemberRole>, pb: pb::MemberLimits) -> Result<Limits, Invalid> {
    let mut fields = Fields::new();
    let mut amount_max: Vec<Money> = Vec::with_capacity(pb.amount_max.len());
    for (i, max) in pb.amount_max.into_iter().enumerate() {
        let path = format!("amount_max[{i}]");
        if let Some(max) = fields.nested(&path, Money::parse_positive(max)) {
            let twice = amount_max.iter().any(|other| other.currency() == max.currency());
            fields.check(&path, !twice, "must be the only one in its currency");
            amount_max.push(max);
        }
    }
    if role == Some(MemberRole::Issuer) {
        fields.check("amount_max", !amount_max.is_empty(), "must name at least one currency for an issuer");
    }
    let rate_fits = (1..=RATE_MAX).contains(&pb.authorizations_per_second);
    fields.check("authorizations_per_second", rate_fits, "must be 1 to 100000");
    fields.finish()?;
    Ok(Limits { amount_max, authorizations_per_second: pb.authorizations_per_second })
}

#[cfg(test)]
mod tests;
