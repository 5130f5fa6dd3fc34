//! The question a live stream asks again: may it go on?

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::StoreError;
use super::history::OpenRow;
use super::schema;
use super::visitor::Visitor;
use crate::policy::Stop;
use crate::username::Username;

/// What a stream went live with.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The streamer's row; 0 in a schema that is not native.
    pub streamer_id: i64,
    /// The name it is live under.
    pub username: Username,
    /// Who was let in.
    pub visitor: Arc<Visitor>,
}

/// A session is found by more than its id, as in `history`: the database may have been replaced.
const FIND: &str = "
    SELECT is_active, key_sha256 = ?2,
           EXISTS (SELECT 1 FROM sessions WHERE id = ?3 AND streamer_id = ?1 AND started_at = ?4
                   AND kick_requested_at IS NOT NULL)
    FROM streamers WHERE id = ?1";

pub(super) const STATEMENTS: &[&str] = &[FIND];

/// As [`Layout::recheck`](super::layout::Layout::recheck), in the native schema. All streams are
/// seen at the same moment.
pub(super) fn recheck<'a, T>(
    db: &mut Connection,
    path: &Path,
    streams: impl Iterator<Item = (T, &'a Admission, Option<&'a OpenRow>)>,
) -> Result<Vec<(T, Stop)>, StoreError> {
    let fault = |error| StoreError::from_sqlite(path, &error);
    let transaction = db.transaction().map_err(fault)?;
    schema::expect_version(&transaction, path)?;
    let mut stops = Vec::new();
    for (name, admission, row) in streams {
        match stop(&transaction, admission, row).map_err(fault) {
            Ok(Some(stop)) => stops.push((name, stop)),
            Ok(None) => (),
            Err(error) if error.concerns_one_row() => (),
            Err(error) => return Err(error),
        }
    }
    Ok(stops)
}

fn stop(
    db: &Transaction<'_>,
    Admission { streamer_id, visitor, .. }: &Admission,
    row: Option<&OpenRow>,
) -> rusqlite::Result<Option<Stop>> {
    let (id, started_at) = row.map(|row| (row.id, &row.started_at)).unzip();
    let found = db
        .prepare_cached(FIND)?
        .query_row(params![streamer_id, visitor.digest().as_bytes(), id, started_at], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(match found {
        None => Some(Stop::Removed),
        Some((false, _, _)) => Some(Stop::Banned),
        Some((true, false, _)) => Some(Stop::KeyReplaced),
        Some((true, true, true)) => Some(Stop::Kicked),
        Some((true, true, false)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{self, Fixture};

    struct Scene {
        fixture: Fixture,
        db: Connection,
        admission: Admission,
        row: OpenRow,
    }

    impl Scene {
        /// Streamer 1 is live.
        fn new() -> Scene {
            let fixture = Fixture::new();
            let key = fixture.add("benw");
            let admission = fixture::admission(1, "benw", key);
            let db = fixture.raw();
            let started_at = "2026-01-02 03:04:05.000006".to_owned();
            db.execute(
                "INSERT INTO sessions (streamer_id, app, client_addr, started_at)
                 VALUES (1, '', '', ?1)",
                [&started_at],
            )
            .unwrap();
            Scene { fixture, db, admission, row: OpenRow { id: 1, streamer_id: 1, started_at } }
        }

        fn recheck(&mut self) -> Result<Option<Stop>, StoreError> {
            let streams = [((), &self.admission, Some(&self.row))].into_iter();
            let stops = recheck(&mut self.db, self.fixture.path(), streams)?;
            Ok(stops.first().map(|((), stop)| *stop))
        }
    }

    #[test]
    fn a_streamer_who_may_stream_goes_on() {
        assert_eq!(Scene::new().recheck(), Ok(None));
    }

    #[test]
    fn each_reason_to_stop_is_found() {
        let mut scene = Scene::new();
        scene.fixture.store().kick("benw").unwrap();
        assert_eq!(scene.recheck(), Ok(Some(Stop::Kicked)));
        scene.fixture.store().rotate("benw").unwrap();
        assert_eq!(scene.recheck(), Ok(Some(Stop::KeyReplaced)));
        scene.fixture.store().set_active("benw", false).unwrap();
        assert_eq!(scene.recheck(), Ok(Some(Stop::Banned)));
        scene.fixture.store().remove("benw").unwrap();
        assert_eq!(scene.recheck(), Ok(Some(Stop::Removed)));
    }

    #[test]
    fn a_kick_is_for_the_session_that_is_live() {
        let mut scene = Scene::new();
        scene.fixture.store().kick("benw").unwrap();
        scene.row.id = 2;
        assert_eq!(scene.recheck(), Ok(None));
        scene.row = OpenRow { id: 1, streamer_id: 1, started_at: "another start".to_owned() };
        assert_eq!(scene.recheck(), Ok(None));
    }

    #[test]
    fn a_row_that_is_not_written_yet_stops_nobody() {
        let mut scene = Scene::new();
        let streams = [((), &scene.admission, None)].into_iter();
        assert_eq!(recheck(&mut scene.db, scene.fixture.path(), streams), Ok(vec![]));
    }

    #[test]
    fn a_row_that_cannot_be_read_stops_nobody() {
        let mut scene = Scene::new();
        scene.db.pragma_update(None, "ignore_check_constraints", true).unwrap();
        scene.db.execute("UPDATE streamers SET is_active = 'yes'", []).unwrap();
        assert_eq!(scene.recheck(), Ok(None));
    }

    #[test]
    fn a_database_of_another_version_stops_nobody() {
        let mut scene = Scene::new();
        scene.fixture.store().set_active("benw", false).unwrap();
        scene.db.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(scene.recheck(), Err(StoreError::NewerVersion { found: 99, .. })));
    }

    #[test]
    fn a_recheck_searches_indexes_only() {
        let scene = Scene::new();
        let mut plan = scene.db.prepare(&format!("EXPLAIN QUERY PLAN {FIND}")).unwrap();
        let steps: Vec<String> = plan
            .query_map(params![1, [0u8; 32], 1, ""], |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(steps.iter().any(|step| step.contains("INTEGER PRIMARY KEY")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN") && step != "SCAN CONSTANT ROW"));
    }
}
