//! From what was measured to what was not: larger servers, on paper.

use std::fs;

use crate::bench::{Bench, Result};
use crate::outcome::{Digits, Unit};
use crate::statistics::median;

/// How much of a core, or of a network, is planned with.
const SHARE: f64 = 0.7;

/// Seconds of a segment: each viewer asks for one, and for the playlist, so often.
const SEGMENT: f64 = 2.0;

/// A usual uplink in bits a second, and a usual stream's.
const UPLINK: f64 = 10e9;
const STREAM: f64 = 6e6;

/// A table with a formula in each row; none while something that it needs was never measured.
pub fn table(bench: &Bench) -> Result<Option<String>> {
    let Some(figures) = Figures::read(bench)? else { return Ok(None) };
    let Figures { storm, relay, playlist, segment, shared, keys } = figures;
    let streams = 200.0 * 100.0 * SHARE / relay;
    let viewers = SHARE * SEGMENT / (playlist + segment);
    let rows = [
        (
            "publishes a second and worker",
            "5,000 / time to the last one live in the storm",
            5000.0 / storm,
        ),
        (
            "streams of 1 Mbit/s and core, a quarter of them watched once",
            "200 × 70 % / CPU of the relay",
            streams,
        ),
        (
            "streams of 6 Mbit/s that fill 10 Gbit/s",
            "70 % × 10 Gbit/s / 6 Mbit/s",
            SHARE * UPLINK / STREAM,
        ),
        (
            "live streams in a stagedoor_zone of 16 MB",
            "16 MB / bytes a stream",
            16.0 * 1024.0 * 1024.0 / shared,
        ),
        (
            "viewers of 2 s segments of 1 MB and core",
            "70 % × 2 s / (CPU of a playlist + CPU of a segment)",
            viewers,
        ),
        (
            "viewers of 4 Mbit/s that fill 10 Gbit/s",
            "70 % × 10 Gbit/s / 4 Mbit/s",
            SHARE * UPLINK / 4e6,
        ),
    ];
    let mut table = "| | formula | result |\n|---|---|---|\n".to_owned();
    for (what, formula, result) in rows {
        table.push_str(&format!("| {what} | {formula} | {} |\n", Digits(result)));
    }
    let [few, many] = keys.map(|seconds| Unit::Seconds.show(seconds, None));
    table.push_str(&format!(
        "| a publish with ten million keys | as measured, against a thousand | {many} against {few} |\n"
    ));
    Ok(Some(table))
}

struct Figures {
    storm: f64,
    relay: f64,
    playlist: f64,
    segment: f64,
    shared: f64,
    keys: [f64; 2],
}

impl Figures {
    fn read(bench: &Bench) -> Result<Option<Self>> {
        let mut missing = false;
        let mut of = |work: &str, row: &str, name: &str| -> Result<f64> {
            let path = bench.out().join(format!("benchmarks/{work}.csv"));
            let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
            let start = format!("\"{row}\",\"{name}\",");
            let values = text.lines().filter(|line| line.starts_with(&start));
            let values = values.filter_map(|line| line.rsplit(',').next()?.parse().ok());
            let value = median(&values.collect::<Vec<f64>>());
            missing |= value.is_nan();
            Ok(value)
        };
        let ours = "stagedoor_hls";
        let figures = Self {
            storm: of("storm", "5000 encoders, Stagedoor", "the last one live")?,
            relay: of("relay", "Stagedoor", "CPU of the worker")?,
            playlist: of("hls", &format!("playlist, 2 kB: {ours}"), "CPU a request")?,
            segment: of("hls", &format!("segment, 1 MB: {ours}"), "CPU a request")?,
            shared: of("memory", "shared memory a live stream", "size")?,
            keys: [
                of("keys", "1000 streamers", "warm p50")?,
                of("keys", "10000000 streamers", "warm p50")?,
            ],
        };
        Ok((!missing).then_some(figures))
    }
}
