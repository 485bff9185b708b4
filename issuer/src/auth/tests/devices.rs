//! Bound devices: how they come and go, and what they prove.

use proto::device::{bind_device_bytes, possession_bytes};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::{
    auth::session_use::SessionCall,
    domain::activation_code::ActivationCode,
    records::{self, Device, DeviceOfKey, DevicesOfCustomer, Template},
};

pub(super) const CODE: &str = "7K3M-9PQR-10TV";
const OTHER_CODE: &str = "8K3M-9PQR-10TV";

/// A phone with a key of its own.
pub(super) struct Phone {
    pub(super) pair: Ed25519KeyPair,
    pub(super) id: DeviceId,
}

impl Phone {
    /// The customer's phone, bound by an activation code.
    pub(super) async fn bound(bank: &Bank, seed: u8) -> Self {
        bank.give_code(&bank.customer, CODE).await;
        let pair = pair(seed);
        let id = bank.bind_by_code(&pair, CODE, HERE).await.unwrap();
        Self { pair, id }
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(self.pair.sign(bytes).as_ref())
    }

    pub(super) fn possession(&self, begun: &Begun, order: Option<&Digest>) -> Proof {
        possession(&self.id, self.sign(&possession_bytes(&begun.challenge, order)))
    }

    /// Signs in under a challenge of its own.
    pub(super) async fn sign_in(&self, bank: &Bank) -> Result<NewSession, Error> {
        let begun = bank.begin(None);
        bank.session_by(&begun, self.possession(&begun, None)).await
    }
}

impl Bank {
    /// Imports a code, which binds for a week.
    pub(super) async fn give_code(&self, customer: &CustomerId, code: &str) {
        let at = records::ActivationCode::at(customer);
        let version =
            self.repository.load(&at).await.unwrap().map_or(mesh::store::Version::ABSENT, |code| code.version);
        let record = records::ActivationCode {
            customer_id: customer.to_string(),
            code_hash: self.lookup.activation_code(&code.parse().unwrap()).as_bytes().to_vec().into(),
            ends_at_ms: millis_of(self.clock.now() + Duration::from_secs(7 * 24 * 60 * 60)),
            device_id: String::new(),
        };
        let done = self.repository.commit(Changes::new().replace(version, &record)).await;
        assert_eq!(done.unwrap(), Outcome::Committed);
    }

    pub(super) async fn bind_by_code(
        &self,
        pair: &Ed25519KeyPair,
        text: &str,
        from: IpAddr,
    ) -> Result<DeviceId, Error> {
        let code: ActivationCode = text.parse().unwrap();
        self.desk().bind_device(&new_device(pair, text.as_bytes()), Authority::Code(code), from).await
    }

    pub(super) async fn bind_by(&self, pair: &Ed25519KeyPair, session: &SignedIn) -> Result<DeviceId, Error> {
        self.desk().bind_device(&new_device(pair, session.id.as_bytes()), Authority::Session(session), HERE).await
    }

    /// Uses a session without a device's signature, as the services do.
    pub(super) async fn use_session(&self, token: &[u8]) -> Result<SignedIn, Error> {
        self.desk().session(&SessionCall::new(token, None, "CardSelection/ListCardOptions")).await
    }

    pub(super) async fn session_by(&self, begun: &Begun, proof: Proof) -> Result<NewSession, Error> {
        match self.desk().prove(&begun.id, proof, HERE).await? {
            Proven::Session(session) => Ok(session),
            other @ (Proven::SteppedUp(_) | Proven::Missing(_)) => panic!("one factor suffices here: {other:?}"),
        }
    }

    pub(super) fn begin_step_up(&self, session: &SignedIn) -> Begun {
        self.desk().begin(|challenge| SignIn::of_session(challenge, session), HERE).unwrap()
    }

    pub(super) async fn step_up(&self, session: &SignedIn, begun: &Begun, proof: Proof) -> Result<SignedIn, Error> {
        match self.desk().prove(&begun.id, proof, HERE).await? {
            Proven::SteppedUp(stepped_up) => {
                assert_eq!(stepped_up.id, session.id);
                Ok(stepped_up)
            }
            other @ (Proven::Session(_) | Proven::Missing(_)) => panic!("a session is stepped up: {other:?}"),
        }
    }

