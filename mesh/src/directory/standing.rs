//! Whether the others can verify what a member signs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use proto::ids::MemberId;
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::{Directory, DirectoryHandle};
use crate::{
    clock::Clock,
    identity::LeafCertificate,
    signing::{Signer, SigningError},
};

/// How often the standing is judged where the directory doesn't change: a certificate also expires in quiet times.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// A member's own standing: its signing certificate must be in force, and stand in its entry of the
/// directory, because the others verify its signatures by that entry alone.
#[derive(Clone, Debug)]
pub struct Standing {
    member: MemberId,
    certificate: CertificateDer<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why nobody would believe what a member signs now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// The certificate's time has not begun.
    #[error("the signing certificate is not valid yet; set the clock right, or have one issued that is valid now")]
    NotYetValid,
    /// The certificate's time is over.
    #[error("the signing certificate has expired; have another one issued, and the operator sign an entry with it")]
    Expired,
    /// The certificate was revoked.
    #[error("the signing certificate is revoked; have another one issued, and the operator sign an entry with it")]
    Revoked,
    /// The member has no entry.
    #[error(
        "the directory has no entry of {0}, so that nobody could verify its signatures; have the operator sign an \
         entry with this certificate"
    )]
    NoEntry(MemberId),
    /// The member's entry has other certificates.
    #[error(
        "the directory's entry of {0} lacks the signing certificate, so that nobody could verify its signatures; \
         have the operator sign an entry with this certificate"
    )]
    NotInEntry(MemberId),
}

impl Standing {
    /// The standing of this member, which signs with this key.
    ///
    /// # Errors
    /// [`SigningError::Identity`] where the certificate can't be read.
    pub fn new(member: MemberId, signer: &Signer) -> Result<Self, SigningError> {
        let certificate = signer.certificate_der().clone();
        let LeafCertificate { not_before, not_after, .. } = LeafCertificate::parse(&certificate)?;
        Ok(Self { member, certificate, not_before, not_after })
    }

    /// Whether the others, holding this directory, would believe what is signed now.
    ///
    /// # Errors
    /// [`StandingError`], which says what to do.
    pub fn check(&self, directory: &Directory, now: SystemTime) -> Result<(), StandingError> {
        if now < self.not_before {
            return Err(StandingError::NotYetValid);
        }
        if now > self.not_after {
            return Err(StandingError::Expired);
        }
        let entry = directory.member(&self.member).ok_or_else(|| StandingError::NoEntry(self.member.clone()))?;
        let ours = entry.certificates().iter().find(|certificate| *certificate.der() == self.certificate);
        let ours = ours.ok_or_else(|| StandingError::NotInEntry(self.member.clone()))?;
        if ours.revoked_since().is_some_and(|since| now >= since) { Err(StandingError::Revoked) } else { Ok(()) }
    }

    /// Checks now, at each change of the directory and once a minute, until `stop`. A new problem is logged as an
    /// error, once, and so is its end.
    pub async fn watch(self, directory: Arc<DirectoryHandle>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut changes = directory.subscribe();
        let mut told = None;
        loop {
            let problem = self.check(&directory.load(), clock.now()).err();
            match &problem {
                Some(error) if problem != told => tracing::error!(%error, "what is signed here cannot be verified"),
                None if told.is_some() => tracing::info!("what is signed here can be verified again"),
                Some(_) | None => {}
            }
            told = problem;
            tokio::select! {
                () = stop.cancelled() => return,
                // The handle outlives this task, which holds it.
                _ = changes.changed() => {}
                () = clock.sleep(LOOK_PERIOD) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use prost::Message as _;
    use proto::pb;

    use super::*;
    use crate::{
        directory::tests::{DOMAIN, Network, bank, sign},
        signing::Revocation,
    };

    fn id() -> MemberId {
        "bank-a".parse().unwrap()
    }

    fn standing(signer: &Signer) -> Standing {
        Standing::new(id(), signer).unwrap()
    }

    #[test]
    fn a_standing_needs_a_certificate_in_force_that_the_members_entry_has() {
        let network = Network::new();
        let operator = network.signer("operator/ops");
        let (ours, other) = (network.signer("issuer/bank-a"), network.signer("issuer/bank-a"));
        let entry = sign(&operator, &bank("bank-a", &ours, &[(40_000_000, 40_000_099)]));
        let directory = network.load(&operator, vec![entry]).unwrap();
        let now = SystemTime::now();
        assert_eq!(standing(&ours).check(&directory, now), Ok(()));
        assert_eq!(standing(&other).check(&directory, now), Err(StandingError::NotInEntry(id())));
        assert_eq!(standing(&ours).check(&Directory::default(), now), Err(StandingError::NoEntry(id())));

        let standing = standing(&ours);
        let (first, last, moment) = (standing.not_before, standing.not_after, Duration::from_millis(1));
        assert_eq!(standing.check(&directory, first), Ok(()));
        assert_eq!(standing.check(&directory, last), Ok(()));
        assert_eq!(standing.check(&directory, first - moment), Err(StandingError::NotYetValid));
        assert_eq!(standing.check(&directory, last + moment), Err(StandingError::Expired));
    }

    #[test]
    fn a_revoked_certificate_is_told_from_its_revocation_on() {
        let network = Network::new();
        let (operator, ours) = (network.signer("operator/ops"), network.signer("issuer/bank-a"));
        let serial = LeafCertificate::parse(ours.certificate_der()).unwrap().serial;
        let since = SystemTime::now();
        let trust = network.trust().with_revoked([Revocation { serial, since }]);
        let file = pb::DirectoryFile {
            entries: vec![sign(&operator, &bank("bank-a", &ours, &[(40_000_000, 40_000_099)]))],
            operator_certificates: vec![operator.certificate_der().to_vec().into()],
            ..Default::default()
        };
        let directory = Directory::from_file(&file.encode_to_vec(), &trust, &DOMAIN.parse().unwrap()).unwrap();
        assert_eq!(standing(&ours).check(&directory, since - Duration::from_millis(1)), Ok(()));
        assert_eq!(standing(&ours).check(&directory, since), Err(StandingError::Revoked));
    }
}
