//! What it was measured on, and with.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::bench::{Bench, Result, nginx, output};

/// A table of the machine and of all programs; no name of a host or a user.
pub fn table(bench: &Bench) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kilobytes: f64 = field(&memory, "MemTotal").trim_end_matches(" kB").parse()?;
    // nginx-rtmp's own header calls 1.2.2 "1.1.4"
    let rtmp = fs::read_to_string(bench.objs("nginx-rtmp/debian-version"));
    let python = bench.objs("django-venv/bin/python");
    let versions = "import django, gunicorn, platform, sqlite3; \
        print(django.__version__, gunicorn.__version__, platform.python_version(), sqlite3.sqlite_version)";
    let site = output(Command::new(python).args(["-c", versions]))?;
    let [django, gunicorn, python, sqlite] = site.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("versions of the site: {site}").into());
    };
    let rows = [
        ("CPU", format!("{} processors: {}", bench.processors.count(), field(&cpu, "model name"))),
        ("memory", format!("{:.0} GB", kilobytes / 1e6)),
        ("kernel", release.split('-').next().unwrap_or_default().to_owned()),
        ("nginx", first_line(&nginx(), "-v")?),
        ("nginx-rtmp", rtmp.map_or("the operator's own".to_owned(), |text| text.trim().to_owned())),
        ("Stagedoor", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "the site",
            format!(
                "Django {django} under gunicorn {gunicorn} with 2 workers, Python {python}, SQLite {sqlite}"
            ),
        ),
        ("ffmpeg", first_line("ffmpeg", "-version")?),
        ("GStreamer", first_line("gst-launch-1.0", "--version")?),
        ("wrk", first_line("wrk", "-v")?),
    ];
    let mut table = "| | |\n|---|---|\n".to_owned();
    for (what, value) in rows {
        writeln!(table, "| {what} | {value} |")?;
    }
    Ok(table)
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or("", |(_, value)| value.trim())
}

/// What a program says first, on either stream and with whatever exit status.
fn first_line(program: &str, argument: &str) -> Result<String> {
    let said = Command::new(program).arg(argument).output();
    let said = said.map_err(|error| format!("cannot run {program}: {error}"))?;
    let text = [said.stdout, said.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    Ok(line.split(" Copyright").next().unwrap_or_default().to_owned())
}
