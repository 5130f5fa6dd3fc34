//! Which playlists are one file, so that one stream writes it.

/// The parts of a path that tell files apart: `a//b` and `./a/b` lead to where `a/b` does, and
/// nginx-rtmp takes a stream's name as it comes (ngx_rtmp_hls_module.c, ngx_rtmp_hls_publish). It
/// refuses "..", and links are the operator's own.
pub fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_one(a: &str, b: &str) -> bool {
        parts(a.as_bytes()).eq(parts(b.as_bytes()))
    }

    #[test]
    fn a_name_that_begins_with_slashes_or_dots_is_the_name() {
        for name in ["/x", "//x", "./x", "/./x", ".//./x"] {
            assert!(is_one(&format!("/tmp/hls/{name}.m3u8"), "/tmp/hls/x.m3u8"), "{name}");
        }
    }

    #[test]
    fn other_names_are_others() {
        for name in ["x/y", "y/x", ".x", "x.", "..x", "xx", "X"] {
            assert!(!is_one(&format!("/tmp/hls/{name}.m3u8"), "/tmp/hls/x.m3u8"), "{name}");
        }
    }
}
