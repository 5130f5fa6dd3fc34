//! What an operator's application is told, by the operator's own statements.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Error, Transaction};

use super::sessions::Sessions;
use super::{SessionEvent, Written};
use crate::store::error::{StoreError, reason};
use crate::store::foreign::{Statement, Statements, Values};
use crate::store::recheck::Admission;
use crate::store::thread::Server;
use crate::timestamp;

/// The streams that the application was told of.
///
/// An application may have one place for "is live" where a native history has a row for each
/// session. What is told of an end must not undo what another worker tells of the same streamer's
/// next stream, so a name that is live again is not told to have ended. The question is asked
/// inside the transaction that tells it: a stream that goes live later is told of later, because
/// its statement waits for the same lock.
#[derive(Debug)]
pub(super) struct Notices {
    statements: Arc<Statements>,
    server: Arc<dyn Server>,
    sessions: Sessions<Admission>,
}

impl Notices {
    pub(super) fn new(statements: Arc<Statements>, server: Arc<dyn Server>) -> Self {
        Self { statements, server, sessions: Sessions::default() }
    }

    pub(super) fn committed(&mut self) {
        self.sessions.committed();
    }

    pub(super) fn undone(&mut self) {
        self.sessions.undone();
    }

    /// What is said of an event that the end of its transaction refused.
    pub(super) fn failed(&self, event: &SessionEvent, error: &Error) -> Option<String> {
        let Statements { on_start, on_stop, on_boot, .. } = &*self.statements;
        let (statement, admission) = match event {
            SessionEvent::Started { admission, .. } => (on_start, Some(admission)),
            SessionEvent::Stopped { tag, .. } => (on_stop, self.sessions.written(*tag)),
            SessionEvent::Lost { .. } => (on_stop, None),
            SessionEvent::Boot { .. } => (on_boot, None),
        };
        let username = admission.map(|admission| admission.username.as_str());
        Some(failed(statement.as_ref()?, &reason(error), username))
    }

    pub(super) fn write(
        &mut self,
        db: &Transaction<'_>,
        path: &Path,
        event: &SessionEvent,
    ) -> Result<Written, StoreError> {
        let statements = Arc::clone(&self.statements);
        match event {
            SessionEvent::Started { tag, admission, at } => {
                self.sessions.begin(*tag, admission.clone());
                run(db, path, &statements.on_start, of(admission), *at)
            }
            SessionEvent::Stopped { tag, at, .. } => {
                // Unknown is the start that was dropped.
                let Some(admission) = self.sessions.end(*tag) else { return Ok(Written::Done) };
                if self.server.is_live(admission.username.as_str()) {
                    return Ok(Written::Left);
                }
                run(db, path, &statements.on_stop, of(&admission), *at)
            }
            SessionEvent::Lost { at, streams } => {
                let Some(on_stop) = &statements.on_stop else { return Ok(Written::Done) };
                let needs_key = on_stop.needs_key(db);
                if needs_key.map_err(|error| on_stop.fault(path, &error))? {
                    let names = streams.iter().map(|stream| stream.username.as_str());
                    return Ok(Written::Refused(key_is_unknown(on_stop, names)));
                }
                let mut refused = Vec::new();
                for stream in streams {
                    if self.server.is_live(&stream.username) || self.server.is_told(stream.former) {
                        continue;
                    }
                    let at = stream.ended_at.map_or(*at, timestamp::from_microseconds);
                    let values = Values {
                        username: Some(&stream.username),
                        app: Some(&stream.app),
                        client_addr: Some(&stream.client_addr),
                        ..Values::default()
                    };
                    match run(db, path, &statements.on_stop, values, at)? {
                        Written::Refused(why) => refused.extend(why),
                        Written::RolledBack(why) => return Ok(Written::RolledBack(why)),
                        Written::Done | Written::Left => (),
                    }
                }
                Ok(match refused.is_empty() {
                    true => Written::Done,
                    false => Written::Refused(Some(refused.join("; "))),
                })
            }
            SessionEvent::Boot { at } => run(db, path, &statements.on_boot, Values::default(), *at),
        }
    }
}

fn of(admission: &Admission) -> Values<'_> {
    let username = Some(admission.username.as_str());
    Values { username, ..Values::of(&admission.visitor) }
}

/// Runs a statement, where there is one.
fn run(
    db: &Transaction<'_>,
    path: &Path,
    statement: &Option<Statement>,
    values: Values<'_>,
    at: SystemTime,
) -> Result<Written, StoreError> {
    let Some(statement) = statement else { return Ok(Written::Done) };
    let now = timestamp::utc(at);
    let username = values.username;
    match statement.run(db, &Values { now: Some(&now), ..values }) {
        Ok(()) => Ok(Written::Done),
        Err(error) if statement.refuses_values(db, &error) => {
            let why = failed(statement, &values.words(&error), username);
            // ON CONFLICT ROLLBACK, or RAISE(ROLLBACK) in a trigger.
            Ok(match db.is_autocommit() {
                true => Written::RolledBack(Some(why)),
                false => Written::Refused(Some(why)),
            })
        }
        Err(error) => Err(statement.fault(path, &error)),
    }
}

fn key_is_unknown<'a>(
    statement: &Statement,
    names: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} was not run for streams whose worker died, because it names them by their key, \
             username: {}",
            statement.directive(),
            names.join(", ")
        )
    })
}

fn failed(statement: &Statement, reason: &str, username: Option<&str>) -> String {
    let of = username.map(|name| format!(", username: \"{name}\"")).unwrap_or_default();
    format!("{} failed: {reason}{of}", statement.directive())
}

#[cfg(test)]
mod tests;
