//! Messages of any kind, made from the contracts' descriptors with values that parsers take seriously.

use std::sync::LazyLock;

use fastrand::Rng;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

/// How deep messages in messages go.
const DEPTH_MAX: usize = 6;

/// Texts that are right somewhere.
const TEXTS: [&str; 34] = [
    "",
    "ord_aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aut_bbbbbbbbbbbbbbbbbbbbbbbbbb",
    "chg_cccccccccccccccccccccccccc",
    "crd_dddddddddddddddddddddddddd",
    "cha_eeeeeeeeeeeeeeeeeeeeeeeeee",
    "dev_ffffffffffffffffffffffffff",
    "cko_gggggggggggggggggggggggggg",
    "bank-aurora",
    "bank-borealis",
    "shop-books",
    "hub",
    "customer-1",
    "A123456789",
    "mei-lin",
    "correct horse battery",
    "7K3M-9PQR-10TV",
    "TWD",
    "USD",
    "JPY",
    "5942",
    "Lantern Books",
    "books.example",
    "https://books.example/checkout",
    "0123456789abcdef0123456789abcdef",
    "bankside.v1.CardSelection/SubmitCharge",
    "A1B2C3",
    "4000000000000002",
    "123",
    "reference-1",
    "W*** L** · Taipei",
    "\u{202e}txt",
    "\0",
    "line\nline",
];

/// All messages of the contracts.
pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).expect("invariant: the build made the descriptors")
});

/// A message of this kind, serialised.
pub(crate) fn message(name: &str, rng: &mut Rng) -> Vec<u8> {
    let descriptor = POOL.get_message_by_name(name).expect("invariant: the contracts have this message");
    dynamic(&descriptor, rng, 0).encode_to_vec()
}

fn dynamic(descriptor: &MessageDescriptor, rng: &mut Rng, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if rng.u8(..10) == 0 {
            continue;
        }
        if field.is_map() {
            let value = Value::Map([(MapKey::String("key".into()), Value::String("value".into()))].into());
            let _ = message.try_set_field(&field, value);
            continue;
        }
        let value = if field.cardinality() == Cardinality::Repeated {
            let count = rng.usize(..4);
            Value::List((0..count).filter_map(|_| value(&field, rng, depth)).collect())
        } else {
            match value(&field, rng, depth) {
                Some(value) => value,
                None => continue,
            }
        };
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor, rng: &mut Rng, depth: usize) -> Option<Value> {
    Some(match field.kind() {
        Kind::Double => Value::F64(f64::from_bits(rng.u64(..))),
        Kind::Float => Value::F32(if rng.bool() { rng.f32() } else { f32::from_bits(rng.u32(..)) }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(integer(rng) as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(integer(rng)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(integer(rng) as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(integer(rng) as u64),
        Kind::Bool => Value::Bool(rng.bool()),
        Kind::String => Value::String(text(rng)),
        Kind::Bytes => Value::Bytes(bytes(field, rng, depth).into()),
        Kind::Enum(kind) => {
            let numbers: Vec<i32> = kind.values().map(|value| value.number()).collect();
            let number = if rng.u8(..8) == 0 { rng.i32(..) } else { numbers[rng.usize(..numbers.len())] };
            Value::EnumNumber(number)
        }
        Kind::Message(kind) if depth < DEPTH_MAX => Value::Message(dynamic(&kind, rng, depth + 1)),
        Kind::Message(_) => return None,
    })
}

fn integer(rng: &mut Rng) -> i64 {
    let bounds = [0, 1, -1, 12, 2031, 100, 129_900, i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(u32::MAX)];
    match rng.u8(..4) {
        0 => rng.i64(..),
        1 => 1_795_000_000 + rng.i64(..100_000),
        _ => bounds[rng.usize(..bounds.len())],
    }
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => (0..rng.usize(..300)).map(|_| rng.char(..)).collect(),
        _ => TEXTS[rng.usize(..TEXTS.len())].to_owned(),
    }
}

/// Bytes: a digest, a key, a signature, or, where something signed is carried, a message of its own.
fn bytes(field: &FieldDescriptor, rng: &mut Rng, depth: usize) -> Vec<u8> {
    const BODIES: [&str; 8] = [
        "bankside.v1.Order",
        "bankside.v1.AuthorizationRequest",
        "bankside.v1.AuthorizationResult",
        "bankside.v1.ResolveRequest",
        "bankside.v1.OrderEvent",
        "bankside.v1.DirectoryEntry",
        "bankside.v1.Consent",
        "bankside.v1.SessionUse",
    ];
    if field.name() == "body" && depth < DEPTH_MAX && rng.u8(..8) != 0 {
        let name = BODIES[rng.usize(..BODIES.len())];
        let descriptor = POOL.get_message_by_name(name).expect("invariant: the contracts have this message");
        return dynamic(&descriptor, rng, depth + 1).encode_to_vec();
    }
    let lengths = [0, 1, 12, 16, 31, 32, 33, 37, 64, 65, 200, 1024];
    let length = if rng.u8(..8) == 0 { rng.usize(..5000) } else { lengths[rng.usize(..lengths.len())] };
    (0..length).map(|_| rng.u8(..)).collect()
}
