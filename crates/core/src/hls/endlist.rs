//! The end of a stream, as a player is told of it: `#EXT-X-ENDLIST` (RFC 8216, section 4.3.3.4).

/// What closes a playlist, to be put behind it. `None` if it is closed already, if it is a master
/// playlist (section 4.3.4), whose media playlists are closed instead, or if it is no playlist.
pub fn closing(playlist: &[u8]) -> Option<&'static str> {
    let text = playlist.strip_prefix("\u{feff}".as_bytes()).unwrap_or(playlist);
    if !text.starts_with(b"#EXTM3U") {
        return None;
    }
    let is_open_media_playlist = text.split(|&byte| byte == b'\n').all(|line| {
        !line.starts_with(b"#EXT-X-ENDLIST")
            && !line.starts_with(b"#EXT-X-STREAM-INF")
            && !line.starts_with(b"#EXT-X-I-FRAME-STREAM-INF")
    });
    is_open_media_playlist.then_some(match text.ends_with(b"\n") {
        true => "#EXT-X-ENDLIST\n",
        false => "\n#EXT-X-ENDLIST\n",
    })
}

/// The entity tag of the closed playlist: another one than that of the open one, which nginx makes
/// of the same two numbers (ngx_http_set_etag).
pub fn etag(modified: i64, open_len: usize) -> String {
    format!("\"{modified:x}-{open_len:x}-end\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\n1.ts\n";

    #[test]
    fn an_open_media_playlist_is_closed_on_a_line_of_its_own() {
        assert_eq!(closing(OPEN.as_bytes()), Some("#EXT-X-ENDLIST\n"));
        assert_eq!(closing(OPEN.trim_end().as_bytes()), Some("\n#EXT-X-ENDLIST\n"));
        assert_eq!(closing(OPEN.replace('\n', "\r\n").as_bytes()), Some("#EXT-X-ENDLIST\n"));
        assert_eq!(closing(format!("\u{feff}{OPEN}").as_bytes()), Some("#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn a_closed_one_and_a_master_playlist_stay_as_they_are() {
        assert_eq!(closing(format!("{OPEN}#EXT-X-ENDLIST").as_bytes()), None);
        assert_eq!(closing(b"#EXTM3U\r\n#EXT-X-ENDLIST\r\n"), None);
        assert_eq!(closing(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"), None);
        assert_eq!(
            closing(b"#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n"),
            None
        );
    }

    #[test]
    fn what_is_no_playlist_is_not_touched() {
        assert_eq!(closing(b""), None);
        assert_eq!(closing(b"<html>"), None);
    }

    #[test]
    fn the_two_entities_have_two_tags() {
        let open = format!("\"{:x}-{:x}\"", 1_718_000_000, OPEN.len());
        assert_ne!(etag(1_718_000_000, OPEN.len()), open);
    }

    proptest! {
        #[test]
        fn nothing_is_closed_twice(lines in prop::collection::vec("(#EXT-X-[A-Z-]{1,12}|[a-z0-9.]{0,8})", 0..20)) {
            let mut text = format!("#EXTM3U\n{}", lines.join("\n"));
            if let Some(end) = closing(text.as_bytes()) {
                text.push_str(end);
                prop_assert!(text.lines().last() == Some("#EXT-X-ENDLIST"));
                prop_assert_eq!(closing(text.as_bytes()), None);
            }
        }
    }
}
