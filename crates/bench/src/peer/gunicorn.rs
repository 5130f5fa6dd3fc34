//! The web application of docs/migrating.md, served as people serve it.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Result};
use crate::process::Daemon;

/// Two workers, as in the comparison of docs/migrating.md.
pub fn start(bench: &Bench, dir: &Path, database: &Path, address: SocketAddr) -> Result<Daemon> {
    let log = dir.join("gunicorn.log");
    let mut command = Command::new(bench.objs("django-venv/bin/gunicorn"));
    command
        .args(["--workers", "2", "--no-control-socket", "--bind", &address.to_string()])
        .arg("project.wsgi")
        .env("SITE_DATABASE", database)
        .env("DJANGO_SETTINGS_MODULE", "project.settings")
        .env("PYTHONPATH", bench.root.join("t/django"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stderr(File::create(&log)?);
    bench.processors.give_all(&mut command);
    // tools/django.sh installs it
    let mut daemon = Daemon::start(&mut command)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        if daemon.ended().is_some() || Instant::now() > deadline {
            let complaint = std::fs::read_to_string(&log)?;
            return Err(format!("gunicorn does not start: {complaint}").into());
        }
        sleep(Duration::from_millis(20));
    }
    Ok(daemon)
}
