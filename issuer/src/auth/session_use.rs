//! Sessions in which a bound device proved itself.
//!
//! Such a session ends with its device: each use looks whether the device is still bound, so that all of them
//! are over in the moment in which one is unbound. Device ids are never used again.
//!
//! Where the policy binds sessions (`policy.bind_sessions`), a token counts only beside the device's own
//! signature over the token's digest, the call and the time ([`SessionUse`]). A token that somebody else has got
//! hold of, from a log, a memory dump or a backup, is then worth nothing.
//!
//! **A use can be replayed for as long as its time fits, 60 seconds at most, and that is accepted.** Whoever
//! has a use of this moment has seen the whole call, inside its TLS, and has its answer, too. To send the same
//! call again gives little: a charge is found again by its id and, as the session proved a device, carries
//! that device's consent, which names the charge; binding repeats the key's own signature; enrolling and
//! registering use up a challenge; to unbind or to end a second time changes nothing. On the other hand a list
//! of uses that were seen would turn away a client that repeats a call after a lost connection, and would have
//! to be one list for all replicas.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use proto::{
    device::{DeviceSigned, SIGNED_SESSION_USE_BYTES_MAX, SessionUse},
    pb,
};

use super::{Desk, SignedIn, possession::key_of};
use crate::{
    audit::{self, Act, Actor, Entry, Outcome},
    error::Error,
    records::{Damaged, Device},
};

/// How far a use's time may be off ours, either way: room for a phone's clock and a slow network.
pub const SESSION_USE_SKEW_MAX: Duration = Duration::from_secs(60);

/// One call that a session is used for.
#[derive(Clone, Debug)]
pub struct SessionCall<'a> {
    token: &'a [u8],
    session_use: Option<pb::Signed>,
    rpc: &'static str,
    actor: Actor,
}

impl<'a> SessionCall<'a> {
    /// A call of `rpc`, for example "CardSelection/SubmitCharge".
    #[must_use]
    pub fn new(token: &'a [u8], session_use: Option<pb::Signed>, rpc: &'static str) -> Self {
        Self { token, session_use, rpc, actor: Actor::Issuer }
    }

    /// The call as it came from this address, for the audit trail.
    #[must_use]
    pub fn by(self, source: IpAddr) -> Self {
        self.by_actor(Actor::Source(source))
    }

    /// The call as this actor made it, for the audit trail.
    #[must_use]
    pub fn by_actor(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The session's token, not verified.
    #[must_use]
    pub fn token(&self) -> &'a [u8] {
        self.token
    }
}

impl Desk<'_> {
    /// Whether the session may be used like this.
    ///
    /// # Errors
    /// [`Error::SessionInvalid`] where its device is not bound any more, or did not sign this use.
    pub(super) async fn check_use(&self, session: &SignedIn, call: &SessionCall<'_>) -> Result<(), Error> {
        let Some(device) = &session.device else { return Ok(()) };
        let why = match self.repository.load(&Device::at(device)).await? {
            None => Some("device_unbound"),
            Some(_) if !self.policy.bind_sessions() => None,
            Some(stored) => self.misused(session, &stored.value, call)?,
        };
        let Some(why) = why else { return Ok(()) };
        let entry = Entry::new(self.clock.now(), Act::SessionRefused).customer(&session.customer);
        let entry = entry.session(&session.id).device(device).outcome(Outcome::Refused(why));
        audit::note(self.repository, &entry.by(call.actor)).await?;
        Err(Error::SessionInvalid)
    }

    /// Why a use is not one that the session's device signed; none where it is.
    fn misused(
        &self,
        session: &SignedIn,
        device: &Device,
        call: &SessionCall<'_>,
    ) -> Result<Option<&'static str>, Damaged> {
        let Some(signed) = call.session_use.clone() else { return Ok(Some("use_missing")) };
        let Ok(signed) = DeviceSigned::parse(signed, SIGNED_SESSION_USE_BYTES_MAX) else {
            return Ok(Some("use_malformed"));
        };
        if signed.device.as_str() != device.device_id {
            return Ok(Some("other_device"));
        }
        if !signed.is_by::<pb::SessionUse>(&key_of(device)?) {
            return Ok(Some("use_signature"));
        }
        let Ok(says) = SessionUse::parse(&signed) else { return Ok(Some("use_malformed")) };
        let is_this_call = says.rpc.strip_prefix("bankside.v1.") == Some(call.rpc);
        Ok(if says.session_digest != session.id {
            Some("other_session")
        } else if !is_this_call {
            Some("other_call")
        } else if !is_now(says.signed_at, self.clock.now()) {
            Some("other_time")
        } else {
            None
        })
    }
}

fn is_now(signed_at: SystemTime, now: SystemTime) -> bool {
    let off = now.duration_since(signed_at).unwrap_or_else(|early| early.duration());
    off <= SESSION_USE_SKEW_MAX
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_minute_either_way_is_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let minute = Duration::from_secs(60);
        let more = minute + Duration::from_millis(1);
        assert!(is_now(now, now) && is_now(now - minute, now) && is_now(now + minute, now));
        assert!(!is_now(now - more, now) && !is_now(now + more, now));
    }
}
