//! The manual page stagedoor(1), from the definition of the command line.

use std::io;

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Args;

/// The page, in roff.
pub(crate) fn page() -> io::Result<String> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let man = Man::new(command.clone()).manual("Stagedoor");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(usage("stagedoor", own(&command)) + " COMMAND")]);
    roff.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;

    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for command in command.get_subcommands() {
        section(&mut roff, command);
    }
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    roff.control("SH", ["EXAMPLES"]);
    paragraphs(&mut roff, notes.trim_start_matches("Examples:\n"));
    roff.to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// One command: what it does, and its own arguments.
fn section(roff: &mut Roff, command: &Command) {
    let own: Vec<_> = own(command).filter(|arg| !arg.is_global_set()).collect();
    let usage = usage(&format!("stagedoor {}", command.get_name()), own.iter().copied());
    roff.control("SS", [usage.as_str()]);
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        paragraphs(roff, &about.to_string());
    }
    for arg in own {
        let Some(help) = arg.get_help() else { continue };
        let name = match arg.get_short() {
            Some(short) => format!("-{short}, {}", name(arg)),
            None => name(arg),
        };
        roff.control("TP", []).text([bold(name)]).text([roman(help.to_string())]);
    }
}

/// The arguments that are not clap's.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    let clap = |arg: &Arg| ["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(move |arg| !clap(arg))
}

fn usage<'a>(command: &str, arguments: impl Iterator<Item = &'a Arg>) -> String {
    let argument = |arg: &Arg| match arg.is_required_set() {
        true => format!(" {}", name(arg)),
        false => format!(" [{}]", name(arg)),
    };
    arguments.fold(command.to_owned(), |usage, arg| usage + &argument(arg))
}

/// An argument as it is written on the command line.
fn name(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(<[_]>::first);
    match (arg.get_long(), value) {
        (Some(long), Some(value)) if arg.get_action().takes_values() => format!("--{long} {value}"),
        (Some(long), _) => format!("--{long}"),
        (None, value) => value.map(ToString::to_string).unwrap_or_default(),
    }
}

/// Text whose indented lines are examples, and stay as they are.
fn paragraphs(roff: &mut Roff, text: &str) {
    for paragraph in text.split("\n\n") {
        roff.control("PP", []);
        for line in paragraph.lines() {
            match line.strip_prefix("  ") {
                Some(example) => {
                    roff.control("nf", []).text([roman(format!("    {example}"))]);
                    roff.control("fi", []);
                }
                None => {
                    roff.text([roman(line)]);
                }
            }
        }
    }
}
