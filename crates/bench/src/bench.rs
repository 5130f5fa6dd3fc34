//! One run: how long it may be, and where things are.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crate::processors::Processors;

/// Whatever went wrong, as a sentence: a run that fails says so and ends.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What all works share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The short form: does everything work? Its figures mean nothing.
    pub quick: bool,
    /// The checkout.
    pub root: PathBuf,
    pub processors: Processors,
}

impl Bench {
    pub fn new(quick: bool) -> io::Result<Self> {
        let root = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
        Ok(Self { quick, root, processors: Processors::divide()? })
    }

    /// What "make build" and the tools leave.
    pub fn objs(&self, name: &str) -> PathBuf {
        self.root.join("objs").join(name)
    }

    /// Where figures and charts go: the documentation, unless they mean nothing.
    pub fn out(&self) -> PathBuf {
        if self.quick { self.objs("bench-quick") } else { self.root.join("docs") }
    }

    /// The one for a run that counts, or the one for the short form.
    pub fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// The nginx to run, chosen as for the tests.
pub fn nginx() -> String {
    env::var("TEST_NGINX_BINARY").unwrap_or_else(|_| "nginx".to_owned())
}

/// Where its modules are.
pub fn nginx_modules() -> String {
    env::var("TEST_NGINX_MODULES").unwrap_or_else(|_| "/usr/lib/nginx/modules".to_owned())
}

/// Runs a command to its end; returns what it printed, or fails with what it complained of.
pub fn output(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{name} failed ({}): {complaint}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
