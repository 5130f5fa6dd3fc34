//! The `stagedoor` command as an operator and a script meet it.

#![allow(clippy::unwrap_used)] // a test program: its helpers fail as its tests do

mod command;
mod import;
mod output;
mod scene;
mod words;
