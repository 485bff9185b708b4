//! What every part of the acquirer works with.

use std::{collections::HashMap, fmt, sync::Arc};

use mesh::{
    clock::{Clock, Entropy},
    directory::DirectoryHandle,
    identity::MemberId,
};
use proto::{
    ids::{AcquirerId, MerchantId, OrderId},
    link::WebAddress,
    money::Money,
};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::{
    bounds::Bounds,
    config::Limits,
    device_check::DeviceTokens,
    domain::{authentication::Policy, merchant::Profile, same_device::SameDevice},
    error::Error,
    keys::{Seal, SealingKeys},
    repository::Repository,
};

/// What follows a payment page's address where the device is checked.
pub(crate) const DEVICE_CHECK: &str = "/device-check";

/// The acquirer's means. Built once at start and shared.
pub struct Context {
    /// Our own id.
    pub acquirer: AcquirerId,
    /// The merchants that we have taken on.
    pub merchants: Merchants,
    /// The limits of orders and authorizations.
    pub limits: Limits,
    /// What is demanded of the issuers' identity verification.
    pub authentication: Policy,
    /// Which payments must come from the device that opened the payment page.
    pub same_device: SameDevice,
    /// What shows that they do.
    pub device_tokens: DeviceTokens,
    /// Where the payment page is, without a slash at the end.
    pub public_url: WebAddress,
    /// What we remember.
    pub repository: Repository,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// What signs.
    pub seal: Seal,
    /// What opens cards.
    pub sealing_keys: SealingKeys,
    /// The one platform that may speak for issuers.
    pub platform: Option<MemberId>,
    /// Who is a member of the network.
    pub directory: Arc<DirectoryHandle>,
    /// Wakes the sender of reversals.
    pub reversals: Notify,
}

impl Context {
    /// How long anything may stay open.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        Bounds::of(&self.limits)
    }

    /// The address of an order's payment page.
    #[must_use]
    pub fn payment_url(&self, order: &OrderId) -> String {
        payment_url(&self.public_url, order)
    }

    /// Where the device of an order over this amount is checked, if it is.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] where our own address makes none, which the configuration doesn't allow.
    pub(crate) fn device_check_url(&self, order: &OrderId, amount: Money) -> Result<Option<WebAddress>, Error> {
        if !self.same_device.applies(amount) {
            return Ok(None);
        }
        let address = format!("{}{DEVICE_CHECK}", self.payment_url(order));
        address.parse().map(Some).map_err(|_| Error::Inconsistent("the device check has no address"))
    }
}

/// The address of an order's payment page, where the pages are under this one.
pub(crate) fn payment_url(public_url: &WebAddress, order: &OrderId) -> String {
    format!("{}/pay/{order}", public_url.as_str().trim_end_matches('/'))
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("acquirer", &self.acquirer).finish_non_exhaustive()
    }
}

/// The merchants by id, each with a lane for the changes to its daily total.
#[derive(Debug)]
pub struct Merchants(HashMap<MerchantId, (Profile, Mutex<()>)>);

impl Merchants {
    /// These merchants.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let entry = |profile: Profile| (profile.merchant.id.clone(), (profile, Mutex::new(())));
        Self(profiles.into_iter().map(entry).collect())
    }

    /// A merchant.
    #[must_use]
    pub fn find(&self, id: &MerchantId) -> Option<&Profile> {
        self.0.get(id).map(|(profile, _)| profile)
    }

    /// All of them, in no order.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.0.values().map(|(profile, _)| profile)
    }

    /// Waits for the lane of a merchant's daily total, which every payment of the merchant writes: it is
    /// quicker to queue here than to meet in the store, conflict and begin again. The store's versions
    /// are what keeps the total right, so that a merchant without a lane is no danger.
    pub(crate) async fn lane(&self, id: &MerchantId) -> Option<MutexGuard<'_, ()>> {
        match self.0.get(id) {
            Some((_, lane)) => Some(lane.lock().await),
            None => None,
        }
    }
}
