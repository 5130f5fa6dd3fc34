//! What a username, a stream key, a digest, a limit and an address are. Input: the text.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use stagedoor_core::key::{KeyDigest, StreamKey};
use stagedoor_core::limit::{Limit, Source};
use stagedoor_core::username::Username;

fuzz_target!(|data: &[u8]| {
    let is_key = (1..=255).contains(&data.len()) && !data.iter().any(u8::is_ascii_control);
    let key = StreamKey::parse(data);
    assert_eq!(key.is_ok(), is_key);
    if let Ok(key) = key {
        assert_eq!(key.expose(), data);
        let digest = key.digest();
        assert_eq!(digest, KeyDigest::of(data));
        assert_eq!(KeyDigest::from_hex(digest.to_hex().as_bytes()), Some(digest));
    }
    if let Some(digest) = KeyDigest::from_hex(data) {
        assert!(digest.to_hex().as_bytes().eq_ignore_ascii_case(data));
    }

    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_name = (1..=64).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.@+-".contains(c));
    assert_eq!(Username::parse(text).is_ok(), is_name);
    if is_name {
        let parts: Vec<_> = Path::new(text).components().collect();
        assert_eq!(parts, [Component::Normal(text.as_ref())]);
    }
    if let Some(limit) = Limit::parse(text) {
        assert!(limit.to_string().ends_with(" burst=10"));
    }
    if let Some(limit) = Limit::default().with_burst(text) {
        let burst = text["burst=".len()..].trim_start_matches('0');
        assert_eq!(limit.to_string(), format!("30r/m burst={burst}"));
    }
    if Source::of(text).is_some() {
        assert!(text.parse::<std::net::IpAddr>().is_ok());
    }
});
