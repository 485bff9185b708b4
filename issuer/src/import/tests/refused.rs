use std::collections::HashMap;

use super::*;

/// Loads the sample with a change, and returns the paths that were complained about.
async fn paths(from: &str, to: &str) -> Vec<String> {
    let bank = Bank::open().await;
    let seq = bank.seq();
    assert!(SAMPLE.contains(from), "the sample has {from}");
    let error = bank.load(&SAMPLE.replacen(from, to, 1)).await.unwrap_err();
    assert_eq!(bank.seq(), seq, "nothing is written");
    let text = format!("{error} {error:?}");
    for secret in ["A123456789", "mei-lin", "correct horse", "4000000000000002", "4000000000000003", "1234567"] {
        assert!(!text.contains(secret), "{text}");
    }
    let Error::Invalid(invalid) = error else { panic!("{error}") };
    invalid.violations.into_iter().map(|violation| violation.path).collect()
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_path_and_nothing_is_written() {
    let cases = [
        ("id = \"customer-1\"", "id = \"customer 1\"", "customers[0].id"),
        ("id = \"customer-2\"", "id = \"customer-1\"", "customers[1].id"),
        ("林美玲", "", "customers[0].name"),
        ("\"A123456789\"", "\"A123456780\"", "customers[0].national_id"),
        ("F131104093", "a123456789", "customers[1].national_id"),
        ("user_code = \"mei-lin\"", "user_code = \"mei\"", "customers[0].user_code"),
        ("\"correct horse battery\"", "\"1234567\"", "customers[0].password"),
        ("password = \"correct horse battery\"", "", "customers[0].password"),
        ("password = \"staple the battery\"", "password_hash = \"$argon2id$\"", "customers[1].password_hash"),
        ("id = \"credit-2\"", "id = \"credit-1\"", "customers[1].accounts[0].id"),
        ("currency = \"TWD\"", "currency = \"twd\"", "customers[0].accounts[0].currency"),
        ("limit_minor_units = 10_000_000", "", "customers[0].accounts[0].limit_minor_units"),
        ("limit_minor_units = 10_000_000", "limit_minor_units = -1", "customers[0].accounts[0].limit_minor_units"),
        ("kind = \"debit\"", "kind = \"debit\"\nlimit_minor_units = 1", "customers[0].accounts[1].limit_minor_units"),
        ("\"4000000000000002\"", "\"4000000000000003\"", "customers[0].cards[0].pan"),
        ("pan = \"4000000000000002\"", "", "customers[0].cards[0].pan"),
        ("national_id = \"A123456789\"", "", "customers[0].national_id"),
        ("user_code = \"mei-lin\"", "", "customers[0].user_code"),
        ("\"4000000000000036\"", "\"4000000000000002\"", "customers[1].cards[0].pan"),
        ("\"2031-12\"", "\"2031-13\"", "customers[0].cards[0].expiry"),
        ("\"2031-12\"", "\"31-12\"", "customers[0].cards[0].expiry"),
        ("cvv = \"123\"", "cvv = \"12\"", "customers[0].cards[0].cvv"),
        ("account = \"debit-1\"", "account = \"credit-2\"", "customers[0].cards[2].account"),
        ("Travel Credit", "", "customers[0].cards[1].label"),
    ];
    for (from, to, path) in cases {
        // Where an account is wrong, the cards that name it are, too.
        assert!(paths(from, to).await.contains(&path.to_owned()), "{from} -> {to}");
    }
}

#[tokio::test]
async fn everything_wrong_is_told_at_once() {
    let bank = Bank::open().await;
    let text = SAMPLE.replace("\"4000000000000010\"", "\"4\"").replace("F131104093", "F131104090");
    let Err(Error::Invalid(invalid)) = bank.load(&text).await else { panic!("a wrong file was loaded") };
    let paths: Vec<&str> = invalid.violations.iter().map(|violation| violation.path.as_str()).collect();
    assert_eq!(paths, ["customers[0].cards[1].pan", "customers[1].national_id"]);
}

#[tokio::test]
async fn a_file_of_another_shape_is_refused_without_repeating_it() {
    let bank = Bank::open().await;
    let cases = [
        ("pan = \"4000000000000002\"", "pan = 4000000000000002", "quotes"),
        ("pan = \"4000000000000002\"", "pan = \"4000000000000002", "quotes"),
        ("label = \"Travel Credit\"", "", "missing field `label`"),
        ("pan = \"4000000000000002\"", "pan = \"4000000000000002\"\npin = \"9753\"", "unknown field `pin`"),
        ("password = \"correct horse battery\"", "password = [\"correct horse battery\"]", "quotes"),
        ("limit_minor_units = 10_000_000", "limit_minor_units = 1.5", "quotes"),
    ];
    for (from, to, expected) in cases {
        let error = bank.load(&SAMPLE.replacen(from, to, 1)).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Syntax { .. }) && text.contains(expected), "{text}");
        for secret in ["4000000000000002", "9753", "correct horse"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let line = SAMPLE.lines().position(|line| line.starts_with("pan =")).unwrap() + 1;
    let error = bank.load(&SAMPLE.replacen("pan = \"4000000000000002\"", "pan = 4000000000000002", 1)).await;
    assert!(matches!(error, Err(Error::Syntax { line: found, .. }) if found == line));
}

#[tokio::test]
async fn what_contradicts_the_store_is_refused() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let seq = bank.seq();
    let cases: HashMap<&str, (&str, &str)> = HashMap::from([
        ("customers[0].accounts[0].kind", ("kind = \"credit\"", "kind = \"debit\"\nbalance_minor_units = 1 #")),
        ("customers[0].accounts[0].currency", ("currency = \"TWD\"", "currency = \"USD\"")),
        ("customers[0].national_id", ("id = \"customer-1\"", "id = \"customer-9\"")),
        ("customers[0].accounts[0].id", ("id = \"customer-1\"", "id = \"customer-9\"")),
    ]);
    for (path, (from, to)) in cases {
        let text = SAMPLE.replacen(from, to, 1).replacen("#\n# ISO 4217.", "", 1);
        let text = if path.ends_with("kind") { text.replacen("limit_minor_units = 10_000_000", "", 1) } else { text };
        let error = bank.load(&text).await.unwrap_err();
        let Error::Invalid(invalid) = error else { panic!("{path}: {error}") };
        assert!(invalid.violations.iter().any(|violation| violation.path == path), "{path}: {invalid}");
        assert_eq!(bank.seq(), seq, "nothing is written");
    }
}

