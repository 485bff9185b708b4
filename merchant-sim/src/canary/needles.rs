//! What is searched for: each secret in the forms that a careless program would give it.

use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};
use certs::files::read_text;
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

use crate::role::Server;
use crate::secrets::{Secret, Value};
use crate::topology::{Card, Customer, Topology};

/// One form of one secret.
#[derive(Clone, Debug)]
pub struct Needle {
    /// What it is, without the secret itself, for example "bank-aurora: password of mei-lin".
    pub secret: String,
    /// The form, for example "plain" or "hex".
    pub form: &'static str,
    bytes: Vec<u8>,
}

/// All needles, ready to be searched for at once.
#[derive(Debug)]
pub struct Needles {
    needles: Vec<Needle>,
    automaton: AhoCorasick,
}

impl Needles {
    /// The secrets of a network's sample customers, and those that came up while it ran.
    ///
    /// # Errors
    /// There are too many for one search.
    pub fn of(topology: &Topology, noted: &[Secret]) -> Result<Self> {
        let mut needles = Vec::new();
        for secret in noted {
            of_noted(secret, &mut needles);
        }
        for (_, bank, files) in topology.servers().into_iter().filter(|(server, ..)| *server != Server::Platform) {
            of_key_file(bank, &files.keys, &mut needles)?;
        }
        for issuer in &topology.issuers {
            for customer in issuer.customers.iter().chain(&issuer.load_customers) {
                needles.extend(of_customer(&issuer.id, customer));
            }
        }
        let automaton = AhoCorasick::new(needles.iter().map(|needle| &needle.bytes)).context("too many secrets")?;
        Ok(Self { needles, automaton })
    }

    /// How many forms of secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needles.len()
    }

    /// Whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// What an issuer's secrets are called.
    pub fn secrets_of<'n>(&'n self, issuer: &'n str) -> impl Iterator<Item = &'n str> {
        let plain = self.needles.iter().filter(|needle| needle.form == PLAIN);
        plain.map(|needle| needle.secret.as_str()).filter(move |secret| secret.starts_with(issuer))
    }

    /// Every needle in these bytes, with where it begins; overlapping ones too.
    pub fn find<'n>(&'n self, bytes: &'n [u8]) -> impl Iterator<Item = (&'n Needle, usize)> {
        let found = self.automaton.find_overlapping_iter(bytes);
        found.filter_map(|hit| Some((self.needles.get(hit.pattern().as_usize())?, hit.start())))
    }

    /// The length of the longest needle, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or(0)
    }
}

const PLAIN: &str = "plain";

fn of_customer(issuer: &str, customer: &Customer) -> Vec<Needle> {
    let texts = [
        ("national id", &customer.national_id),
        ("user code", &customer.user_code),
        ("password", &customer.password),
        ("activation code", &customer.activation_code),
    ];
    let mut needles = Vec::new();
    for (what, text) in texts {
        forms(&format!("{issuer}: {what} of {}", customer.id), text.as_bytes(), &mut needles);
    }
    // As the bank keeps a code in mind, and as people type it.
    let code = customer.activation_code.replace('-', "");
    for text in [code.clone(), code.to_lowercase()] {
        forms(&format!("{issuer}: activation code of {}", customer.id), text.as_bytes(), &mut needles);
    }
    for card in customer.cards() {
        of_card(issuer, customer, card, &mut needles);
    }
    needles
}

/// The keys that a bank's stored secrets are wrapped under, one a line: a version, a colon, hexadecimal digits.
/// They are named without the bank in front, because its customers' file doesn't hold them.
fn of_key_file(bank: &str, file: &Path, needles: &mut Vec<Needle>) -> Result<()> {
    for line in read_text(file)?.lines().filter(|line| !line.trim().is_empty()) {
        let (version, key) = line.split_once(':').context("a key file without versions")?;
        let key = HEXLOWER.decode(key.trim().as_bytes()).context("a key file with other keys")?;
        forms(&format!("vault key {version} of {bank}"), &key, needles);
    }
    Ok(())
}

fn of_noted(secret: &Secret, needles: &mut Vec<Needle>) {
    match &secret.value {
        Value::Key(bytes) | Value::Token(bytes) => forms(&secret.name, bytes, needles),
        Value::Features(features) => of_features(&secret.name, features, needles),
    }
}

/// A part of a vector is as good as all of it: some values in a row are searched for, at its begin, in its
/// middle and at its end, as bytes of both orders and as the texts that a program would print.
fn of_features(secret: &str, features: &[f32], needles: &mut Vec<Needle>) {
    /// Sixteen bytes stand nowhere by chance.
    const VALUES: usize = 4;
    let places = [0, features.len() / 2, features.len().saturating_sub(VALUES)];
    for part in places.iter().filter_map(|place| features.get(*place..*place + VALUES)) {
        let big: Vec<u8> = part.iter().flat_map(|value| value.to_be_bytes()).collect();
        let little: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
        forms(secret, &big, needles);
        forms(secret, &little, needles);
        let mut push =
            |form, text: String| needles.push(Needle { secret: secret.to_owned(), form, bytes: text.into() });
        for value in part {
            // Nine characters and more of digits are no other number by chance; a shorter one proves nothing.
            let texts = [format!("{value}"), format!("{value:e}"), format!("{}", f64::from(*value))];
            for text in texts.into_iter().map(|text| text.trim_start_matches('-').to_owned()) {
                if text.len() >= DECIMAL_CHARACTERS {
                    push("decimal", text);
                }
            }
        }
    }
}

