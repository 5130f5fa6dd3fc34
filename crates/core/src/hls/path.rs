//! What a request's path is, and whose stream it belongs to.
//!
//! Paths come as nginx has them: percent-decoded, `..` resolved and, unless `merge_slashes` is off,
//! with single slashes. Whatever is not known to be part of a stream is nothing: a directory of
//! streams also holds what nginx-rtmp is still writing (`.bak`), and whatever an operator left there.

use std::ffi::CStr;

/// What a file of a stream is to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Written anew with every segment: an HLS playlist or a DASH manifest.
    Playlist,
    /// Written once, under a name of its own.
    Segment,
    /// Written once, but under a name that the next stream takes again: nginx-rtmp names DASH
    /// segments by the time since the stream's start, and `init.m4v` always so
    /// (ngx_rtmp_dash_module.c).
    Reused,
    /// The key of encrypted segments.
    Key,
}

/// A file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// What it is to a cache.
    pub kind: Kind,
    /// Its media type.
    pub mime: &'static CStr,
    /// Whether it is an HLS playlist, which `#EXT-X-ENDLIST` can close.
    pub is_hls_playlist: bool,
}

const DELETE: u8 = 0x7f;

impl Format {
    const fn new(kind: Kind, mime: &'static CStr) -> Format {
        Format { kind, mime, is_hls_playlist: false }
    }

    fn by_extension(extension: &[u8]) -> Option<Format> {
        Some(match extension {
            b"m3u8" => Format {
                is_hls_playlist: true,
                ..Format::new(Kind::Playlist, c"application/vnd.apple.mpegurl")
            },
            b"mpd" => Format::new(Kind::Playlist, c"application/dash+xml"),
            b"ts" => Format::new(Kind::Segment, c"video/mp2t"),
            b"m4s" => Format::new(Kind::Segment, c"video/iso.segment"),
            b"mp4" => Format::new(Kind::Segment, c"video/mp4"),
            b"aac" => Format::new(Kind::Segment, c"audio/aac"),
            b"vtt" => Format::new(Kind::Segment, c"text/vtt"),
            b"m4v" => Format::new(Kind::Reused, c"video/mp4"),
            b"m4a" => Format::new(Kind::Reused, c"audio/mp4"),
            b"key" => Format::new(Kind::Key, c"application/octet-stream"),
            _ => return None,
        })
    }
}

/// What the file of a path is; `None` for everything that is not part of a stream, for hidden files
/// and directories, and for names with control characters.
pub fn classify(path: &[u8]) -> Option<Format> {
    let (b'/', names) = path.split_first()? else { return None };
    let mut begins = true;
    let mut extension: Option<&[u8]> = None;
    for (at, &byte) in names.iter().enumerate() {
        // letters, digits and whatever else is above "/"
        if byte > b'/' && byte != DELETE {
            begins = false;
            continue;
        }
        match byte {
            b'/' | b'.' if begins => return None,
            b'/' => extension = None,
            b'.' => extension = names.get(at + 1..),
            _ if byte.is_ascii_control() => return None,
            _ => {}
        }
        begins = byte == b'/';
    }
    Format::by_extension(extension?)
}

/// Whose stream a file belongs to: the first directory below the location's prefix, or, for a
/// file that lies directly there, its name without extension. Segments and keys have a number
/// behind the name there (`benw-17.ts`), DASH ones also `init`; playlists do not, so that
/// `team-2.m3u8` is the playlist of `team-2`.
pub fn stream<'a>(path: &'a [u8], prefix: &[u8], kind: Kind) -> Option<&'a str> {
    let below = below(path, prefix)?;
    let name = match below.iter().position(|&byte| byte == b'/') {
        Some(end) => &below[..end],
        None => {
            let (name, _) = split_last(below, b'.')?;
            match kind {
                Kind::Playlist => name,
                _ => without_number(name),
            }
        }
    };
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
}

/// What follows the prefix of a location. One that does not end in a slash, `location /live`, also
/// matches `/livestock`, which is not below it.
fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix)?;
    if prefix.ends_with(b"/") { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// Whether a path leaves the location's directory by way of a prefix that does not end in a slash:
/// for `location /live` with `alias /srv/hls/`, nginx makes `/srv/hls/../` of `/live../`.
pub fn escapes(path: &[u8], prefix: &[u8]) -> bool {
    !prefix.ends_with(b"/") && path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(b".."))
}

fn without_number(name: &[u8]) -> &[u8] {
    match split_last(name, b'-') {
        Some((before, last))
            if last == b"init" || (!last.is_empty() && last.iter().all(u8::is_ascii_digit)) =>
        {
            before
        }
        _ => name,
    }
}

fn split_last(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().rposition(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests;
