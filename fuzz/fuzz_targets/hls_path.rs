//! What an HTTP request's path is, and whose stream it belongs to. Input: a location's prefix, a line
//! end, a path.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use stagedoor_core::hls::path::{classify, escapes, stream};

const EXTENSIONS: [&[u8]; 10] =
    [b"m3u8", b"mpd", b"ts", b"m4s", b"mp4", b"aac", b"vtt", b"m4v", b"m4a", b"key"];

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return };
    let (prefix, path) = (&data[..end], &data[end + 1..]);
    let leaves = escapes(path, prefix);
    let Some(format) = classify(path) else { return };

    assert_eq!(path[0], b'/');
    assert!(path[1..].split(|&byte| byte == b'/').all(|name| !name.is_empty() && name[0] != b'.'));
    assert!(!path.iter().any(u8::is_ascii_control));
    assert!(EXTENSIONS.iter().any(|extension| path.ends_with(extension)));

    let Some(name) = stream(path, prefix, format.kind) else { return };
    assert!(path.starts_with(prefix));
    if !leaves {
        let parts: Vec<_> = Path::new(name).components().collect();
        assert_eq!(parts, [Component::Normal(name.as_ref())], "a name is one directory");
        assert!(path.windows(name.len()).any(|part| part == name.as_bytes()));
    }
});
