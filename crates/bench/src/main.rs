//! `bench [--quick] [WORK …]`: measures, and writes docs/benchmarks.md.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use stagedoor_bench::bench::{Bench, Result};
use stagedoor_bench::work::{self, Work};
use stagedoor_bench::{beyond, machine, report};

fn main() -> ExitCode {
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    let quick = wanted.iter().any(|argument| argument == "--quick");
    wanted.retain(|argument| argument != "--quick");
    let names: Vec<&str> = work::ALL.iter().map(|work| work.name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        eprintln!("bench: no work \"{unknown}\"; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let is_wanted = |work: &&Work| wanted.is_empty() || wanted.iter().any(|name| name == work.name);
    match run(quick, work::ALL.iter().filter(is_wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run<'a>(quick: bool, works: impl Iterator<Item = &'a Work>) -> Result<()> {
    let bench = Bench::new(quick)?;
    for work in works {
        let begin = Instant::now();
        let outcome = (work.run)(&bench).map_err(|error| format!("{}: {error}", work.name))?;
        report::write(&bench, work, &outcome)?;
        println!("{} ({:.0} s)", work.name, begin.elapsed().as_secs_f64());
        for figure in &outcome.figures {
            println!("  {:<40} {:<24} {}", figure.row, figure.name, figure.show());
        }
        if !quick {
            for goal in &outcome.goals {
                let met = if goal.is_met { "met" } else { "NOT MET" };
                println!("  {met}: {}: {}", goal.wanted, goal.reached);
            }
        }
    }
    report::insert(&bench, "machine", &machine::table(&bench)?)?;
    if let Some(table) = beyond::table(&bench)? {
        report::insert(&bench, "beyond", &table)?;
    }
    Ok(())
}
