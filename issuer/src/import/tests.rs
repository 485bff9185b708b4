#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use mesh::{
    clock::{SystemClock, SystemEntropy},
    sealing::at_rest::{KeyEncryptionKey, KeyVersion},
    store::{KeyRange, PageRequest, Seq, Store, memory::MemoryStore},
};

use super::*;
use crate::{
    auth::PasswordConfig,
    domain::ids::CustomerId,
    records::{Account, Card, Credential, Customer, INDEX_CARD_BY_CUSTOMER},
    repository::{Changes, Outcome},
    vault::{open_card, open_password_hash},
};

mod codes;
mod refused;

const SAMPLE: &str = include_str!("../../customers.sample.toml");

struct Bank {
    store: Arc<dyn Store>,
    repository: Repository,
    vault: Vault,
    lookup: LookupKeys,
    passwords: Passwords,
    entropy: Arc<dyn Entropy>,
    clock: SystemClock,
}

impl Bank {
    async fn open() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let vault = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &[7; 32]).unwrap()]).unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        Self {
            repository: Repository::new(Arc::clone(&store)),
            lookup: LookupKeys::open(store.as_ref(), &vault, entropy.as_ref()).await.unwrap(),
            passwords: Passwords::new(&PasswordConfig::default(), Arc::clone(&entropy)).unwrap(),
            store,
            vault,
            entropy,
            clock: SystemClock::new(),
        }
    }

    fn means(&self) -> Means<'_> {
        Means {
            repository: &self.repository,
            vault: &self.vault,
            lookup: &self.lookup,
            passwords: &self.passwords,
            entropy: self.entropy.as_ref(),
            clock: &self.clock,
            card_verification: VerificationProfile::Stored,
            activation_code_life: Duration::from_secs(7 * 24 * 60 * 60),
            bins: None,
        }
    }

    async fn load(&self, text: &str) -> Result<Report, Error> {
        from_text(&self.means(), text, Options::default()).await
    }

    async fn cards_of(&self, customer: &str) -> Vec<Card> {
        let range = KeyRange::exactly(customer.as_bytes());
        let found = self.repository.page::<Card>(INDEX_CARD_BY_CUSTOMER, range, PageRequest::first(10)).await;
        let mut cards: Vec<Card> = found.unwrap().items.into_iter().map(|stored| stored.value).collect();
        cards.sort_by(|a, b| a.last_four.cmp(&b.last_four));
        cards
    }

    async fn account(&self, id: &str) -> Account {
        self.repository.load(&Account::at(&id.parse().unwrap())).await.unwrap().unwrap().value
    }

    fn seq(&self) -> Seq {
        *self.store.watch().borrow()
    }
}

fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

#[tokio::test]
async fn the_sample_file_is_loaded() {
    let bank = Bank::open().await;
    let report = bank.load(SAMPLE).await.unwrap();
    assert_eq!((report.customers.created, report.accounts.created, report.cards.created), (2, 3, 5));

    let cards = bank.cards_of("customer-1").await;
    assert_eq!(cards.iter().map(|card| card.last_four.as_str()).collect::<Vec<_>>(), ["0002", "0010", "0028"]);
    assert_eq!((cards[0].brand.as_str(), cards[0].expiry_year, cards[0].expiry_month), ("Visa", 2031, 12));
    let option = cards[0].card_option_id.parse().unwrap();
    let data = open_card(&bank.vault, &customer("customer-1"), &option, &cards[0].sealed_data).unwrap();
    assert_eq!((data.pan.expose(), data.cvv.unwrap().expose()), ("4000000000000002", "123"));
    assert!(bank.cards_of("customer-2").await[1].blocked);

    let credit = bank.account("credit-1").await;
    assert_eq!((credit.funds, credit.held, credit.spent, credit.currency.as_str()), (10_000_000, 0, 0, "TWD"));

    let stored = bank.repository.load(&Customer::at(&customer("customer-1"))).await.unwrap().unwrap().value;
    let tag = bank.lookup.national_id(&"A123456789".parse().unwrap());
    assert!(tag.matches(&stored.national_id_hash));
    let credential = bank.repository.load(&Credential::at(&customer("customer-1"))).await.unwrap().unwrap().value;
    assert!(bank.lookup.user_code(&customer("customer-1"), "mei-lin").matches(&credential.user_code_hash));
    let hash = open_password_hash(&bank.vault, &customer("customer-1"), &credential.sealed_password_hash).unwrap();
    let turn = bank.passwords.turn().await.unwrap();
    assert!(bank.passwords.verify(turn, hash, "correct horse battery".to_owned().into(), true).await.unwrap().right);
}