    /// A session that a password began, and to which the phone added its kind; and its token.
    pub(super) async fn strong(&self, phone: &Phone) -> (NewSession, SignedIn) {
        let session = self.sign_in().await.unwrap();
        let begun = self.begin_step_up(&session.signed_in);
        let stepped_up = self.step_up(&session.signed_in, &begun, phone.possession(&begun, None)).await.unwrap();
        (session, stepped_up)
    }

    pub(super) async fn device(&self, id: &DeviceId) -> Option<Device> {
        self.repository.load(&Device::at(id)).await.unwrap().map(|stored| stored.value)
    }

    async fn devices(&self) -> Vec<String> {
        let list = self.repository.load(&DevicesOfCustomer::at(&self.customer)).await.unwrap();
        list.map(|list| list.value.device_ids).unwrap_or_default()
    }
}

pub(super) fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(super) fn new_device(pair: &Ed25519KeyPair, authorization: &[u8]) -> NewDevice {
    let key = proto::device::DeviceKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
    let signature = pair.sign(&bind_device_bytes(authorization));
    let signature = signature.as_ref().try_into().unwrap();
    NewDevice::verify(key, "Phone".into(), authorization, &signature).unwrap()
}

pub(super) fn possession(device: &DeviceId, signature: bytes::Bytes) -> Proof {
    Proof::Possession(Possession::parse(pb::PossessionProof { device_id: device.to_string(), signature }).unwrap())
}

pub(super) fn other_customer() -> CustomerId {
    "customer-2".parse().unwrap()
}

#[tokio::test]
async fn a_bound_device_signs_in_and_what_it_has_is_noted() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    assert_eq!(bank.device(&phone.id).await.unwrap().used_at_ms, 0);
    bank.clock.advance(Duration::from_secs(60));
    let session = phone.sign_in(&bank).await.unwrap();
    assert_eq!((session.signed_in.customer, session.signed_in.device), (bank.customer.clone(), Some(phone.id.clone())));
    assert_eq!(session.signed_in.factors, [Factor::Possession]);
    assert_eq!(bank.device(&phone.id).await.unwrap().used_at_ms, millis_of(bank.clock.now()));
}

#[tokio::test]
async fn every_wrong_signature_and_an_unknown_device_get_the_same_answer() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let decoy_seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
        0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    let decoy = Ed25519KeyPair::from_seed_unchecked(&decoy_seed).unwrap();
    let unknown = DeviceId::from_random([9; 16]);
    let (begun, other) = (bank.begin(Some(order())), bank.begin(Some(order())));
    let digest = order().digest;
    let right = possession_bytes(&begun.challenge, Some(&digest));
    let attempts = [
        possession(&unknown, phone.sign(&right)),
        possession(&unknown, bytes::Bytes::copy_from_slice(decoy.sign(&right).as_ref())),
        possession(&phone.id, bytes::Bytes::copy_from_slice(pair(2).sign(&right).as_ref())),
        // The signature of another challenge, of another order, and of none.
        phone.possession(&other, Some(&digest)),
        phone.possession(&begun, Some(&Digest::of(b"another order"))),
    ];
    let mut answers = Vec::new();
    for attempt in attempts {
        let before = bank.store.watch().borrow().number();
        let answer = seen(bank.desk().prove(&begun.id, attempt, HERE).await.unwrap_err());
        answers.push((answer, bank.store.watch().borrow().number() - before));
    }
    let same = (seen(Error::IdentityNotVerified), answers[0].1);
    assert_eq!(answers, vec![same; 5], "the same answer and the same writes");
    // Five failures use the challenge up, also for the right one; under one of its own it is taken.
    assert!(matches!(
        bank.desk().prove(&begun.id, phone.possession(&begun, Some(&digest)), HERE).await,
        Err(Error::ChallengeNotFound)
    ));
    let again = bank.begin(Some(order()));
    assert!(bank.session_by(&again, phone.possession(&again, Some(&digest))).await.is_ok());
    let replayed = bank.begin(Some(order()));
    let replay = phone.possession(&again, Some(&digest));
    assert!(matches!(bank.desk().prove(&replayed.id, replay, HERE).await, Err(Error::IdentityNotVerified)));
}

