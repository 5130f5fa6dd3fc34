//! Completions for shells, from the definition of the command line.

use clap::CommandFactory;
use clap_complete::aot;

use crate::args::{Args, Shell};

pub(crate) fn of(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut Args::command(), "stagedoor", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
