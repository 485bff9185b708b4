//! What a person sees: plain lines on one stream, and while something takes time, a spinner or a bar on
//! standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: a person reads it.
    Output,
    /// Standard error, because a program reads standard output.
    Errors,
    /// Nowhere: nobody reads.
    Nowhere,
}

/// How a word looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Stands out.
    Strong,
    /// Steps back.
    Faint,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// The terminal, file or pipe that a command talks to.
#[derive(Debug)]
pub struct Console {
    stream: Stream,
    styled: bool,
    activity: ProgressBar,
}

impl Console {
    /// A console. It is coloured where the stream is a terminal and `NO_COLOR` (<https://no-color.org>)
    /// isn't set to anything.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        let terminal = match stream {
            Stream::Output => io::stdout().is_terminal(),
            Stream::Errors => io::stderr().is_terminal(),
            Stream::Nowhere => false,
        };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let target = match stream {
            Stream::Output | Stream::Errors => ProgressDrawTarget::stderr(),
            Stream::Nowhere => ProgressDrawTarget::hidden(),
        };
        let activity = ProgressBar::with_draw_target(None, target);
        Self { stream, styled: terminal && !plain, activity }
    }

    /// Writes one line. A reader that has gone away is no reason to fail.
    pub fn line(&self, text: impl Display) {
        self.activity.suspend(|| {
            let _ = match self.stream {
                Stream::Output => writeln!(io::stdout(), "{text}"),
                Stream::Errors => writeln!(io::stderr(), "{text}"),
                Stream::Nowhere => Ok(()),
            };
        });
    }

    /// Writes a heading with an empty line before it.
    pub fn heading(&self, text: &str) {
        self.line("");
        self.line(self.paint(Style::Strong, text));
        self.line(self.paint(Style::Faint, &"─".repeat(text.chars().count())));
    }

    /// A text in a style, where styles are shown.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if !self.styled {
            return text.to_owned();
        }
        let code = match style {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Bad => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Shows that something is going on, until the next call or [`Console::done`]. A terminal gets a
    /// spinner; anything else sees nothing of it.
    pub fn working(&self, what: impl Display) {
        self.activity.set_message(what.to_string());
        self.activity.enable_steady_tick(Duration::from_millis(100));
    }

    /// Takes the spinner away.
    pub fn done(&self) {
        self.activity.disable_steady_tick();
        self.activity.finish_and_clear();
        self.activity.reset();
    }

    /// A bar over `total` steps on standard error, or one without an end.
    #[must_use]
    pub fn bar(&self, total: Option<u64>, unit: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => format!("  [{{bar:40}}] {{pos}}/{{len}} {unit}, {{per_sec}}, {{msg}}"),
            None => format!("  {{spinner}} {{pos}} {unit}, {{per_sec}}, {{elapsed}}, {{msg}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar
    }
}

/// A text made as wide as a column, cut where it is wider.
#[must_use]
pub fn column(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return format!("{text}{}", " ".repeat(width - length));
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A time as a person reads it: three digits and a unit.
#[must_use]
pub fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        m if m < 1_000.0 => format!("{m:.0} µs"),
        m if m < 100_000.0 => format!("{:.1} ms", m / 1e3),
        m if m < 1_000_000.0 => format!("{:.0} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_one_width() {
        assert_eq!(column("abc", 5), "abc  ");
        assert_eq!(column("abcdef", 5), "abcd…");
        assert_eq!(column("→é", 4), "→é  ");
    }

    #[test]
    fn times_are_short() {
        let cases = [(250, "250 µs"), (3_210, "3.2 ms"), (321_000, "321 ms"), (2_500_000, "2.50 s")];
        for (micros, text) in cases {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
