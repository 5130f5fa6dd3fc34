//! What can be wrong with an operator's statements, found before any stream needs them.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, OptionalExtension, Statement as Prepared};
use thiserror::Error as ThisError;

use super::Statements;
use super::statement::{Role, Statement, cannot_run, is_of_the_statement};
use crate::store::check::CheckError;
use crate::store::error::{StoreError, reason};

/// What is wrong with a statement; the text is a line of `nginx -t`.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
#[error("\"{directive}\" directive {reason} in {place}")]
pub struct StatementError {
    directive: &'static str,
    /// SQLite's words are in quotation marks.
    reason: String,
    place: String,
    /// Tables or columns are missing: the file may still get them.
    pub(in crate::store) lacks_schema: bool,
}

impl StatementError {
    fn new(statement: &Statement, reason: String) -> Self {
        let (directive, place) = (statement.role.directive(), statement.place.clone());
        Self { directive, reason, place, lacks_schema: false }
    }

    /// The same as a fault of the database that it was found in.
    pub(in crate::store) fn at(self, path: &Path) -> StoreError {
        let Self { directive, reason, .. } = self;
        StoreError::Statement { path: path.to_owned(), directive, reason }
    }
}

/// What works, but not as well as it could; the text is a line of `nginx -t`.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
pub enum Advice {
    #[error(
        "\"{directive}\" directive names the stream by its key alone, which is not known any more once \
         its worker died or the key was changed, expected :username too in {place}"
    )]
    StopByKey { directive: &'static str, place: String },
    #[error(
        "\"{directive}\" directive reads the whole table \"{table}\" for each key, expected an index \
         to search in {place}"
    )]
    NoIndex { directive: &'static str, place: String, table: String },
    #[error(
        "\"{directive}\" directive has a name in double quotes that is taken for a text, because it is \
         no column: SQLite says \"{reason}\" in {place}"
    )]
    QuotedText { directive: &'static str, place: String, reason: String },
}

impl Statements {
    /// Whether every statement can run on this database, the one under the path, and is what its
    /// directive is for.
    pub(in crate::store) fn check(&self, db: &Connection, path: &Path) -> Result<(), CheckError> {
        self.all().try_for_each(|statement| statement.check(db, path))
    }

    /// What to tell the operator of statements that passed.
    pub(in crate::store) fn advice(&self, db: &Connection) -> Vec<Advice> {
        let stop = self.on_stop.iter().filter(|stop| stop.needs_key(db).unwrap_or(false));
        let by_key = stop.map(|stop| Advice::StopByKey {
            directive: stop.role.directive(),
            place: stop.place.clone(),
        });
        let table = self.query.table_read_whole(db).ok().flatten();
        let no_index = table.map(|table| Advice::NoIndex {
            directive: self.query.role.directive(),
            place: self.query.place.clone(),
            table,
        });
        let advice: Vec<_> = by_key.chain(no_index).collect();
        advice.into_iter().chain(self.quoted_texts(db).unwrap_or_default()).collect()
    }

    /// Where a misspelt column in double quotes is a text to SQLite, which equals no other value, or
    /// a key that is spelt like it (<https://www.sqlite.org/quirks.html>, section 8). Views and
    /// triggers of the application may mean it.
    fn quoted_texts(&self, db: &Connection) -> rusqlite::Result<Vec<Advice>> {
        let quirk = DbConfig::SQLITE_DBCONFIG_DQS_DML;
        db.set_db_config(quirk, false)?;
        let texts = self.all().filter_map(|statement| {
            let reason = reason(&db.prepare(&statement.sql).err()?);
            let (directive, place) = (statement.role.directive(), statement.place.clone());
            Some(Advice::QuotedText { directive, place, reason })
        });
        let texts = texts.collect();
        db.set_db_config(quirk, true)?;
        Ok(texts)
    }
}

impl Statement {
    /// The line of `nginx -t` for a statement without the query that it goes with.
    pub fn lacks_query(&self) -> String {
        let (directive, place) = (self.role.directive(), &self.place);
        format!("\"{directive}\" directive needs \"stagedoor_query\" beside it in {place}")
    }

