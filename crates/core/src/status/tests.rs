use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::counters::Counters;
use crate::media::Media;
use crate::policy::Refusal;
use crate::registry::{Figures, Text};
use crate::store::thread::EndReason;

const HOSTILE: &str =
    "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\\\n{data}&amp;";

fn listed(username: &str, app: &str, client_addr: &str) -> Listed {
    let media = Media { video: 7, audio: 10, width: 1280, height: 720, frame_rate: 30 };
    Listed {
        username: Text::cut(username),
        app: Text::cut(app),
        client_addr: Text::cut(client_addr),
        worker: 4711,
        started_at: 1_700_000_000_000_000,
        figures: Figures { bytes_in: 123_456, bitrate: 2_500_000, media },
    }
}

fn status(streams: Vec<Listed>) -> Status {
    let counters = Counters::default();
    counters.accepted();
    counters.accepted();
    counters.withdrawn();
    counters.refused(Refusal::InvalidKey);
    counters.ended(EndReason::Closed, 1);
    counters.answered(Duration::from_micros(80), false);
    counters.answered(Duration::from_secs(7), true);
    counters.message_refused();
    Status { now: 1_700_000_012_500_000, capacity: 3000, streams, totals: counters.totals() }
}

fn written(format: Format, streams: Vec<Listed>) -> String {
    format.write(&status(streams), &PlaylistUrl::default()).unwrap()
}

#[test]
fn json_says_all_about_a_stream() {
    let json = written(Format::Json, vec![listed("benw", "live", "192.0.2.7")]);
    let stream = json.lines().nth(1).unwrap();
    assert_eq!(
        stream,
        "{\"username\":\"benw\",\"app\":\"live\",\"client_addr\":\"192.0.2.7\",\"worker\":4711,\
         \"started_at\":\"2023-11-14 22:13:20.000000\",\"seconds\":12,\"bytes_in\":123456,\
         \"bitrate\":2500000,\"video_codec\":\"h264\",\"audio_codec\":\"aac\",\"width\":1280,\
         \"height\":720,\"frame_rate\":30,\"playlist\":\"/live/benw/index.m3u8\"}]}"
    );
}

#[test]
fn json_says_what_was_counted() {
    let json = written(Format::Json, Vec::new());
    assert!(
        json.starts_with(
            "{\"now\":\"2023-11-14 22:13:32.500000\",\"live\":0,\"capacity\":3000,\"bitrate\":0,\
         \"publishes\":{\"accepted\":2,\"refused\":1,\"withdrawn\":1},\
         \"refusals\":{\"invalid_key\":1,\"inactive\":0,\"already_streaming\":0,\"unavailable\":0,\
         \"too_many_attempts\":0},\
         \"ends\":{\"closed_by_client\":1,\"connection_lost\":0,"
        ),
        "{json}"
    );
    assert!(
        json.contains(
            "\"store\":{\"answers\":2,\"seconds\":7.00008,\"errors\":1},\"messages_refused\":1,\"streams\":["
        )
    );
}

#[test]
fn what_is_not_known_is_null() {
    let mut stream = listed("benw", "live", "192.0.2.7");
    stream.figures = Figures::default();
    let json = Format::Json.write(&status(vec![stream]), &PlaylistUrl::Off).unwrap();
    let unknown = "\"video_codec\":null,\"audio_codec\":null,\"width\":null,\"height\":null,\
                   \"frame_rate\":null,\"playlist\":null}";
    assert!(json.contains(unknown), "{json}");
}

#[test]
fn a_clock_that_was_set_back_has_nobody_on_air_before_its_start() {
    let mut status = status(vec![listed("benw", "live", "192.0.2.7")]);
    status.now = 5;
    assert!(Format::Json.write(&status, &PlaylistUrl::Off).unwrap().contains("\"seconds\":0,"));
}

#[test]
fn a_histogram_counts_up_to_all_answers() {
    let metrics = written(Format::Prometheus, Vec::new());
    let name = "stagedoor_store_answer_seconds";
    for line in [
        "_bucket{le=\"0.00005\"} 0",
        "_bucket{le=\"0.0001\"} 1",
        "_bucket{le=\"5\"} 1",
        "_bucket{le=\"+Inf\"} 2",
        "_sum 7.00008",
        "_count 2",
    ] {
        assert!(metrics.contains(&format!("\n{name}{line}\n")), "{line}\n{metrics}");
    }
}