#[tokio::test]
async fn loading_a_file_twice_changes_nothing() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let (seq, cards) = (bank.seq(), bank.cards_of("customer-1").await);
    let report = bank.load(SAMPLE).await.unwrap();
    let unchanged = |count| Tally { unchanged: count, ..Tally::default() };
    assert_eq!(report, Report { customers: unchanged(2), accounts: unchanged(3), cards: unchanged(5), funds_kept: 0 });
    assert_eq!((bank.seq(), bank.cards_of("customer-1").await), (seq, cards));
}

#[tokio::test]
async fn changes_are_taken_over_and_card_options_stay() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let before = bank.cards_of("customer-1").await;
    let text = SAMPLE
        .replace("Travel Credit", "Journey Credit")
        .replace("expiry = \"2030-06\"", "expiry = \"2034-06\"")
        .replace("correct horse battery", "another horse battery")
        .replace("林美玲", "林美美");
    let report = bank.load(&text).await.unwrap();
    assert_eq!((report.customers.updated, report.customers.unchanged), (1, 1));
    assert_eq!((report.cards.updated, report.cards.unchanged), (1, 4));

    let after = bank.cards_of("customer-1").await;
    assert_eq!((after[1].label.as_str(), after[1].expiry_year), ("Journey Credit", 2034));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.card_option_id, after.card_option_id);
    }
    let option = after[1].card_option_id.parse().unwrap();
    let data = open_card(&bank.vault, &customer("customer-1"), &option, &after[1].sealed_data).unwrap();
    assert_eq!(data.expiry.year(), 2034);
}

#[tokio::test]
async fn a_damaged_record_is_written_anew_from_the_file() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let flipped = |bytes: &bytes::Bytes| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes::Bytes::from(bytes)
    };
    let option = bank.cards_of("customer-1").await[0].card_option_id.parse().unwrap();
    let card = bank.repository.load(&Card::at(&option)).await.unwrap().unwrap();
    let credential = bank.repository.load(&Credential::at(&customer("customer-1"))).await.unwrap().unwrap();
    let changes = Changes::new()
        .replace(card.version, &Card { sealed_data: flipped(&card.value.sealed_data), ..card.value })
        .replace(
            credential.version,
            &Credential { sealed_password_hash: flipped(&credential.value.sealed_password_hash), ..credential.value },
        );
    assert_eq!(bank.repository.commit(changes).await.unwrap(), Outcome::Committed);

    let report = bank.load(SAMPLE).await.unwrap();
    assert_eq!((report.customers.updated, report.cards.updated), (1, 1));
    let card = bank.repository.load(&Card::at(&option)).await.unwrap().unwrap().value;
    open_card(&bank.vault, &customer("customer-1"), &option, &card.sealed_data).unwrap();
    let credential = bank.repository.load(&Credential::at(&customer("customer-1"))).await.unwrap().unwrap().value;
    open_password_hash(&bank.vault, &customer("customer-1"), &credential.sealed_password_hash).unwrap();
}

#[tokio::test]
async fn funds_in_use_are_overwritten_only_when_asked_and_holds_never() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let stored = bank.repository.load(&Account::at(&"credit-1".parse().unwrap())).await.unwrap().unwrap();
    let used = Account { held: 500, spent: 7000, ..stored.value.clone() };
    let done = bank.repository.commit(Changes::new().replace(stored.version, &used)).await.unwrap();
    assert_eq!(done, Outcome::Committed);

    let text = SAMPLE.replace("10_000_000", "20_000_000");
    assert_eq!(bank.load(&text).await.unwrap().funds_kept, 1);
    assert_eq!(bank.account("credit-1").await, used);

    let report = from_text(&bank.means(), &text, Options { overwrite_funds: true }).await.unwrap();
    assert_eq!((report.funds_kept, report.accounts.updated), (0, 1));
    let account = bank.account("credit-1").await;
    assert_eq!((account.funds, account.held, account.spent), (20_000_000, 500, 0));
}

#[tokio::test]
async fn a_hash_made_elsewhere_is_taken_as_it_is() {
    let bank = Bank::open().await;
    let hash = bank.passwords.hash(b"correct horse battery").unwrap();
    let with_hash =
        SAMPLE.replace("password = \"correct horse battery\"", &format!("password_hash = '{}'", hash.as_str()));
    assert_eq!(bank.load(&with_hash).await.unwrap().customers.created, 2);
    assert_eq!(bank.load(&with_hash).await.unwrap().customers.unchanged, 2);
    // The same password in the clear still fits the hash.
    assert_eq!(bank.load(SAMPLE).await.unwrap().customers.unchanged, 2);
}
