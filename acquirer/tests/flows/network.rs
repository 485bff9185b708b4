//! A card network that does what a test tells it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use acquirer::network::{
    AuthorizationNetwork, Inquiry, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Sale,
};
use async_trait::async_trait;
use proto::authorization::DeclineReason;
use tokio::sync::{Semaphore, watch};

/// What the network does with one authorization.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Approve,
    Decline(DeclineReason),
    /// No answer, ever.
    Silent,
    /// An approval once the test releases it.
    ApproveWhenReleased,
    /// A decline once the test releases it.
    DeclineWhenReleased,
    /// The connection breaks.
    Unreachable,
    /// It takes the authorization for another one.
    OtherContent,
    Panic,
}

/// Follows its script, approves where the script is at its end, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct ScriptedNetwork {
    script: Mutex<VecDeque<Answer>>,
    inquiries: Mutex<HashMap<NetworkId, Inquiry>>,
    asked: watch::Sender<Vec<NetworkId>>,
    /// Authorizations that the network has for another payment.
    others: Mutex<HashMap<NetworkId, Sale>>,
    inquired: Mutex<Vec<NetworkId>>,
    reversed: Mutex<Vec<NetworkId>>,
    reversals_to_fail: AtomicU32,
    is_dead: AtomicBool,
    released: Semaphore,
}

pub(crate) const CODE: &str = "A1B2C3";

impl ScriptedNetwork {
    pub(crate) fn new() -> Self {
        Self {
            script: Mutex::default(),
            inquiries: Mutex::default(),
            asked: watch::Sender::new(Vec::new()),
            others: Mutex::default(),
            inquired: Mutex::default(),
            reversed: Mutex::default(),
            reversals_to_fail: AtomicU32::new(0),
            is_dead: AtomicBool::new(false),
            released: Semaphore::new(0),
        }
    }

    pub(crate) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().extend(answers);
    }

    /// Takes back what of the script was not asked for.
    pub(crate) fn forget_script(&self) {
        self.script.lock().unwrap().clear();
    }

    /// It has approved this sale under this id, which is what it says to whoever asks about this sale.
    pub(crate) fn has_sold(&self, id: NetworkId, sale: Sale) {
        self.others.lock().unwrap().insert(id.clone(), sale);
        self.knows(id, Inquiry::Approved(CODE.parse().unwrap()));
    }

    /// What an inquiry about this authorization says; `Unknown` unless set.
    pub(crate) fn knows(&self, id: NetworkId, inquiry: Inquiry) {
        self.inquiries.lock().unwrap().insert(id, inquiry);
    }

    pub(crate) fn fail_reversals(&self, count: u32) {
        self.reversals_to_fail.store(count, Ordering::SeqCst);
    }

    /// From now on neither an inquiry nor a reversal is answered.
    pub(crate) fn die(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    /// From now on they are answered again; what was asked meanwhile is not.
    pub(crate) fn revive(&self) {
        self.is_dead.store(false, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.released.add_permits(1);
    }

    pub(crate) fn asked(&self) -> Vec<NetworkId> {
        self.asked.borrow().clone()
    }

    pub(crate) fn inquired(&self) -> Vec<NetworkId> {
        self.inquired.lock().unwrap().clone()
    }

    pub(crate) fn reversed(&self) -> Vec<NetworkId> {
        self.reversed.lock().unwrap().clone()
    }

    async fn answer_unless_dead(&self) {
        if self.is_dead.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }

    /// Waits until so many authorizations were asked for.
    pub(crate) async fn asked_times(&self, count: usize) {
        self.asked.subscribe().wait_for(|asked| asked.len() >= count).await.unwrap();
    }
}

#[async_trait]
impl AuthorizationNetwork for ScriptedNetwork {
    async fn authorize(&self, request: NetworkRequest) -> Result<NetworkDecision, NetworkError> {
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Approve);
        self.asked.send_modify(|asked| asked.push(request.id.clone()));
        let approved = Ok(NetworkDecision::Approved(CODE.parse().unwrap()));
        match answer {
            Answer::Approve => approved,
            Answer::Decline(reason) => Ok(NetworkDecision::Declined(reason)),
            Answer::Silent => std::future::pending().await,
            Answer::ApproveWhenReleased => {
                self.released.acquire().await.unwrap().forget();
                approved
            }
            Answer::DeclineWhenReleased => {
                self.released.acquire().await.unwrap().forget();
                Ok(NetworkDecision::Declined(DeclineReason::DoNotHonor))
            }
            Answer::Unreachable => Err(NetworkError::Unreachable("the line is cut".into())),
            Answer::OtherContent => Err(NetworkError::OtherContent),
            Answer::Panic => panic!("on purpose"),
        }
    }

    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError> {
        self.inquired.lock().unwrap().push(id.clone());
        self.answer_unless_dead().await;
        if self.others.lock().unwrap().get(id).is_some_and(|other| other != sale) {
            return Err(NetworkError::OtherContent);
        }
        Ok(self.inquiries.lock().unwrap().get(id).copied().unwrap_or(Inquiry::Unknown))
    }

    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError> {
        if self.others.lock().unwrap().get(id).is_some_and(|other| other != sale) {
            return Err(NetworkError::OtherContent);
        }
        self.reversed.lock().unwrap().push(id.clone());
        self.answer_unless_dead().await;
        let failing =
            self.reversals_to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match failing {
            Ok(_) => Err(NetworkError::Unreachable("the line is cut".into())),
            Err(_) => Ok(()),
        }
    }
}
