//! An order keeps its rules, and the longest one fits into a QR code.
#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use super::*;

/// An order in which every text is as long as it may be.
fn longest() -> Order {
    let created_at = UNIX_EPOCH + Duration::new(253_402_200_000, 999_000_000);
    Order {
        id: OrderId::from_random([255; 16]),
        acquirer: "a".repeat(40).parse().unwrap(),
        merchant: Merchant {
            id: "m".repeat(40).parse().unwrap(),
            display_name: "店".repeat(20),
            domain: "d".repeat(DOMAIN_BYTES_MAX),
            category: "5942".parse().unwrap(),
        },
        amount: Money::new("TWD".parse().unwrap(), crate::money::MINOR_UNITS_MAX).unwrap(),
        lines_digest: Digest::of(b"lines"),
        created_at,
        expires_at: created_at + ORDER_LIFE_MAX,
        return_url: format!("https://shop.example/{}", "r".repeat(RETURN_URL_BYTES_MAX - 21)).parse().unwrap(),
        sealing_key: [255; 32],
        delivery_hint: "h".repeat(DELIVERY_HINT_BYTES_MAX),
        device_check_url: None,
    }
}

fn signed(order: &Order) -> pb::Signed {
    pb::Signed { body: order.to_pb().encode_to_vec().into(), key_id: "f".repeat(32), signature: vec![9; 64].into() }
}

#[test]
fn the_longest_order_fits() {
    let url = format!("https://pay.example/{}", "c".repeat(DEVICE_CHECK_URL_BYTES_MAX - 20));
    let checked = Order { device_check_url: Some(url.parse().unwrap()), ..longest() };
    for (order, most) in [(longest(), SCANNED_ORDER_BYTES_MAX), (checked, SIGNED_ORDER_BYTES_MAX)] {
        let signed = signed(&order);
        assert!(signed.encoded_len() <= most, "{}", signed.encoded_len());
        assert_eq!(SignedOrder::parse(signed).unwrap().order, order);
    }
}

#[test]
fn an_order_that_no_qr_code_holds_is_refused_unless_its_device_is_checked() {
    // An unknown field is the only way to more bytes: every text has its limit.
    let padded = |order: &Order| {
        let body = [order.to_pb().encode_to_vec(), vec![0xfa, 0x01, 20], vec![0; 20]].concat();
        pb::Signed { body: body.into(), ..signed(order) }
    };
    let too_long = SignedOrder::parse(padded(&longest())).unwrap_err();
    assert_eq!(too_long.violations[0].path, "body");
    let checked = Order { device_check_url: Some("https://pay.example/c".parse().unwrap()), ..longest() };
    assert!(SignedOrder::parse(padded(&checked)).is_ok());
}

#[test]
fn every_wrong_field_is_named_by_its_path() {
    type Spoil = fn(&mut pb::Order);
    let cases: [(&str, Spoil); 17] = [
        ("body.order_id", |o| o.order_id.push('1')),
        ("body.acquirer_id", |o| o.acquirer_id.clear()),
        ("body.merchant", |o| o.merchant = None),
        ("body.merchant.display_name", |o| o.merchant.as_mut().unwrap().display_name = "a\nb".into()),
        ("body.merchant.category_code", |o| o.merchant.as_mut().unwrap().category_code = "59".into()),
        ("body.amount", |o| o.amount = None),
        ("body.amount.minor_units", |o| o.amount.as_mut().unwrap().minor_units = 0),
        ("body.amount.currency_code", |o| o.amount.as_mut().unwrap().currency_code = "NTD".into()),
        ("body.lines_digest", |o| o.lines_digest = Bytes::new()),
        ("body.created_at", |o| o.created_at.as_mut().unwrap().nanos = -1),
        ("body.expires_at", |o| o.expires_at = o.created_at),
        ("body.return_url", |o| o.return_url = "http://shop.example/".into()),
        ("body.sealing_key", |o| o.sealing_key = Bytes::from_static(b"short")),
        ("body.delivery_hint", |o| o.delivery_hint.push('h')),
        ("body.device_check_url", |o| o.device_check_url = "http://pay.example/c".into()),
        ("body.device_check_url", |o| o.device_check_url = "https://pay.example/c?bank=x".into()),
        ("body.device_check_url", |o| o.device_check_url = format!("https://pay.example/{}", "c".repeat(109))),
    ];
    for (path, spoil) in cases {
        let mut pb = longest().to_pb();
        spoil(&mut pb);
        let wrong = pb::Signed { body: pb.encode_to_vec().into(), ..signed(&longest()) };
        let invalid = SignedOrder::parse(wrong).unwrap_err();
        assert_eq!(invalid.violations.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), [path]);
    }
}

#[test]
fn lines_add_up_and_their_digest_tells_them_apart() {
    let line = |description: &str, quantity, units| OrderLine {
        description: description.into(),
        quantity,
        unit_price: Money::new("TWD".parse().unwrap(), units).unwrap(),
    };
    let lines = [line("book", 2, 100), line("pen", 1, 50)];
    assert_eq!(lines_total(&lines, "TWD".parse().unwrap()).unwrap().minor_units(), 250);
    assert_eq!(lines_total(&lines, "USD".parse().unwrap()), Err(MoneyError::CurrencyMismatch));
    assert_ne!(lines_digest(&lines), lines_digest(&[line("book", 1, 100), line("pen", 1, 50)]));
    assert_ne!(lines_digest(&lines), lines_digest(&lines[..1]));
}
