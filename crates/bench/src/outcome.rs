//! What a work found.

use std::fmt;

use crate::statistics::{median, quantile, ratio, sorted, spread};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    PerSecond,
    Count,
    /// Of one CPU.
    Percent,
}

impl Unit {
    /// As the CSV has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::PerSecond => "1/s",
            Self::Count => "",
            Self::Percent => "%",
        }
    }

    /// A value and its spread in the unit's handiest multiple.
    pub fn show(self, value: f64, spread: Option<f64>) -> String {
        let (scale, name) = match self {
            Self::Seconds if value < 1e-3 => (1e6, " µs"),
            Self::Seconds if value < 1.0 => (1e3, " ms"),
            Self::Seconds => (1.0, " s"),
            Self::Bytes if value.abs() >= 1e6 => (1e-6, " MB"),
            Self::Bytes if value.abs() >= 1e4 => (1e-3, " kB"),
            Self::Bytes => (1.0, " bytes"),
            Self::PerSecond => (1.0, "/s"),
            Self::Percent => (1.0, " %"),
            Self::Count => (1.0, ""),
        };
        let spread =
            spread.map_or_else(String::new, |spread| format!(" ± {}", Digits(spread * scale)));
        format!("{}{spread}{name}", Digits(value * scale))
    }
}

/// Three digits that matter, never an exponent.
#[derive(Clone, Copy, Debug)]
pub struct Digits(pub f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        let decimals = match size {
            _ if size == 0.0 || size >= 100.0 => 0,
            _ if size >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

/// One figure of one row, as each round found it.
#[derive(Clone, Debug)]
pub struct Figure {
    pub row: String,
    pub name: String,
    pub unit: Unit,
    pub rounds: Vec<f64>,
}

impl Figure {
    /// The median with its spread, where there were rounds enough for one.
    pub fn show(&self) -> String {
        let spread = (self.rounds.len() > 2).then(|| spread(&self.rounds));
        self.unit.show(median(&self.rounds), spread)
    }
}

/// What was to be reached, and whether it was.
#[derive(Clone, Debug)]
pub struct Goal {
    pub wanted: String,
    pub reached: String,
    pub is_met: bool,
}

/// The figures of a work, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub figures: Vec<Figure>,
    pub goals: Vec<Goal>,
}

impl Outcome {
    /// Adds a round's value.
    pub fn note(&mut self, row: &str, name: &str, unit: Unit, value: f64) {
        let is_same = |figure: &&mut Figure| figure.row == row && figure.name == name;
        match self.figures.iter_mut().find(is_same) {
            Some(figure) => figure.rounds.push(value),
            None => {
                let (row, name) = (row.to_owned(), name.to_owned());
                self.figures.push(Figure { row, name, unit, rounds: vec![value] });
            }
        }
    }

    /// Adds quantiles of a sample in seconds: names and shares.
    pub fn quantiles(&mut self, row: &str, shares: &[(&str, f64)], seconds: &[f64]) {
        let seconds = sorted(seconds);
        for &(name, share) in shares {
            self.note(row, name, Unit::Seconds, quantile(&seconds, share));
        }
    }

    /// All rounds of a figure; none of one that is not there.
    pub fn rounds(&self, row: &str, name: &str) -> &[f64] {
        let is_same = |figure: &&Figure| figure.row == row && figure.name == name;
        self.figures.iter().find(is_same).map_or(&[], |figure| &figure.rounds)
    }

    pub fn median(&self, row: &str, name: &str) -> f64 {
        median(self.rounds(row, name))
    }

    /// How many times as much as the base, round by round.
    pub fn ratio(&self, row: &str, base: &str, name: &str) -> f64 {
        ratio(self.rounds(row, name), self.rounds(base, name))
    }

    pub fn goal(&mut self, wanted: impl Into<String>, reached: impl Into<String>, is_met: bool) {
        self.goals.push(Goal { wanted: wanted.into(), reached: reached.into(), is_met });
    }

    /// The rows, or the names, each once, in order.
    pub fn distinct(&self, of: fn(&Figure) -> &str) -> Vec<&str> {
        let mut distinct = Vec::new();
        for text in self.figures.iter().map(of) {
            if !distinct.contains(&text) {
                distinct.push(text);
            }
        }
        distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_the_digits_that_matter() {
        assert_eq!(Unit::Seconds.show(0.000_123_4, Some(0.000_001)), "123 ± 1.00 µs");
        assert_eq!(Unit::Seconds.show(0.0421, None), "42.1 ms");
        assert_eq!(Unit::Bytes.show(2_839_640.0, None), "2.84 MB");
        assert_eq!(Unit::PerSecond.show(30_123.4, None), "30123/s");
        assert_eq!(Unit::Count.show(0.0, None), "0");
    }

    #[test]
    fn figures_keep_their_order_and_their_rounds() {
        let mut outcome = Outcome::default();
        for (row, value) in [("b", 1.0), ("a", 2.0), ("b", 3.0), ("a", 6.0)] {
            outcome.note(row, "p50", Unit::Seconds, value);
        }
        assert_eq!(outcome.distinct(|figure| &figure.row), ["b", "a"]);
        assert_eq!(outcome.rounds("b", "p50"), [1.0, 3.0]);
        assert_eq!(outcome.ratio("a", "b", "p50"), 2.0);
        assert!(outcome.rounds("c", "p50").is_empty());
    }
}
