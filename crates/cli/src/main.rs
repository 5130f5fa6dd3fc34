//! The `stagedoor` command: streamers, their stream keys and their sessions.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod command;
mod json;
mod screen;

fn main() -> ExitCode {
    let args = args::Args::parse(); // wrong usage ends here, with status 2
    match command::run(&args, screen::Screen::of_stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("stagedoor: {refusal}");
            ExitCode::FAILURE
        }
    }
}
