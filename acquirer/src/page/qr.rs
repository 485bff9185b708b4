//! The QR code of an order, as SVG.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, as ISO/IEC 18004 asks for.
const QUIET_ZONE: usize = 4;
/// Pixels per module where nothing scales the image. A code of a usual order has about 100 modules, so
/// that it is half as wide as a small screen and every module has the same whole number of pixels.
const MODULE_PX: usize = 5;

/// The link doesn't fit into any QR code. Cannot happen to a signed order and a reasonable app link.
#[derive(Debug, thiserror::Error)]
#[error("the payment link does not fit into a QR code: {0}")]
pub(super) struct TooLong(#[from] qrcode::types::QrError);

/// The QR code of an order's payment link, at error correction level M: 15 % of it may be hidden by a
/// reflection, at a size that a phone's camera reads from a screen.
pub(super) fn svg(link: &str) -> Result<String, TooLong> {
    let code = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::M)?;
    Ok(draw(&code))
}

/// One path of horizontal bars: as crisp as the modules at any size, a third of the length of one
/// rectangle per module, and without style attributes, which the page's policy forbids.
fn draw(code: &QrCode) -> String {
    let modules = code.width();
    let side = modules + 2 * QUIET_ZONE;
    let pixels = side * MODULE_PX;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"{pixels}\" \
         height=\"{pixels}\" shape-rendering=\"crispEdges\" aria-hidden=\"true\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\""
    );
    for (y, row) in code.to_colors().chunks(modules).enumerate() {
        let mut x = 0;
        for bar in row.chunk_by(|left, right| left == right) {
            if bar[0] == Color::Dark {
                let (left, top, width) = (x + QUIET_ZONE, y + QUIET_ZONE, bar.len());
                // Writing to a String cannot fail.
                let _ = write!(svg, "M{left} {top}h{width}v1h-{width}z");
            }
            x += bar.len();
        }
    }
    svg.push_str("\"/></svg>");
    svg
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::page::tests::signed_order;
    use proto::link::{WebAddress, parse_payment_link, payment_link};

    /// Reads the dark bars of the drawing back into modules.
    fn modules(svg: &str, side: usize) -> Vec<bool> {
        let bars = svg.split("fill=\"#000\" d=\"M").nth(1).unwrap().split('"').next().unwrap();
        let mut dark = vec![false; side * side];
        for bar in bars.split('M') {
            let (at, rest) = bar.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let width: usize = rest.split_once("v1h-").unwrap().0.parse().unwrap();
            assert_eq!(rest, format!("{width}v1h-{width}z"));
            dark[y * side + x..y * side + x + width].fill(true);
        }
        dark
    }

    #[test]
    fn the_drawing_is_the_code_with_four_light_modules_around_it() {
        let code = QrCode::with_error_correction_level(b"https://app.bankside.example/pay", EcLevel::M).unwrap();
        let side = code.width() + 8;
        let dark = modules(&draw(&code), side);
        for y in 0..side {
            for x in 0..side {
                let inside = (4..side - 4).contains(&x) && (4..side - 4).contains(&y);
                let expected = inside && code[(x - 4, y - 4)] == Color::Dark;
                assert_eq!(dark[y * side + x], expected, "{x} {y}");
            }
        }
    }

    #[test]
    fn an_order_is_drawn_from_its_link_crisp_and_without_inline_style() {
        let app_link: WebAddress = "https://app.bankside.example/pay".parse().unwrap();
        let order = signed_order();
        let link = payment_link(&app_link, &order.signed.to_pb());
        assert_eq!(parse_payment_link(&link).unwrap(), order);
        let svg = svg(&link).unwrap();
        assert_eq!(svg, draw(&QrCode::with_error_correction_level(link.as_bytes(), EcLevel::M).unwrap()));
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 "), "{svg}");
        assert!(svg.ends_with("/></svg>") && svg.contains("crispEdges") && !svg.contains("style"), "{svg}");
    }

    #[test]
    fn the_longest_order_still_fits_a_code_that_a_phone_reads() {
        // 700 bytes in base 32, the capitals and digits of which take 5.5 bits each.
        let link = format!("https://app.bankside.example/pay#o={}", "A".repeat(1120));
        let code = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::M).unwrap();
        assert!(code.width() <= 125, "{} modules", code.width());
    }
}
