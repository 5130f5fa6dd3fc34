//! A database of the operator's own application, asked and told by the operator's own statements.
//!
//! Nothing of it is changed but by those statements: not its schema, not its journal mode, and its
//! log is its application's to empty. A key is asked in a statement of its own, and live streams are
//! some milliseconds' worth at a time: no read holds up the application's writers for longer.

mod ask;
mod check;
mod deadline;
mod statement;

pub(super) use ask::{look_up, recheck};
pub use check::{Advice, StatementError};
pub(super) use deadline::keep_deadlines;
pub(super) use statement::Values;
pub use statement::{Role, Statement};

/// What an operator's configuration says of the application's database.
#[derive(Clone, Debug)]
pub struct Statements {
    /// Answers a key.
    pub query: Statement,
    /// Runs when a stream starts.
    pub on_start: Option<Statement>,
    /// Runs when a stream has ended.
    pub on_stop: Option<Statement>,
    /// Runs once when nginx starts.
    pub on_boot: Option<Statement>,
}

impl Statements {
    fn all(&self) -> impl Iterator<Item = &Statement> {
        let events = [&self.on_start, &self.on_stop, &self.on_boot];
        std::iter::once(&self.query).chain(events.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests;
