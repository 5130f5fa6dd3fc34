//! The status as a page. The page itself is always the same: style, script, and a place for the
//! first JSON, which the script shows and then keeps fetching. What comes from outside is text to
//! the script, never markup.

use sha2::{Digest, Sha256};

use super::playlist::PlaylistUrl;
use super::{Status, json};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page with the status of now.
pub(super) fn page(status: &Status, playlists: &PlaylistUrl) -> Option<String> {
    let data = json::document(status, playlists)?;
    let mut out = String::new();
    out.try_reserve_exact(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len()).ok()?;
    let mut rest = PAGE;
    for (place, text) in [("{style}", STYLE), ("{data}", &data), ("{script}", SCRIPT)] {
        let Some((before, after)) = rest.split_once(place) else { continue };
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// What a browser may do with the page, as the header `Content-Security-Policy` has it (level 3): run and apply what is
/// in it, known by its hash, and ask this server.
pub fn policy() -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0u32, |bits, (at, &b)| bits | u32::from(b) << (16 - 8 * at));
        for at in 0..4 {
            out.push(match at <= chunk.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]),
                false => '=',
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let encoded =
            ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|s| base64(s.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&Status::default(), &PlaylistUrl::default()).unwrap();
        for (text, times) in
            [("<style>", 1), ("<script>", 1), ("<script", 2), ("</script>", 2), ("{", 0)]
        {
            let markup = page.replace(STYLE, "").replace(SCRIPT, "");
            let data = markup.find("id=\"data\">").map_or("", |at| &markup[at..]);
            let data = data.split("</script>").next().unwrap_or_default();
            assert_eq!(markup.replace(data, "").matches(text).count(), times, "{text}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("</"));
    }
}