#[test]
fn metrics_count_refused_messages() {
    let metrics = written(Format::Prometheus, Vec::new());
    assert!(metrics.contains("\nstagedoor_messages_refused_total 1\n"), "{metrics}");
}

#[test]
fn the_page_holds_the_first_status_and_is_otherwise_always_the_same() {
    let frame = |page: &str| {
        let (before, rest) = page.split_once("id=\"data\">").unwrap();
        let (data, after) = rest.split_once("</script>").unwrap();
        (before.to_owned() + after, data.to_owned())
    };
    let streams = vec![listed("benw", HOSTILE, HOSTILE)];
    let (page, data) = frame(&written(Format::Html, streams.clone()));
    assert_eq!(data, written(Format::Json, streams));
    assert_eq!(page, frame(&written(Format::Html, Vec::new())).0);
}

/// The string that a JSON text has at its start, and what is behind it.
fn json_string(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'u' => {
                    let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    value.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                }
                c @ ('"' | '\\') => value.push(c),
                _ => return None,
            },
            c if c < ' ' => return None,
            c => value.push(c),
        }
    }
    None
}

/// A sample of Prometheus' text format: name, labels and value.
fn sample(line: &str) -> Option<(&str, HashMap<String, String>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = HashMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        _ => return None,
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.insert(label.to_owned(), value);
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break rest = rest.strip_prefix('}')?,
            }
        }
    }
    Some((name, labels, rest.strip_prefix(' ')?.parse().ok()?))
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_its_json_string_or_of_the_page(
        app in "\\PC{0,16}|[\\x00-\\x7f]{0,60}|(</script>|<!--|\"|\\\\|'){1,8}",
        addr in "[\\x00-\\x7f]{0,60}",
    ) {
        let streams = vec![listed("benw", &app, &addr)];
        let (app, addr) = (streams[0].app, streams[0].client_addr);
        let json = written(Format::Json, streams);
        let (_, rest) = json.split_once("\"app\":").unwrap();
        let (read, rest) = json_string(rest).unwrap();
        prop_assert_eq!(&read, app.as_str());
        let (read, rest) = json_string(rest.strip_prefix(",\"client_addr\":").unwrap()).unwrap();
        prop_assert_eq!(&read, addr.as_str());
        prop_assert!(rest.starts_with(",\"worker\":4711,"));
        let special = ['<', '>', '&', '\'', '\u{2028}', '\u{2029}'];
        prop_assert!(!json.contains(special));
        prop_assert_eq!(json.lines().count(), 2);
    }

    #[test]
    fn no_text_breaks_out_of_its_label(app in "\\PC{0,16}|[\\x00-\\x7f]{0,60}|[\"\\\\\n{},]{1,20}") {
        let streams = vec![listed("benw", &app, "192.0.2.7")];
        let app = streams[0].app;
        let metrics = written(Format::Prometheus, streams);
        let of_stream: Vec<_> = metrics
            .split('\n')
            .filter(|line| line.starts_with("stagedoor_stream_"))
            .map(|line| sample(line).unwrap())
            .collect();
        let names: Vec<_> = of_stream.iter().map(|(name, ..)| *name).collect();
        let expected = ["stagedoor_stream_received_bytes_total", "stagedoor_stream_start_time_seconds"];
        prop_assert_eq!(names, expected);
        for (_, labels, value) in of_stream {
            prop_assert_eq!(labels.len(), 2);
            prop_assert_eq!(labels["app"].as_str(), app.as_str());
            prop_assert!([123_456.0, 1_700_000_000.0].contains(&value));
        }
    }
}

#[test]
fn every_line_of_the_metrics_is_a_comment_or_a_sample_of_the_family_above() {
    let metrics = written(Format::Prometheus, vec![listed("benw", "live", "192.0.2.7")]);
    let mut family = String::new();
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with("# HELP ") {
            let (name, ..) = sample(line).unwrap_or_else(|| panic!("{line}"));
            assert!(name.starts_with(&family), "{name} below {family}");
        }
    }
}
