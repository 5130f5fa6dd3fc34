//! A database in a directory of its own, and the command on it.

use std::path::PathBuf;
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Scene {
    directory: TempDir,
}

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Self { status: output.status.code(), stdout, stderr }
    }
}

impl Scene {
    pub(crate) fn without_database() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn new() -> Self {
        let scene = Self::without_database();
        scene.done(&["init"]);
        scene
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.beside("stagedoor.db")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What stands in the directory, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name();
        let mut names: Vec<_> = files.map(|file| name(file).into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
        command.args(args).env("STAGEDOOR_DB", self.db()).current_dir(self.directory.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.command(args).output().unwrap().into()
    }

    /// What is on stdout after a command that succeeds.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert_eq!((answer.status, answer.stderr.as_str()), (Some(0), ""), "{args:?}");
        answer.stdout
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[&["--json"], args].concat())).unwrap()
    }

    /// The one line on stderr after a command that is refused.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert_eq!((answer.status, answer.stdout.as_str()), (Some(1), ""), "{args:?}");
        let line = answer.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{line:?}");
        line.strip_prefix("stagedoor: ").unwrap().to_owned()
    }

    /// The same on a terminal, with stdout and stderr on it.
    pub(crate) fn on_a_terminal(&self, args: &str, env: &[(&str, &str)]) -> String {
        let line = format!("{} {args}", env!("CARGO_BIN_EXE_stagedoor"));
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("STAGEDOOR_DB", self.db())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().replace('\r', "")
    }

    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.db()).unwrap()
    }

    pub(crate) fn session(&self, stopped: Option<&str>, reason: Option<&str>) {
        let sql = "INSERT INTO sessions
                   (streamer_id, app, client_addr, started_at, stopped_at, end_reason)
                   VALUES (1, 'live', '192.0.2.7', '2026-01-02 03:04:05.000006', ?1, ?2)";
        self.raw().execute(sql, (stopped, reason)).unwrap();
    }
}

pub(crate) fn is_key(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