    fn check(&self, db: &Connection, path: &Path) -> Result<(), CheckError> {
        let wrong = |reason: String| StatementError::new(self, reason);
        let prepared = match db.prepare(&self.sql) {
            Err(error) if is_of_the_statement(&error) => {
                let lacks_schema = reason(&error).starts_with("no such");
                return Err(StatementError { lacks_schema, ..wrong(cannot_run(&error)) }.into());
            }
            Err(Error::MultipleStatement) => {
                let reason = format!("holds more than one statement, expected {}", self.kind());
                return Err(wrong(reason).into());
            }
            Err(error) => return Err(StoreError::from_sqlite(path, &error).into()),
            Ok(prepared) => prepared,
        };
        if prepared.expanded_sql().is_none() {
            return Err(wrong(format!("is empty, expected {}", self.kind())).into());
        }
        self.check_prepared(&prepared).map_err(|reason| wrong(reason).into())
    }

    fn check_prepared(&self, prepared: &Prepared<'_>) -> Result<(), String> {
        let parameters = (1..=prepared.parameter_count()).map(|at| prepared.parameter_name(at));
        let parameters: Vec<Option<&str>> = parameters.collect();
        self.check_parameters(&parameters)?;
        match self.role {
            Role::Query => {
                if !prepared.readonly() {
                    return Err("writes to the database, expected a SELECT".to_owned());
                }
                let columns: Vec<&str> = prepared.column_names().collect();
                if !columns.iter().any(|name| name.eq_ignore_ascii_case(USERNAME)) {
                    return Err(format!(
                        "returns no column \"{USERNAME}\" but {}, expected \"{USERNAME}\" and, where \
                         streamers can be inactive, \"{IS_ACTIVE}\"",
                        list(&columns)
                    ));
                }
                let names_key = |name: &Option<&str>| matches!(name, Some(":key" | ":key_sha256"));
                if !parameters.iter().any(names_key) {
                    return Err(
                        "does not look at the key, expected :key or :key_sha256 in it".to_owned()
                    );
                }
            }
            Role::Start | Role::Stop | Role::Boot => {
                if prepared.readonly() || !begins_like_a_write(&self.sql) {
                    return Err(format!("changes no row, expected {}", self.kind()));
                }
            }
        }
        Ok(())
    }

    fn check_parameters(&self, parameters: &[Option<&str>]) -> Result<(), String> {
        let known = self.role.parameters();
        let expected = || known.join(", ");
        for name in parameters {
            match name {
                Some(name) if known.contains(name) => (),
                Some(name) => {
                    return Err(format!("has the parameter \"{name}\", expected {}", expected()));
                }
                None => {
                    return Err(format!("has a parameter without a name, expected {}", expected()));
                }
            }
        }
        Ok(())
    }

    fn kind(&self) -> &'static str {
        match self.role {
            Role::Query => "one SELECT",
            Role::Start | Role::Stop | Role::Boot => "one INSERT, UPDATE or DELETE",
        }
    }

    /// The first table that is read from end to end where an index could help: SQLite opens it, or an
    /// index of it, for reading, and starts at its first entry
    /// (<https://www.sqlite.org/opcode.html>).
    fn table_read_whole(&self, db: &Connection) -> rusqlite::Result<Option<String>> {
        let mut program = db.prepare(&format!("EXPLAIN {}", self.sql))?;
        let mut steps = program.raw_query(); // whatever the parameters are
        let mut open = HashMap::new();
        while let Some(step) = steps.next()? {
            let (opcode, cursor): (String, i64) = (step.get("opcode")?, step.get("p1")?);
            match opcode.as_str() {
                "OpenRead" => {
                    open.insert(cursor, step.get::<_, i64>("p2")?);
                }
                "Rewind" => {
                    if let Some(page) = open.get(&cursor) {
                        return table_at(db, *page);
                    }
                }
                _ => (),
            }
        }
        Ok(None)
    }
}

/// The table whose rows, or an index of which, begin at a page.
fn table_at(db: &Connection, page: i64) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT tbl_name FROM sqlite_schema WHERE rootpage = ?1", [page], |row| row.get(0))
        .optional()
}

/// The columns that the query returns.
pub(super) const USERNAME: &str = "username";
pub(super) const IS_ACTIVE: &str = "is_active";

fn list(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
    }
}

/// Rows only, and no schema: what else writes (CREATE, PRAGMA, VACUUM, ATTACH …) has no place in
/// the transactions that these statements run in.
fn begins_like_a_write(sql: &str) -> bool {
    let word: String = skip_comments(sql).chars().take_while(char::is_ascii_alphabetic).collect();
    ["INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"].iter().any(|it| word.eq_ignore_ascii_case(it))
}

fn skip_comments(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start();
        let rest = match sql.get(..2) {
            Some("--") => sql.split_once('\n'),
            Some("/*") => sql.split_once("*/"),
            _ => return sql,
        };
        match rest {
            Some((_, rest)) => sql = rest,
            None => return "",
        }
    }
}
