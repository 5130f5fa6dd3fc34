//! The `stagedoor` command: streamers, their stream keys and their sessions.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

mod args;
mod command;
mod completions;
mod json;
mod manual;
mod output;
mod refusal;
mod screen;

fn main() -> ExitCode {
    let screen = screen::Screen::of_stdout();
    let done = match args::Args::try_parse() {
        Ok(args) => command::run(&args, screen),
        Err(wrong) if wrong.use_stderr() => wrong.exit(), // with status 2
        Err(help) => command::help(&help, screen),
    };
    let Err(refusal) = done else { return ExitCode::SUCCESS };
    let mut stderr = io::stderr().lock();
    // The status says it where nobody reads this.
    let _ = writeln!(stderr, "stagedoor: {refusal}");
    for detail in refusal.details() {
        let _ = writeln!(stderr, "  {detail}");
    }
    ExitCode::FAILURE
}
