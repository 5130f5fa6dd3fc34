use proptest::prelude::*;

use super::*;

fn kind(path: &str) -> Option<Kind> {
    classify(path.as_bytes()).map(|format| format.kind)
}

fn whose<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let format = classify(path.as_bytes())?;
    stream(path.as_bytes(), prefix.as_bytes(), format.kind)
}

#[test]
fn the_extension_tells_what_a_file_is() {
    for (path, expected) in [
        ("/live/benw/index.m3u8", Some(Kind::Playlist)),
        ("/live/benw.mpd", Some(Kind::Playlist)),
        ("/live/benw/1718000000123.ts", Some(Kind::Segment)),
        ("/live/benw/7.m4s", Some(Kind::Segment)),
        ("/live/benw/7.mp4", Some(Kind::Segment)),
        ("/live/benw/7.aac", Some(Kind::Segment)),
        ("/live/benw/7.vtt", Some(Kind::Segment)),
        ("/live/benw/init.m4v", Some(Kind::Reused)),
        ("/live/benw/12000.m4a", Some(Kind::Reused)),
        ("/live/benw/7.key", Some(Kind::Key)),
        ("/index.m3u8", Some(Kind::Playlist)),
        ("/live/a name with spaces/é.ts", Some(Kind::Segment)),
    ] {
        assert_eq!(kind(path), expected, "{path}");
    }
}

#[test]
fn what_is_not_part_of_a_stream_is_nothing() {
    for path in [
        "",
        "/",
        "/live/",
        "/live/benw",
        "/live/benw/",
        "/live/benw/index.m3u8.bak",
        "/live/benw/7.bak",
        "/live/benw/7.ts.tmp",
        "/live/benw/7.flv",
        "/live/benw/index.html",
        "/live/benw/.index.m3u8",
        "/live/benw/.m3u8",
        "/live/.benw/index.m3u8",
        "/live/../etc/7.ts",
        "/live//benw/7.ts",
        "//7.ts",
        "/live/benw/7.ts/",
        "/live/benw/7.ts.",
        "/live/benw/7.TS",
        "/live/benw/index.M3U8",
        "/live/benw/7ts",
        "/live/benw/7.ts\0",
        "/live/benw/7\n.ts",
        "/live/benw\x7f/7.ts",
        "7.ts",
    ] {
        assert_eq!(kind(path), None, "{path:?}");
    }
}

#[test]
fn a_nested_file_belongs_to_the_first_directory() {
    assert_eq!(whose("/live/benw/index.m3u8", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw/720p/index.m3u8", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw-2/1718.ts", "/live/"), Some("benw-2"));
    assert_eq!(whose("/benw/index.m3u8", "/"), Some("benw"));
    assert_eq!(whose("/a/b@c.d+e/index.m3u8", "/a/"), Some("b@c.d+e"));
}

#[test]
fn a_flat_file_belongs_to_its_name_without_number() {
    assert_eq!(whose("/live/benw.m3u8", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw-17.ts", "/live/"), Some("benw"));
    assert_eq!(whose("/live/b.e.n-17.ts", "/live/"), Some("b.e.n"));
    assert_eq!(whose("/live/benw-17.key", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw-init.m4v", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw.ts", "/live/"), Some("benw"));
    assert_eq!(whose("/live/benw-hd.ts", "/live/"), Some("benw-hd"));
    assert_eq!(whose("/live/benw-.ts", "/live/"), Some("benw-"));
}

#[test]
fn a_name_that_ends_in_a_number_keeps_it() {
    assert_eq!(whose("/live/team-2.m3u8", "/live/"), Some("team-2"));
    assert_eq!(whose("/live/team-2-17.ts", "/live/"), Some("team-2"));
}

#[test]
fn a_prefix_without_a_slash_ends_at_a_directory() {
    assert_eq!(whose("/live/benw/index.m3u8", "/live"), Some("benw"));
    assert_eq!(whose("/livestock/cow/index.m3u8", "/live"), None);
}

#[test]
fn a_file_that_is_not_below_the_prefix_has_no_stream() {
    assert_eq!(whose("/other/benw/index.m3u8", "/live/"), None);
    assert_eq!(whose("/live/-17.ts", "/live/"), None);
}

#[test]
fn a_prefix_without_a_slash_does_not_lead_out_of_its_directory() {
    assert!(escapes(b"/live../1.ts", b"/live"));
    assert!(!escapes(b"/live/../1.ts", b"/live"));
    assert!(!escapes(b"/live/ben../1.ts", b"/live"));
    assert!(!escapes(b"/live/..ts", b"/live/"));
    assert!(!escapes(b"/other/1.ts", b"/live"));
}

/// Paths that are nearly right, so that the rules are met from both sides.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => "[A-Za-z0-9_@+-]{1,12}",
        1 => "[ -~é\\x00\\x7f]{0,8}",
        1 => Just("..".to_owned()),
    ];
    let extension = prop_oneof![
        6 => prop::sample::select(vec![
            "m3u8", "mpd", "ts", "m4s", "mp4", "aac", "vtt", "m4v", "m4a", "key", "bak", "M3U8", "",
        ])
        .prop_map(str::to_owned),
        1 => "[a-z0-9.]{0,6}",
    ];
    (prop::collection::vec(name, 0..5), extension)
        .prop_map(|(names, extension)| format!("/{}.{extension}", names.join("/")))
}

proptest! {
    #[test]
    fn nothing_hidden_or_unknown_is_ever_a_file(path in path()) {
        if classify(path.as_bytes()).is_some() {
            let names: Vec<_> = path[1..].split('/').collect();
            prop_assert!(names.iter().all(|name| !name.is_empty() && !name.starts_with('.')));
            prop_assert!(!path.chars().any(|c| c.is_ascii_control()));
            let extension = path.rsplit('.').next().unwrap();
            prop_assert!("m3u8 mpd ts m4s mp4 aac vtt m4v m4a key".split(' ').any(|e| e == extension));
        }
    }

    #[test]
    fn a_stream_is_one_name_of_its_path(path in path()) {
        for prefix in ["/", "/live/", "/live"] {
            if let Some(name) = whose(&path, prefix) {
                prop_assert!(!name.is_empty() && !name.contains('/') && !name.starts_with('.'));
                prop_assert!(path.contains(name));
            }
        }
    }

    #[test]
    fn both_layouts_lead_to_the_same_stream(
        name in "[A-Za-z0-9_@+][A-Za-z0-9_.@+-]{0,20}", number in any::<u64>(),
    ) {
        for path in [
            format!("/live/{name}/index.m3u8"),
            format!("/live/{name}/{number}.ts"),
            format!("/live/{name}.m3u8"),
            format!("/live/{name}-{number}.ts"),
        ] {
            prop_assert_eq!(whose(&path, "/live/"), Some(name.as_str()), "{}", path);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(path in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(format) = classify(&path) {
            let _ = stream(&path, b"/", format.kind);
        }
    }
}
