//! The figures as CSV, chart and table; the tables stand in docs/benchmarks.md between two comments
//! each, and what is written around them stays.

use std::fmt::Write;
use std::fs;

use crate::bench::{Bench, Result};
use crate::chart;
use crate::outcome::{Figure, Outcome};
use crate::work::Work;

/// Writes all of a work.
pub fn write(bench: &Bench, work: &Work, outcome: &Outcome) -> Result<()> {
    let dir = bench.out().join("benchmarks");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(format!("{}.csv", work.name)), csv(outcome))?;
    let mut text = table(outcome);
    if let Some((name, title)) = work.chart {
        let svg = chart::bars(outcome, title, name);
        fs::write(dir.join(format!("{}.svg", work.name)), svg)?;
        write!(text, "\n![{title}](benchmarks/{}.svg)\n", work.name)?;
    }
    write!(
        text,
        "\n{}\nRaw figures: [{name}.csv](benchmarks/{name}.csv)\n",
        goals(outcome),
        name = work.name
    )?;
    insert(bench, work.name, &text)
}

/// Puts a text into the place of that name.
pub fn insert(bench: &Bench, place: &str, text: &str) -> Result<()> {
    let page = bench.out().join("benchmarks.md");
    if bench.quick && !page.exists() {
        fs::create_dir_all(bench.out())?;
        fs::copy(bench.root.join("docs/benchmarks.md"), &page)?;
    }
    let before = fs::read_to_string(&page)?;
    fs::write(
        &page,
        replaced(&before, place, text)
            .ok_or(format!("no place for {place} in {}", page.display()))?,
    )?;
    Ok(())
}

fn replaced(page: &str, place: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {place} -->\n"), format!("<!-- /{place} -->"));
    let from = page.find(&begin)? + begin.len();
    let to = from + page[from..].find(&end)?;
    Some(format!("{}\n{text}\n{}", &page[..from], &page[to..]))
}

fn csv(outcome: &Outcome) -> String {
    let mut text = "row,figure,unit,round,value\n".to_owned();
    for figure in &outcome.figures {
        for (round, value) in (1..).zip(&figure.rounds) {
            let (row, name, unit) = (&figure.row, &figure.name, figure.unit.name());
            let _ = writeln!(text, "\"{row}\",\"{name}\",{unit},{round},{value}"); // a String takes everything
        }
    }
    text
}

fn table(outcome: &Outcome) -> String {
    let names = outcome.distinct(|figure| &figure.name);
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for row in outcome.distinct(|figure| &figure.row) {
        let _ = write!(text, "| {row} |");
        for name in &names {
            let found =
                outcome.figures.iter().find(|figure| figure.row == row && figure.name == *name);
            let _ = write!(text, " {} |", found.map_or_else(String::new, Figure::show));
        }
        text.push('\n');
    }
    text
}

fn goals(outcome: &Outcome) -> String {
    let mut text = "| to reach | measured | |\n|---|---|---|\n".to_owned();
    for goal in &outcome.goals {
        let met = if goal.is_met { "met" } else { "**not met**" };
        let _ = writeln!(text, "| {} | {} | {met} |", goal.wanted, goal.reached);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Unit;

    #[test]
    fn what_stands_around_a_place_stays() {
        let page = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n<!-- y -->\n<!-- /y -->\n";
        let new = replaced(page, "x", "new").unwrap();
        assert_eq!(new, "before\n<!-- x -->\n\nnew\n<!-- /x -->\nafter\n<!-- y -->\n<!-- /y -->\n");
        assert_eq!(replaced(page, "z", "new"), None);
    }

    #[test]
    fn a_table_has_a_cell_for_each_figure_and_leaves_out_what_is_not_there() {
        let mut outcome = Outcome::default();
        outcome.note("a", "p50", Unit::Seconds, 0.5);
        outcome.note("b", "p99", Unit::Seconds, 2.0);
        assert_eq!(
            table(&outcome),
            "| | p50 | p99 |\n|---|---|---|\n| a | 500 ms |  |\n| b |  | 2.00 s |\n"
        );
        assert_eq!(
            csv(&outcome),
            "row,figure,unit,round,value\n\"a\",\"p50\",s,1,0.5\n\"b\",\"p99\",s,1,2\n"
        );
    }
}
