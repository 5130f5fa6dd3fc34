//! The JSON of `--json`: the names are those of the database's columns.

use serde::Serialize;
use stagedoor_core::store::{self, Change, Init};

use crate::command::Count;

#[derive(Serialize)]
pub(crate) struct Key<'a> {
    pub(crate) username: &'a str,
    pub(crate) key: &'a str,
}

#[derive(Serialize)]
pub(crate) struct Database<'a> {
    pub(crate) database: &'a str,
    pub(crate) status: &'static str,
}

impl<'a> Database<'a> {
    pub(crate) fn new(database: &'a str, init: Init) -> Self {
        let status = match init {
            Init::Created => "created",
            Init::Updated { .. } => "updated",
            Init::UpToDate => "up to date",
        };
        Self { database, status }
    }
}

#[derive(Serialize)]
pub(crate) struct Kicked<'a> {
    pub(crate) username: &'a str,
    pub(crate) kicked: bool,
}

#[derive(Serialize)]
pub(crate) struct Removed<'a> {
    pub(crate) username: &'a str,
    pub(crate) removed: bool,
}

#[derive(Serialize)]
pub(crate) struct Streamer<'a> {
    id: i64,
    username: &'a str,
    is_active: bool,
    is_live: bool,
    created_at: &'a str,
    key_changed_at: &'a str,
    last_started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<Vec<Session<'a>>>,
}

impl<'a> Streamer<'a> {
    pub(crate) fn new(streamer: &'a store::Streamer) -> Self {
        Self {
            id: streamer.id,
            username: &streamer.username,
            is_active: streamer.is_active,
            is_live: streamer.is_live,
            created_at: &streamer.created_at,
            key_changed_at: &streamer.key_changed_at,
            last_started_at: streamer.last_started_at.as_deref(),
            sessions: None,
        }
    }

    pub(crate) fn with_sessions(self, sessions: &'a [store::Session]) -> Self {
        Self { sessions: Some(sessions.iter().map(Session::new).collect()), ..self }
    }
}

#[derive(Serialize)]
pub(crate) struct Session<'a> {
    id: i64,
    username: &'a str,
    app: &'a str,
    client_addr: &'a str,
    started_at: &'a str,
    stopped_at: Option<&'a str>,
    end_reason: Option<&'a str>,
    /// In seconds.
    duration: i64,
}

impl<'a> Session<'a> {
    pub(crate) fn new(session: &'a store::Session) -> Self {
        Self {
            id: session.id,
            username: &session.username,
            app: &session.app,
            client_addr: &session.client_addr,
            started_at: &session.started_at,
            stopped_at: session.stopped_at.as_deref(),
            end_reason: session.end_reason.as_deref(),
            duration: session.duration,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Import<'a> {
    dry_run: bool,
    added: usize,
    updated: usize,
    unchanged: usize,
    streamers: Vec<Imported<'a>>,
}

#[derive(Serialize)]
struct Imported<'a> {
    username: &'a str,
    is_active: bool,
    status: &'static str,
    /// Which columns differ.
    changed: Vec<&'static str>,
}

impl<'a> Import<'a> {
    pub(crate) fn new(dry_run: bool, streamers: &'a [store::Imported], count: Count) -> Self {
        let Count { added, updated, unchanged } = count;
        let streamers = streamers.iter().map(Imported::new).collect();
        Self { dry_run, added, updated, unchanged, streamers }
    }
}

impl<'a> Imported<'a> {
    fn new(imported: &'a store::Imported) -> Self {
        let store::Imported { username, is_active, change } = imported;
        let (status, key, flag) = match *change {
            Change::Added => ("added", false, false),
            Change::Updated { key, is_active } => ("updated", key, is_active),
            Change::Unchanged => ("unchanged", false, false),
        };
        let changed = [(key, "key_sha256"), (flag, "is_active")];
        let changed = changed.into_iter().filter_map(|(differs, name)| differs.then_some(name));
        Self { username, is_active: *is_active, status, changed: changed.collect() }
    }
}
