use bytes::Bytes;
use mesh::store::Seq;

use super::*;
use crate::{
    audit,
    auth::sessions,
    config::PasskeyConfig,
    records::Passkey,
    webauthn::soft::{
        GOOD, SoftAssertion, SoftKey, WITH_CREDENTIAL, attestation_object, authenticator_data, client_data,
        new_credential,
    },
};

mod assertion;
mod registration;

const PARTY: &str = "bank.example";
const ORIGIN: &str = "https://bank.example";
const ID: [u8; 16] = [7; 16];
const TWO_KINDS: [Factor; 2] = [Factor::Knowledge, Factor::Possession];

/// A bank that offers passkeys, two for each customer.
async fn bank() -> Bank {
    let mut bank = Bank::open().await;
    let config = PasskeyConfig { relying_party_id: PARTY.into(), origins: vec![ORIGIN.into()], passkeys_max: 2 };
    assert_eq!(config.validate(), []);
    bank.auth = bank.auth.with_passkeys(Some(Passkeys::new(&config)));
    bank
}

impl Bank {
    /// A stored session of this customer.
    async fn session_of(&self, customer: &str, factors: &[Factor]) -> SignedIn {
        let session = SignedIn {
            id: Digest::of(&self.entropy.id().unwrap()),
            customer: customer.parse().unwrap(),
            order: None,
            factors: factors.to_vec(),
            device: None,
            challenge: [1; 32],
            expires_at: self.clock.now() + Duration::from_secs(900),
        };
        let record = sessions::record(&session, self.clock.now());
        assert_eq!(self.repository.commit(Changes::new().create(&record)).await.unwrap(), Outcome::Committed);
        session
    }

    async fn own_session(&self) -> SignedIn {
        self.session_of(self.customer.as_str(), &TWO_KINDS).await
    }

    /// Registers a passkey under a challenge of its own.
    async fn register(&self, session: &SignedIn, id: &[u8], key: &SoftKey, counter: u32) -> Result<Bytes, Error> {
        let begun = self.begin_step_up(session);
        self.desk().register_passkey(session, registration(&begun, id, key, counter), Some(HERE)).await
    }

    async fn passkey(&self, id: &[u8]) -> Option<Passkey> {
        self.repository.load(&Passkey::at(id)).await.unwrap().map(|stored| stored.value)
    }

    async fn prove_passkey(&self, begun: &Begun, id: &[u8], assertion: SoftAssertion) -> Result<Proven, Error> {
        self.desk().prove(&begun.id, Proof::Passkey(received(id, assertion)), HERE).await
    }

    /// Signs in with a passkey under a challenge of its own.
    async fn sign_in_with(&self, id: &[u8], key: &SoftKey, counter: u32) -> Result<SignedIn, Error> {
        let begun = self.begin(None);
        let proven = self.prove_passkey(&begun, id, assertion(&begun, key, counter)).await?;
        let Proven::Session(new) = proven else { panic!("one factor suffices here: {proven:?}") };
        Ok(new.signed_in)
    }

    /// Whether the audit trail has a word.
    async fn trail_says(&self, word: &str) -> bool {
        let events = self.store.events(audit::topic(), Seq::new(0), 200).await.unwrap();
        events.iter().any(|event| event.body.windows(word.len()).any(|window| window == word.as_bytes()))
    }
}

/// A good registration under a challenge.
fn registration(begun: &Begun, id: &[u8], key: &SoftKey, counter: u32) -> NewPasskey {
    let data = authenticator_data(PARTY, GOOD | WITH_CREDENTIAL, counter, &new_credential(id, &key.cose()));
    let client = client_data("webauthn.create", &begun.challenge, ORIGIN);
    NewPasskey::parse(begun.id.as_str(), "Phone", client.into(), attestation_object(&data).into()).unwrap()
}

/// A good assertion under a challenge.
fn assertion(begun: &Begun, key: &SoftKey, counter: u32) -> SoftAssertion {
    key.assert(authenticator_data(PARTY, GOOD, counter, &[]), client_data("webauthn.get", &begun.challenge, ORIGIN))
}

fn received(id: &[u8], assertion: SoftAssertion) -> Assertion {
    Assertion::parse(pb::PasskeyProof {
        credential_id: id.to_vec().into(),
        authenticator_data: assertion.authenticator_data.into(),
        client_data_json: assertion.client_data_json.into(),
        signature: assertion.signature.into(),
    })
    .unwrap()
}
