//! The languages of the pages.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Traditional Chinese; where nothing else is asked for.
    ZhTw,
    /// English.
    En,
}

impl Language {
    /// The language that the browser likes best of those that the pages speak; of equals the first. It says so in
    /// `Accept-Language` (RFC 9110, section 12.5.4).
    #[must_use]
    pub fn preferred(headers: &HeaderMap) -> Self {
        Self::of_header(headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
    }

    /// The language as HTML names it (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::ZhTw => "zh-TW",
            Self::En => "en",
        }
    }

    fn of_header(header: Option<&str>) -> Self {
        let mut best = (0, Self::ZhTw);
        for range in header.unwrap_or_default().split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let language = match primary.as_str() {
                "zh" | "*" => Self::ZhTw,
                "en" => Self::En,
                _ => continue,
            };
            let quality = quality(parameters);
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }
}

/// One sentence in every language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// In Traditional Chinese.
    pub zh_tw: &'static str,
    /// In English.
    pub en: &'static str,
}

impl Words {
    /// The sentence in one language.
    #[must_use]
    pub const fn of(self, language: Language) -> &'static str {
        match language {
            Language::ZhTw => self.zh_tw,
            Language::En => self.en,
        }
    }
}

/// A quality value in thousandths: `q=0.7` is 700, none is 1000, and what is malformed counts for nothing.
fn quality(parameters: &str) -> u32 {
    let Some(value) = parameters.trim().strip_prefix("q=") else {
        return if parameters.trim().is_empty() { 1000 } else { 0 };
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 {
        return 0;
    }
    match (whole, format!("{fraction:0<3}").parse::<u32>()) {
        ("0", Ok(thousandths)) => thousandths,
        ("1", Ok(0)) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_gets_the_language_that_it_likes_best() {
        for (header, language) in [
            (None, Language::ZhTw),
            (Some(""), Language::ZhTw),
            (Some("fr"), Language::ZhTw),
            (Some("*"), Language::ZhTw),
            (Some("en"), Language::En),
            (Some("EN-us,zh;q=0.5"), Language::En),
            (Some("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7"), Language::ZhTw),
            (Some("zh;q=0.3, en;q=0.30"), Language::ZhTw),
            (Some("zh;q=0.3, en;q=0.301"), Language::En),
            (Some("de, en;q=0.1"), Language::En),
            (Some("en;q=0"), Language::ZhTw),
            (Some("en;q=x, zh;q=0.1"), Language::ZhTw),
            (Some("en;q=1.5"), Language::ZhTw),
            (Some(";;;,,,q=1"), Language::ZhTw),
        ] {
            assert_eq!(Language::of_header(header), language, "{header:?}");
        }
    }
}
