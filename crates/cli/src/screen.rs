//! Where the output goes: tables and colours for a terminal, tabs for a pipe.

use std::env;
use std::io::{self, IsTerminal};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) is_terminal: bool,
    pub(crate) colours: bool,
}

/// What a cell's text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Faint,
    Strong,
}

#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: &str, tone: Tone) -> Self {
        Self { text: printable(text), tone }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Clients choose some of what is listed: none of it may steer a terminal or forge a line.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            printable.extend(letter.escape_default());
        } else {
            printable.push(letter);
        }
    }
    printable
}

impl Screen {
    /// Colours follow <https://no-color.org>.
    pub(crate) fn of_stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { is_terminal, colours: is_terminal && !no_color && !dumb }
    }

    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Plain => return text.to_owned(),
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Rows under a header, in columns; into a pipe without the header, separated by tabs.
    pub(crate) fn table<const N: usize>(self, header: [&str; N], rows: &[[Cell; N]]) -> String {
        let mut out = String::new();
        if !self.is_terminal {
            for row in rows {
                out.push_str(&row.each_ref().map(|cell| cell.text.as_str()).join("\t"));
                out.push('\n');
            }
            return out;
        }
        let header = header.map(|title| Cell::new(title, Tone::Strong));
        let mut widths = [0; N];
        for row in [&header].into_iter().chain(rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.chars().count().max(*width);
            }
        }
        for row in [&header].into_iter().chain(rows) {
            for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
                out.push_str(&self.paint(&cell.text, cell.tone));
                if at + 1 < N {
                    let gap = width + 2 - cell.text.chars().count();
                    out.extend(std::iter::repeat_n(' ', gap));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> [[Cell; 2]; 2] {
        [["benw".into(), "live".into()], [Cell::new("z", Tone::Bad), "a\tb\x1b[2J\n".into()]]
    }

    #[test]
    fn a_terminal_gets_columns_under_a_header() {
        let screen = Screen { is_terminal: true, colours: false };
        let lines = "NAME  STATE\nbenw  live\nz     a\\tb\\u{1b}[2J\\n\n";
        assert_eq!(screen.table(["NAME", "STATE"], &cells()), lines);
    }

    #[test]
    fn colours_do_not_shift_columns() {
        let screen = Screen { is_terminal: true, colours: true };
        let table = screen.table(["NAME", "STATE"], &cells());
        assert!(table.contains("\x1b[31mz\x1b[0m     a"), "{table:?}");
    }

    #[test]
    fn a_pipe_gets_tabs_and_nothing_else() {
        let screen = Screen { is_terminal: false, colours: false };
        let lines = "benw\tlive\nz\ta\\tb\\u{1b}[2J\\n\n";
        assert_eq!(screen.table(["NAME", "STATE"], &cells()), lines);
    }
}