#[tokio::test]
async fn a_session_binds_a_device_once_it_proved_two_kinds() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = bank.sign_in().await.unwrap();
    let Err(Error::FactorsInsufficient(missing)) = bank.bind_by(&pair(2), &session.signed_in).await else {
        panic!("a password is one kind")
    };
    assert!(missing.contains(&Factor::Possession) && !missing.contains(&Factor::Knowledge), "{missing:?}");
    let begun = bank.begin_step_up(&session.signed_in);
    let strong = bank.step_up(&session.signed_in, &begun, phone.possession(&begun, None)).await.unwrap();
    let tablet = bank.bind_by(&pair(2), &strong).await.unwrap();
    assert_eq!(bank.bind_by(&pair(2), &strong).await.unwrap(), tablet, "the same key is the same device");
    assert_eq!(bank.devices().await, [phone.id.to_string(), tablet.to_string()]);
    let listed = bank.desk().list_devices(&strong).await.unwrap();
    assert_eq!(
        listed.iter().map(|device| device.device_id.as_str()).collect::<Vec<_>>(),
        [phone.id.as_str(), tablet.as_str()]
    );
}

#[test]
fn only_who_has_the_private_key_binds_a_key() {
    let key = proto::device::DeviceKey::from_bytes(pair(1).public_key().as_ref().try_into().unwrap());
    let attempts = [
        pair(2).sign(&bind_device_bytes(b"token")),
        pair(1).sign(&bind_device_bytes(b"another token")),
        pair(1).sign(b"token"),
    ];
    for signature in attempts {
        let signature = signature.as_ref().try_into().unwrap();
        let refused = NewDevice::verify(key, "Phone".into(), b"token", &signature);
        assert!(matches!(refused, Err(Error::SignatureInvalid)));
    }
}

#[tokio::test]
async fn a_key_of_another_customer_is_refused_like_a_wrong_signature() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    bank.give_code(&other_customer(), OTHER_CODE).await;
    let refused = bank.bind_by_code(&phone.pair, OTHER_CODE, HERE).await.unwrap_err();
    assert_eq!(seen(refused), seen(Error::SignatureInvalid));
    // The code was not used up by that.
    let theirs = bank.bind_by_code(&pair(2), OTHER_CODE, HERE).await.unwrap();
    assert_eq!(bank.device(&theirs).await.unwrap().customer_id, "customer-2");
    let (_, session) = bank.strong(&phone).await;
    assert!(matches!(bank.bind_by(&pair(2), &session).await, Err(Error::SignatureInvalid)));
    assert!(matches!(bank.desk().unbind_device(&session, &theirs, None).await, Err(Error::DeviceNotFound)));
    assert!(bank.device(&theirs).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_customer_has_ten_devices_also_when_many_are_bound_at_once() {
    let bank = Arc::new(Bank::open().await);
    let phone = Phone::bound(&bank, 1).await;
    let (_, session) = bank.strong(&phone).await;
    for seed in 2..=8 {
        bank.bind_by(&pair(seed), &session).await.unwrap();
    }
    let binding: Vec<_> = (10..18)
        .map(|seed| {
            let (bank, session) = (Arc::clone(&bank), session.clone());
            tokio::spawn(async move { bank.bind_by(&pair(seed), &session).await })
        })
        .collect();
    let mut bound = 0;
    for one in binding {
        match one.await.unwrap() {
            Ok(_) => bound += 1,
            Err(error) => assert!(matches!(error, Error::CredentialsMax), "{error}"),
        }
    }
    assert_eq!((bound, bank.devices().await.len()), (2, 10));
    assert!(bank.bind_by(&phone.pair, &session).await.is_ok(), "the same device once more is none more");
}

#[tokio::test]
async fn to_unbind_leaves_nothing_of_a_device_and_ends_what_it_proved() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let by_password = bank.sign_in().await.unwrap();
    let by_phone = phone.sign_in(&bank).await.unwrap();
    let (stepped_up, strong) = bank.strong(&phone).await;
    super::inherence::enroll(&bank, &phone, &strong).await;
    // Tries are counted under two names of the device's own.
    super::inherence::try_as_somebody_else(&bank, &phone).await.unwrap_err();
    let begun = bank.begin_step_up(&strong);
    let guess = Proof::Knowledge(proof(NATIONAL_ID, USER_CODE, "wrong password"));
    bank.desk().prove(&begun.id, guess, HERE).await.unwrap_err();
    let names = [format!("!features/{}", phone.id), format!("{}/{}", bank.customer, phone.id)];
    for name in &names {
        assert_eq!(bank.lockout(name).await.unwrap().begun, 1, "{name}");
    }
    bank.use_session(by_phone.token.expose()).await.unwrap();
    let under_way = bank.begin(None);

    bank.desk().unbind_device(&by_password.signed_in, &phone.id, Some(HERE)).await.unwrap();
    for token in [by_phone.token.expose(), stepped_up.token.expose()] {
        assert!(matches!(bank.use_session(token).await, Err(Error::SessionInvalid)));
    }
    bank.use_session(by_password.token.expose()).await.unwrap();
    assert!(matches!(
        bank.desk().prove(&under_way.id, phone.possession(&under_way, None), HERE).await,
        Err(Error::IdentityNotVerified)
    ));
    assert_eq!((bank.device(&phone.id).await, bank.devices().await.len()), (None, 0));
    let key = phone.pair.public_key().as_ref().try_into().unwrap();
    assert!(bank.repository.load(&DeviceOfKey::at(&key)).await.unwrap().is_none());
    assert!(bank.repository.load(&Template::at(&phone.id)).await.unwrap().is_none());
    for name in &names {
        assert_eq!(bank.lockout(name).await, None, "{name}");
    }

    // Bound again, it is another device, and what the first one proved stays over. So it is after a restart.
    bank.give_code(&bank.customer, OTHER_CODE).await;
    let again = bank.bind_by_code(&phone.pair, OTHER_CODE, HERE).await.unwrap();
    assert_ne!(again, phone.id);
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    for bank in [&bank, &restarted] {
        assert!(matches!(bank.use_session(by_phone.token.expose()).await, Err(Error::SessionInvalid)));
    }
    let gone = restarted.desk().unbind_device(&by_password.signed_in, &phone.id, None).await;
    assert!(matches!(gone, Err(Error::DeviceNotFound)));
}

