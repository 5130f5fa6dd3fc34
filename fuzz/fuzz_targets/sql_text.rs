//! What `nginx -t` makes of an operator's statements. Input: a byte for the directive, and the
//! statement.
//!
//! Looking at a statement changes nothing, whatever it would do. One that passes is what its directive
//! is for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use stagedoor_core::store::foreign::{Role, Statement, Statements};
use stagedoor_core::store::fuzzing;

const QUERY: &str = "SELECT username FROM streams WHERE key = :key";
const SCHEMA: &str = "
    CREATE TABLE streams (id INTEGER PRIMARY KEY, key TEXT UNIQUE, username TEXT, is_active INTEGER);
    INSERT INTO streams VALUES (1, 'benws', 'benw', 1);";
const STATE: &str =
    "SELECT (SELECT group_concat(type || name || tbl_name || sql) FROM sqlite_schema)
    || (SELECT group_concat(id || key || username || is_active) FROM streams)";

fuzz_target!(|data: &[u8]| {
    let Some((role, sql)) = data.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(sql) else { return };
    let statement =
        |role, sql: &str| Statement::new(role, sql.to_owned(), "nginx.conf:1".to_owned());
    let ours = |role| Some(statement(role, sql));
    let mut statements = Statements {
        query: statement(Role::Query, QUERY),
        on_start: None,
        on_stop: None,
        on_boot: None,
    };
    match role % 4 {
        0 => statements.query = statement(Role::Query, sql),
        1 => statements.on_start = ours(Role::Start),
        2 => statements.on_stop = ours(Role::Stop),
        _ => statements.on_boot = ours(Role::Boot),
    }

    // A database for each: SQLite carries out some pragmas when they are prepared.
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(SCHEMA).unwrap();
    let state = || db.query_row(STATE, [], |row| row.get::<_, String>(0)).unwrap();
    let (before, changes) = (state(), db.total_changes());
    let checked = fuzzing::check(&statements, &db);
    assert_eq!(state(), before);
    assert_eq!(db.total_changes(), changes);
    assert!(db.is_autocommit());
    if checked.is_ok() {
        assert_eq!(db.prepare(sql).unwrap().readonly(), role % 4 == 0);
    }
});
