//! The status as metrics, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::fmt::{self, Display, Write};

use super::{Growing, Status};
use crate::counters::BOUNDS;

/// All metrics.
pub(super) fn metrics(status: &Status) -> Option<String> {
    let mut out = Growing::default();
    write(&mut out, status).ok()?;
    Some(out.0)
}

fn write(out: &mut Growing, status: &Status) -> fmt::Result {
    let totals = &status.totals;

    family(out, "stagedoor_live_streams", "gauge", "Streams that are live.")?;
    writeln!(out, "stagedoor_live_streams {}", status.streams.len())?;
    family(
        out,
        "stagedoor_live_streams_max",
        "gauge",
        "Streams that stagedoor_zone has room for.",
    )?;
    writeln!(out, "stagedoor_live_streams_max {}", status.capacity)?;

    let name = "stagedoor_publishes_total";
    family(out, name, "counter", "Publishes by what became of them.")?;
    let refused = totals.refused.iter().sum();
    let results =
        [("accepted", totals.accepted), ("refused", refused), ("withdrawn", totals.withdrawn)];
    for (result, count) in results {
        writeln!(out, "{name}{{result=\"{result}\"}} {count}")?;
    }
    let name = "stagedoor_refusals_total";
    family(out, name, "counter", "Publishes that were refused, by why.")?;
    for (reason, count) in totals.refusals() {
        writeln!(out, "{name}{{reason=\"{reason}\"}} {count}")?;
    }
    let name = "stagedoor_streams_ended_total";
    family(out, name, "counter", "Streams that have ended, by why.")?;
    for (reason, count) in totals.ends() {
        writeln!(out, "{name}{{reason=\"{reason}\"}} {count}")?;
    }

    answers(out, status)?;
    let name = "stagedoor_store_errors_total";
    family(
        out,
        name,
        "counter",
        "Keys that the database could not be asked about, or not in time.",
    )?;
    writeln!(out, "{name} {}", totals.store_errors)?;
    let name = "stagedoor_messages_refused_total";
    family(
        out,
        name,
        "counter",
        "Messages that nginx-rtmp must not read; their sessions were closed.",
    )?;
    writeln!(out, "{name} {}", totals.messages_refused)?;

    streams(out, status)
}

fn answers(out: &mut Growing, status: &Status) -> fmt::Result {
    let name = "stagedoor_store_answer_seconds";
    family(
        out,
        name,
        "histogram",
        "Time until the database answered about a key, or was given up.",
    )?;
    let mut count = 0;
    for ((_, bound), within) in BOUNDS.iter().zip(status.totals.answers) {
        count += within;
        writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
    }
    count = status.totals.answers.iter().sum();
    writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
    writeln!(out, "{name}_sum {}", status.totals.answer_time.as_secs_f64())?;
    writeln!(out, "{name}_count {count}")
}

fn streams(out: &mut Growing, status: &Status) -> fmt::Result {
    let name = "stagedoor_stream_received_bytes_total";
    family(out, name, "counter", "Bytes received of a live stream.")?;
    for stream in &status.streams {
        let (app, username) = (Label(stream.app.as_str()), Label(stream.username.as_str()));
        let bytes = stream.figures.bytes_in;
        writeln!(out, "{name}{{app={app},username={username}}} {bytes}")?;
    }
    let name = "stagedoor_stream_start_time_seconds";
    family(out, name, "gauge", "When a live stream began, in seconds since 1970.")?;
    for stream in &status.streams {
        let (app, username) = (Label(stream.app.as_str()), Label(stream.username.as_str()));
        let (seconds, rest) = (stream.started_at / 1_000_000, stream.started_at % 1_000_000);
        writeln!(out, "{name}{{app={app},username={username}}} {seconds}.{rest:06}")?;
    }
    Ok(())
}

fn family(out: &mut Growing, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A label's value: in quotes, with backslash, quote and line feed escaped.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