/// The shortest decimal text of a value that is searched for.
const DECIMAL_CHARACTERS: usize = 9;

fn of_card(issuer: &str, customer: &Customer, card: &Card, needles: &mut Vec<Needle>) {
    let name = format!("{issuer}: number of {}'s card ending {}", customer.id, &card.pan[card.pan.len() - 4..]);
    forms(&name, card.pan.as_bytes(), needles);
    for (form, separator) in [("in groups", " "), ("in groups with hyphens", "-")] {
        let groups: Vec<&str> =
            card.pan.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        needles.push(Needle { secret: name.clone(), form, bytes: groups.join(separator).into_bytes() });
    }
    // Two digits in a byte, as card networks pack numbers. The forms must be no needle by chance, so
    // that only a whole number counts.
    if let Ok(packed) = HEXLOWER.decode(card.pan.as_bytes()) {
        needles.push(Needle { secret: name, form: "packed", bytes: packed });
    }
    of_cvv(issuer, customer, card, needles);
}

/// Three digits stand everywhere by chance. Searched for are the forms in which they stand for what
/// they are: in a serialised card, and after a name.
fn of_cvv(issuer: &str, customer: &Customer, card: &Card, needles: &mut Vec<Needle>) {
    if card.cvv.is_empty() {
        return;
    }
    let secret = format!("{issuer}: CVV of {}'s card ending {}", customer.id, &card.pan[card.pan.len() - 4..]);
    let mut push = |form, bytes: Vec<u8>| needles.push(Needle { secret: secret.clone(), form, bytes });
    let length = u8::try_from(card.cvv.len()).unwrap_or(u8::MAX);
    // Field 4 of `CardData`, of wire type 2, after its expiry year.
    let mut serialised = vec![0x18];
    prost::encoding::encode_varint(u64::from(card.expiry_year), &mut serialised);
    serialised.extend([0x22, length]);
    serialised.extend_from_slice(card.cvv.as_bytes());
    push("serialised", serialised);
    push(PLAIN, format!("cvv = \"{}\"", card.cvv).into_bytes());
    for before in ["cvv=", "cvv: ", "cvv: \"", "cvv:\"", "cvv\":\"", "cvv\": \"", "Cvv(", "Cvv(\""] {
        push("after its name", format!("{before}{}", card.cvv).into_bytes());
    }
}

fn forms(secret: &str, bytes: &[u8], needles: &mut Vec<Needle>) {
    let mut push = |form, bytes: Vec<u8>| needles.push(Needle { secret: secret.to_owned(), form, bytes });
    push(PLAIN, bytes.to_vec());
    push("hex", HEXLOWER.encode(bytes).into_bytes());
    push("hex", HEXUPPER.encode(bytes).into_bytes());
    push("debug", format!("{bytes:?}").trim_matches(['[', ']']).as_bytes().to_vec());
    push("UTF-16", bytes.iter().flat_map(|byte| [*byte, 0]).collect());
    push("reversed", bytes.iter().rev().copied().collect());
    for offset in 0..3 {
        push("base64", base64_at(offset, bytes));
    }
}

/// What these bytes look like in base 64 where `offset` others stand before them: without the characters
/// at both ends, which depend on their neighbours.
fn base64_at(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let text = BASE64.encode(&padded);
    let own = text.trim_end_matches('=').len();
    let begin = (offset * 8).div_ceil(6);
    let end = (padded.len() * 8 / 6).min(own);
    text.as_bytes().get(begin..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::authenticators::Person;

    #[test]
    fn features_are_recognised_in_every_form_that_a_program_gives_them() {
        let features = Person::new(7, 128).measure(1);
        let mut needles = Vec::new();
        of_features("features", &features, &mut needles);
        let found = |text: &[u8]| {
            needles.iter().any(|needle| text.windows(needle.bytes.len()).any(|window| window == needle.bytes))
        };
        let json: Vec<f64> = features.iter().map(|value| f64::from(*value)).collect();
        assert!(found(&features.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>()));
        assert!(found(&features.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()));
        assert!(found(format!("{features:?}").as_bytes()) && found(format!("{json:?}").as_bytes()));
        assert!(found(format!("InherenceProof {{ features: {features:#?} }}").as_bytes()));
        let other = Person::new(8, 128).measure(1);
        assert!(!found(format!("{other:?}").as_bytes()));
    }

    #[test]
    fn base64_is_recognised_wherever_it_begins() {
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "x", "xy", "xyz"] {
                let whole = BASE64.encode(format!("{before}4000000000000002{after}").as_bytes());
                let found = (0..3).any(|offset| {
                    let needle = base64_at(offset, b"4000000000000002");
                    whole.as_bytes().windows(needle.len()).any(|window| window == needle)
                });
                assert!(found, "{before} {after}: {whole}");
            }
        }
    }
}
