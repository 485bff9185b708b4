//! The levels as a picture: in letters, and as SVG.

use std::fmt::Write as _;

use super::outcome::as_float;
use super::report::{Level, Report};

/// The longest bar.
const WIDTH: f64 = 50.0;

/// Bars of what was done, and how much memory each server had in the course of all rounds.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let done = |level: &Level| level.outcome.goodput();
    let middles = report.middles();
    let peak = middles.iter().map(|level| done(level)).fold(report.carried(), f64::max);
    let mut lines: Vec<String> = middles
        .iter()
        .map(|level| {
            format!("{:>5} done {} {:.0}/s", format!("{}x", level.times), bar(done(level) / peak), done(level))
        })
        .collect();
    for server in &report.loaded {
        let memory = report.memory_mib(server);
        let (low, high) = (memory.iter().copied().fold(f64::MAX, f64::min), memory.iter().copied().fold(0.0, f64::max));
        lines.push(format!("memory of {server} over all rounds, {low:.0} to {high:.0} MiB: {}", line(&memory, high)));
    }
    lines
}

fn bar(share: f64) -> String {
    // Between 0 and the width.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let length = (share.clamp(0.0, 1.0) * WIDTH).round() as usize;
    "#".repeat(length)
}

/// One letter for each of at most as many parts as fit, each showing its highest value.
fn line(values: &[f64], top: f64) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let part = values.len().div_ceil(60).max(1);
    let highest = values.chunks(part).map(|part| part.iter().copied().fold(0.0, f64::max));
    highest
        .map(|value| {
            // Between 0 and 7.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let step = (value / top.max(f64::MIN_POSITIVE) * 7.0).round() as usize;
            STEPS[step.min(7)]
        })
        .collect()
}

const PANEL_WIDTH: f64 = 420.0;
const PANEL_HEIGHT: f64 = 200.0;
const MARGIN: f64 = 60.0;

/// A row for each path: what was done and refused by level, and memory over time.
pub(super) fn svg(reports: &[Report]) -> String {
    let (width, row) = (2.0 * PANEL_WIDTH + 3.0 * MARGIN, PANEL_HEIGHT + 2.0 * MARGIN);
    let height = row * as_float(reports.len() as u64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, report) in (0u64..).zip(reports) {
        let top = row * as_float(number) + MARGIN;
        let unit = report.path.unit();
        let middles = report.middles();
        let by_level = |value: &dyn Fn(&Level) -> f64| middles.iter().map(|level| value(level)).collect::<Vec<f64>>();
        let series = [
            ("done", "#1b7837", by_level(&|level| level.outcome.goodput())),
            ("refused", "#b35806", by_level(&|level| as_float(level.outcome.refused) / level.outcome.seconds)),
        ];
        let levels: Vec<String> = middles.iter().map(|level| format!("{}x", level.times)).collect();
        panel(&mut text, MARGIN, top, &format!("{unit} a second at {}", levels.join(", ")), &series);
        let colours = ["#2166ac", "#762a83"];
        let memories = report
            .loaded
            .iter()
            .zip(colours)
            .map(|(server, colour)| (server.as_str(), colour, report.memory_mib(server)));
        let memories: Vec<(&str, &str, Vec<f64>)> = memories.collect();
        panel(&mut text, PANEL_WIDTH + 2.0 * MARGIN, top, "memory in MiB over all rounds", &memories);
    }
    text + "</svg>\n"
}

fn panel(text: &mut String, left: f64, top: f64, title: &str, series: &[(&str, &str, Vec<f64>)]) {
    let highest = series.iter().flat_map(|(_, _, values)| values).copied().fold(1.0, f64::max);
    let bottom = top + PANEL_HEIGHT;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n\
         <path d=\"M{left} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{highest:.0}</text>\n\
         <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
        top - 12.0,
        left + PANEL_WIDTH,
        left - 6.0,
        top + 10.0,
        left - 6.0,
    );
    for (number, (name, colour, values)) in (0u64..).zip(series) {
        let step = PANEL_WIDTH / as_float((values.len() as u64).saturating_sub(1).max(1));
        let points = (0u64..).zip(values).map(|(at, value)| {
            format!("{:.1},{:.1}", left + step * as_float(at), bottom - PANEL_HEIGHT * value / highest)
        });
        let points: Vec<String> = points.collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            left + 8.0 + 140.0 * as_float(number),
            bottom + 18.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sound;
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_was_done() {
        let lines = lines(&sound());
        assert_eq!(lines[0].matches('#').count(), 50);
        assert_eq!(lines[3].matches('#').count(), 45);
        assert!(lines[4].contains("50 to 60 MiB: ▇█▇█▇█▇█"), "{}", lines[4]);
    }

    #[test]
    fn the_picture_is_well_formed() {
        let text = svg(&[sound(), sound()]);
        assert_eq!(text.matches("<polyline").count(), 6);
        assert!(resvg::usvg::Tree::from_str(&text, &resvg::usvg::Options::default()).is_ok());
    }
}
