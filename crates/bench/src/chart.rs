//! A bar chart as SVG, legible on a light page and on a dark one.

use std::fmt::{self, Write};

use crate::outcome::Outcome;
use crate::statistics::{median, spread};

const BAR: f64 = 20.0;
const STEP: f64 = 32.0;
const TOP: f64 = 40.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 300.0;
const LENGTH: f64 = 400.0;
const WIDTH: f64 = 820.0;

/// One figure of each row. Bars grow with the logarithm where the values differ by more than a
/// factor of 20, and the title says so.
pub fn bars(outcome: &Outcome, title: &str, name: &str) -> String {
    let bars: Vec<_> = outcome.figures.iter().filter(|figure| figure.name == name).collect();
    let values: Vec<f64> = bars.iter().map(|figure| median(&figure.rounds)).collect();
    let highest = bars.iter().zip(&values).map(|(figure, value)| value + spread(&figure.rounds));
    let largest = highest.fold(f64::MIN_POSITIVE, f64::max);
    let smallest = values.iter().copied().filter(|&value| value > 0.0).fold(largest, f64::min);
    let is_log = largest / smallest > 20.0;
    let length = |value: f64| match is_log {
        true => {
            LENGTH * (value.max(smallest) / smallest * 2.0).log10()
                / (largest / smallest * 2.0).log10()
        }
        false => LENGTH * value.max(0.0) / largest,
    };
    let mut svg = String::new();
    let heading = if is_log { format!("{title} (logarithmic)") } else { title.to_owned() };
    let _ = head(&mut svg, TOP + STEP * bars.len() as f64, &heading); // a String takes everything
    for (index, (figure, &value)) in bars.iter().zip(&values).enumerate() {
        let top = TOP + STEP * index as f64;
        let middle = top + BAR / 2.0;
        let class = if figure.row.to_lowercase().contains("stagedoor") { "ours" } else { "theirs" };
        let off = spread(&figure.rounds);
        let (low, high) = (LEFT + length(value - off), LEFT + length(value + off));
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{:.0}\" y=\"{middle:.0}\">{}</text>\n\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{BAR}\"/>\n\
             <line x1=\"{low:.1}\" y1=\"{middle:.0}\" x2=\"{high:.1}\" y2=\"{middle:.0}\"/>\n\
             <text x=\"{:.1}\" y=\"{middle:.0}\">{}</text>",
            LEFT - 10.0,
            escaped(&figure.row),
            length(value),
            high.max(LEFT + length(value)) + 8.0,
            escaped(&figure.unit.show(value, None)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn head(svg: &mut String, height: f64, title: &str) -> fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">
<title>{title}</title>
<style>
text {{ font: 13px sans-serif; fill: #24292f; dominant-baseline: central }}
.name {{ text-anchor: end }} .title {{ font-weight: bold }}
.ours {{ fill: #1a7f64 }} .theirs {{ fill: #8c959f }} line {{ stroke: #24292f; stroke-width: 1.5 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }} .ours {{ fill: #3fb68b }} .theirs {{ fill: #768390 }} line {{ stroke: #e6edf3 }}
}}
</style>
<text class=\"title\" x=\"10\" y=\"16\">{title}</text>",
        title = escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Unit;

    #[test]
    fn the_longest_bar_fits_and_a_wide_range_is_logarithmic() {
        let mut outcome = Outcome::default();
        outcome.note("a & b", "p50", Unit::Seconds, 0.001);
        outcome.note("Stagedoor", "p50", Unit::Seconds, 0.002);
        let svg = bars(&outcome, "Time", "p50");
        assert!(
            svg.contains("a &amp; b")
                && svg.contains("class=\"ours\" x=\"300\" y=\"72\" width=\"400.0\"")
        );
        assert!(!svg.contains("logarithmic"));
        outcome.note("c", "p50", Unit::Seconds, 1.0);
        assert!(bars(&outcome, "Time", "p50").contains("(logarithmic)"));
    }
}