#[tokio::test]
async fn a_balance_below_the_holds_is_refused() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let stored = bank.repository.load(&Account::at(&"debit-1".parse().unwrap())).await.unwrap().unwrap();
    let used = Account { held: 500, ..stored.value.clone() };
    let done = bank.repository.commit(Changes::new().replace(stored.version, &used)).await.unwrap();
    assert_eq!(done, Outcome::Committed);
    let overwrite = Options { overwrite_funds: true };
    let text = SAMPLE.replace("2_500_000", "499");
    let Err(Error::Invalid(invalid)) = from_text(&bank.means(), &text, overwrite).await else {
        panic!("holds without cover were accepted")
    };
    assert_eq!(invalid.violations[0].path, "customers[0].accounts[1].balance_minor_units");
    assert_eq!(bank.load(&text).await.unwrap().funds_kept, 1);
    let text = SAMPLE.replace("2_500_000", "500");
    from_text(&bank.means(), &text, overwrite).await.unwrap();
    assert_eq!(bank.account("debit-1").await, Account { funds: 500, ..used });
}

#[tokio::test]
async fn a_verification_value_is_stored_in_the_sandbox_alone() {
    let bank = Bank::open().await;
    let means = Means { card_verification: VerificationProfile::None, ..bank.means() };
    let Err(Error::Invalid(invalid)) = from_text(&means, SAMPLE, Options::default()).await else {
        panic!("a CVV was stored")
    };
    assert_eq!(invalid.violations[0].path, "customers[0].cards[0].cvv");
}

#[tokio::test]
async fn every_bin_must_be_this_issuers() {
    let bank = Bank::open().await;
    let (directory, issuer) = (Directory::default(), "bank-aurora".parse().unwrap());
    let means = Means { bins: Some((&directory, &issuer)), ..bank.means() };
    let Err(Error::Invalid(invalid)) = from_text(&means, SAMPLE, Options::default()).await else {
        panic!("another bank's card was taken")
    };
    assert_eq!(invalid.violations.len(), 5);
    assert_eq!(invalid.violations[0].path, "customers[0].cards[0].pan");
}