#[tokio::test]
async fn a_device_can_unbind_itself() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = phone.sign_in(&bank).await.unwrap();
    bank.desk().unbind_device(&session.signed_in, &phone.id, None).await.unwrap();
    assert!(matches!(bank.use_session(session.token.expose()).await, Err(Error::SessionInvalid)));
}

/// What a session asked for is not done after its end was answered, however long ago it was let in.
#[tokio::test]
async fn nothing_is_committed_for_a_session_that_is_over() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let (ended, of_ended) = bank.strong(&phone).await;
    let (_, of_unbound) = bank.strong(&phone).await;
    bank.desk().end(ended.token.expose(), crate::audit::Actor::Source(HERE)).await.unwrap();
    assert!(matches!(bank.bind_by(&pair(2), &of_ended).await, Err(Error::SessionInvalid)));
    assert!(matches!(bank.desk().unbind_device(&of_ended, &phone.id, None).await, Err(Error::SessionInvalid)));
    let by_password = bank.sign_in().await.unwrap();
    bank.desk().unbind_device(&by_password.signed_in, &phone.id, None).await.unwrap();
    assert!(matches!(bank.bind_by(&pair(2), &of_unbound).await, Err(Error::SessionInvalid)));
    assert!(bank.devices().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn to_unbind_holds_at_once_while_the_session_is_used() {
    let bank = Arc::new(Bank::open().await);
    for round in 1..=10 {
        let phone = {
            bank.give_code(&bank.customer, OTHER_CODE).await;
            let pair = pair(round);
            let id = bank.bind_by_code(&pair, OTHER_CODE, HERE).await.unwrap();
            Phone { pair, id }
        };
        let session = Arc::new(phone.sign_in(&bank).await.unwrap());
        let answered = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let users: Vec<_> = (0..3)
            .map(|_| {
                let (bank, session, answered) = (Arc::clone(&bank), Arc::clone(&session), Arc::clone(&answered));
                tokio::spawn(async move {
                    loop {
                        let after = answered.load(std::sync::atomic::Ordering::SeqCst);
                        let used = bank.use_session(session.token.expose()).await;
                        assert!(!after || used.is_err(), "used after the answer");
                        if after {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        bank.desk().unbind_device(&session.signed_in, &phone.id, None).await.unwrap();
        answered.store(true, std::sync::atomic::Ordering::SeqCst);
        for user in users {
            user.await.unwrap();
        }
    }
}
