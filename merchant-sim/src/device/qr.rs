//! Reading the QR code of a page as a camera would: the SVG is drawn, and the picture is decoded.

use anyhow::{Context as _, Result, ensure};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The largest SVG that is drawn, in bytes. One path for each dark module of the largest code fits.
const SVG_BYTES_MAX: usize = 512 * 1024;

/// How many pixels a picture should have at least on its longer side. The largest code has 177 modules
/// and 4 of margin on each side, and a module needs a few pixels to be read.
const PICTURE_PIXELS_MIN: f32 = 900.0;

/// The largest picture, on each side: enough for every code, and small enough to hold.
const PICTURE_PIXELS_MAX: f32 = 4_000.0;

/// How often a picture is looked at, each time a little larger. What is read from a picture depends on where its
/// modules fall, as it does for a phone, whose camera looks many times a second.
const LOOKS: u8 = 4;

/// How many pictures of a page are looked at.
const PICTURES_MAX: usize = 16;

/// A QR code that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its text.
    pub text: String,
    /// Its version, 1 to 40, which stands for its size.
    pub version: usize,
}

/// Reads every QR code that stands in a page as an inline SVG. Other pictures hold none and are passed over.
///
/// # Errors
/// A picture that can't be drawn, or a QR code that is there and can't be read.
pub fn codes_in_page(html: &str) -> Result<Vec<Code>> {
    let mut codes = Vec::new();
    for svg in pictures(html).take(PICTURES_MAX) {
        codes.extend(look(svg)?);
    }
    Ok(codes)
}

/// The inline SVGs of a page.
fn pictures(html: &str) -> impl Iterator<Item = &str> {
    html.match_indices("<svg").filter_map(|(start, _)| {
        let rest = &html[start..];
        rest.find("</svg>").map(|end| &rest[..end + "</svg>".len()])
    })
}

/// Looks at a picture until its code is read. It may hold none.
fn look(svg: &str) -> Result<Option<Code>> {
    let mut unread = None;
    for larger in 0..LOOKS {
        match read(&draw(svg, larger)?) {
            Ok(code) => return Ok(code),
            Err(error) => unread = Some(error),
        }
    }
    unread.map_or(Ok(None), Err)
}

/// Draws an SVG on white, as large as it takes to be read, or so many factors larger.
fn draw(svg: &str, larger: u8) -> Result<Pixmap> {
    ensure!(svg.len() <= SVG_BYTES_MAX, "a picture has {} bytes", svg.len());
    let tree = Tree::from_str(&standalone(svg), &Options::default()).context("a picture of the page is no SVG")?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let longer = width.max(height);
    // A whole factor keeps the edges of the modules on the edges of pixels.
    let scale = (PICTURE_PIXELS_MIN / longer).ceil().max(1.0) + f32::from(larger);
    let scale = scale.min(PICTURE_PIXELS_MAX / longer);
    let pixels = |length: f32| (length * scale).ceil() as u32;
    let mut picture = Pixmap::new(pixels(width), pixels(height)).context("a picture of the page has no size")?;
    picture.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    Ok(picture)
}

/// Inside HTML an `<svg>` needs no namespace, alone it does.
fn standalone(svg: &str) -> String {
    let opening = &svg[..svg.find('>').unwrap_or(svg.len())];
    if opening.contains("xmlns=") {
        return svg.to_owned();
    }
    svg.replacen("<svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"", 1)
}

/// Reads the QR code that the picture shows, if it shows one. Among its modules some may look like a second one.
fn read(picture: &Pixmap) -> Result<Option<Code>> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = picture.pixels();
    let brightness = |x: usize, y: usize| {
        let pixel = pixels[y * width + x];
        // ITU-R BT.601, in whole numbers.
        let sum = 299 * u32::from(pixel.red()) + 587 * u32::from(pixel.green()) + 114 * u32::from(pixel.blue());
        u8::try_from(sum / 1_000).unwrap_or(u8::MAX)
    };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, brightness);
    let grids = image.detect_grids();
    let mut unread = None;
    for grid in &grids {
        match grid.decode() {
            Ok((meta, text)) => return Ok(Some(Code { text, version: meta.version.0 })),
            Err(error) => unread = Some(error),
        }
    }
    unread.map_or(Ok(None), |error| Err(error).context("a QR code of the page can't be read"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use qrcode::render::svg;
    use qrcode::{EcLevel, QrCode};

    use super::*;

    fn svg_of(text: &str) -> String {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        code.render::<svg::Color<'_>>().min_dimensions(300, 300).build()
    }

    fn page(svgs: &[&str]) -> String {
        format!("<!doctype html><html><body><h1>Pay</h1>{}<p>Scan it.</p></body></html>", svgs.join("<p>or</p>"))
    }

    /// As long as the longest payment link.
    fn long_text() -> String {
        format!("https://pay.example/app#o={}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".repeat(35))
    }

    #[test]
    fn a_code_in_a_page_is_read() {
        for text in ["https://pay.example/#o=AAAA".to_owned(), long_text()] {
            let codes = codes_in_page(&page(&[&svg_of(&text)])).unwrap();
            assert_eq!(codes.len(), 1);
            assert_eq!(codes[0].text, text);
        }
    }

    #[test]
    fn html_needs_no_namespace_and_no_xml_declaration() {
        let svg = svg_of("https://pay.example/#o=AAAA");
        let svg = svg[svg.find("<svg").unwrap()..].replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!svg.contains("xmlns"));
        assert_eq!(codes_in_page(&page(&[&svg])).unwrap().len(), 1);
    }

    #[test]
    fn another_picture_is_passed_over() {
        let logo = "<svg viewBox=\"0 0 10 10\" width=\"10\" height=\"10\"><circle cx=\"5\" cy=\"5\" r=\"4\"/></svg>";
        let codes = codes_in_page(&page(&[logo, &svg_of("https://pay.example/#o=AAAA")])).unwrap();
        assert_eq!(codes.len(), 1);
        assert_eq!(codes_in_page(&page(&[logo])).unwrap(), []);
        assert_eq!(codes_in_page("").unwrap(), []);
    }

    #[test]
    fn a_picture_that_is_none_is_an_error() {
        assert!(codes_in_page(&page(&["<svg><nonsense</svg>"])).is_err());
        let huge = format!("<svg>{}</svg>", " ".repeat(SVG_BYTES_MAX));
        assert!(codes_in_page(&page(&[&huge])).is_err());
    }

    #[test]
    fn a_damaged_code_does_not_yield_a_wrong_text() {
        // A broad bar over the middle destroys more than level M repairs.
        let svg = svg_of(&long_text());
        let bar = "<rect x=\"60\" y=\"0\" width=\"90\" height=\"100%\" fill=\"#000\"/></svg>";
        let damaged = svg.replace("</svg>", bar);
        match codes_in_page(&page(&[&damaged])) {
            Ok(codes) => assert_eq!(codes, []),
            Err(error) => assert!(error.to_string().contains("can't be read"), "{error}"),
        }
    }
}
