#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use mesh::{
    clock::{ManualClock, SystemEntropy},
    sealing::at_rest::{KeyEncryptionKey, KeyVersion},
    store::{KeyRange, PageRequest, Store, memory::MemoryStore},
};
use proto::pb;

use super::*;
use crate::{
    records::{Credential, Customer, INDEX_SESSION_BY_END, Lockout, Session, millis_of},
    repository::{Changes, Outcome},
    vault::{open_password_hash, seal_password_hash},
};

mod activation;
mod device_trail;
mod devices;
mod inherence;
mod lock;
mod passkeys;
mod session;
mod session_use;
mod sign_in;
mod sources;
mod steps;
mod strangers;

const NATIONAL_ID: &str = "A123456789";
const OTHER_NATIONAL_ID: &str = "F131104093";
const USER_CODE: &str = "mei-lin";
const PASSWORD: &str = "correct horse";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// A bank with one customer, over a store in memory.
struct Bank {
    auth: Auth,
    repository: Repository,
    store: Arc<dyn Store>,
    clock: ManualClock,
    entropy: Arc<dyn Entropy>,
    vault: Vault,
    lookup: LookupKeys,
    limits: AuthLimits,
    policy: Policy,
    customer: CustomerId,
}

impl Bank {
    async fn open() -> Self {
        Self::over(Arc::new(MemoryStore::new()), UNIX_EPOCH + Duration::from_secs(1_800_000_000)).await
    }

    /// A process of the bank over a store, which may be that of an earlier one.
    async fn over(store: Arc<dyn Store>, now: SystemTime) -> Self {
        let vault = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &[7; 32]).unwrap()]).unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let lookup = LookupKeys::open(store.as_ref(), &vault, entropy.as_ref()).await.unwrap();
        let auth = Auth::new(&PasswordConfig::default(), Arc::clone(&entropy), &vault).unwrap();
        let bank = Self {
            auth,
            repository: Repository::new(Arc::clone(&store)),
            store,
            clock: ManualClock::new(now),
            entropy,
            vault,
            lookup,
            limits: AuthLimits::default(),
            policy: Policy::one_factor(),
            customer: "customer-1".parse().unwrap(),
        };
        if bank.repository.load(&Customer::at(&bank.customer)).await.unwrap().is_none() {
            bank.take_in_customer().await;
        }
        bank
    }

    async fn take_in_customer(&self) {
        let hash = self.auth.passwords.hash(PASSWORD.as_bytes()).unwrap();
        let customer = Customer {
            customer_id: self.customer.to_string(),
            national_id_hash: self.lookup.national_id(&NATIONAL_ID.parse().unwrap()).as_bytes().to_vec().into(),
            name: "Lin Mei-Lin".into(),
        };
        let credential = Credential {
            customer_id: self.customer.to_string(),
            sealed_password_hash: seal_password_hash(&self.vault, &self.customer, &hash).unwrap().into(),
            user_code_hash: self.lookup.user_code(&self.customer, USER_CODE).as_bytes().to_vec().into(),
        };
        let changes = Changes::new().create(&customer).create(&credential);
        assert_eq!(self.repository.commit(changes).await.unwrap(), Outcome::Committed);
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            auth: &self.auth,
            repository: &self.repository,
            clock: &self.clock,
            entropy: self.entropy.as_ref(),
            vault: &self.vault,
            lookup: &self.lookup,
            limits: &self.limits,
            policy: &self.policy,
        }
    }

    fn begin(&self, order: Option<OrderToPay>) -> Begun {
        self.desk().begin(|challenge| SignIn::new(challenge, order), HERE).unwrap()
    }

    /// Signs in under a challenge of its own.
    async fn try_once(&self, national_id: &str, user_code: &str, password: &str) -> Result<NewSession, Error> {
        let begun = self.begin(None);
        self.desk().prove_knowledge(&begun.id, proof(national_id, user_code, password)).await
    }

    async fn sign_in(&self) -> Result<NewSession, Error> {
        self.try_once(NATIONAL_ID, USER_CODE, PASSWORD).await
    }

    async fn lockout(&self, name: &str) -> Option<Lockout> {
        self.repository.load(&Lockout::named(name)).await.unwrap().map(|stored| stored.value)
    }
}

impl Desk<'_> {
    /// Proves what the customer knows, where that is all that is asked for.
    async fn prove_knowledge(&self, challenge: &ChallengeId, proof: Knowledge) -> Result<NewSession, Error> {
        match self.prove(challenge, Proof::Knowledge(proof), HERE).await? {
            Proven::Session(session) => Ok(session),
            other @ (Proven::SteppedUp(_) | Proven::Missing(_)) => panic!("one factor suffices here: {other:?}"),
        }
    }
}

fn proof(national_id: &str, user_code: &str, password: &str) -> Knowledge {
    Knowledge::parse(pb::KnowledgeProof {
        national_id: national_id.into(),
        user_code: user_code.into(),
        password: password.into(),
    })
    .unwrap()
}

fn order() -> OrderToPay {
    let amount = Money::new("TWD".parse().unwrap(), 1200).unwrap();
    OrderToPay { digest: Digest::of(b"order"), amount, category: "5942".parse().unwrap() }
}

/// What a caller can see of a refusal: everything that leaves the server.
fn seen(error: Error) -> String {
    let status = tonic::Status::from(error);
    format!("{:?} {} {:?} {:?}", status.code(), status.message(), status.details(), status.metadata())
}
