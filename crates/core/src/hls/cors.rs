//! CORS (Fetch standard, "CORS protocol"): which pages may read an answer.

use std::borrow::Cow;

/// What preflights are told a player may ask with. All that a player needs is here: byte ranges,
/// conditional requests, and a token for `auth_basic` or `auth_request`.
pub const ALLOWED_HEADERS: &str = "Authorization, If-Modified-Since, If-None-Match, Range";

/// What a page may read beyond the few headers that it always may.
pub const EXPOSED_HEADERS: &str = "Content-Length, Content-Range, Date";

/// How long a browser may keep a preflight's answer, in seconds. Browsers cap it by themselves.
pub const PREFLIGHT_MAX_AGE: &str = "86400";

/// What an origin looks like, for a configuration error.
pub const EXPECTED: &str =
    "\"off\", \"*\" or origins such as \"https://tv.example.com\", without a path";

/// The pages that may read answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// Those of the same origin only; no header is sent.
    #[default]
    Off,
    /// All.
    Any,
    /// Those of these origins, of which there is at least one.
    Origins(Vec<String>),
}

impl Cors {
    /// Reads the arguments of `stagedoor_hls_cors`.
    ///
    /// # Errors
    ///
    /// The index of the first word that is not [`EXPECTED`].
    pub fn parse(words: &[String]) -> Result<Cors, usize> {
        match words {
            [word] if word == "off" => return Ok(Cors::Off),
            [word] if word == "*" => return Ok(Cors::Any),
            _ => {}
        }
        match words.iter().position(|word| !is_origin(word)) {
            Some(index) => Err(index),
            None if words.is_empty() => Err(0),
            None => Ok(Cors::Origins(words.iter().map(|word| word.to_ascii_lowercase()).collect())),
        }
    }

    /// The value of `Access-Control-Allow-Origin` for a request from `origin`.
    pub fn allowed(&self, origin: Option<&[u8]>) -> Option<&str> {
        match self {
            Cors::Off => None,
            Cors::Any => Some("*"),
            Cors::Origins(origins) => match origins.as_slice() {
                // One is told to everybody, so that caches need not tell origins apart.
                [only] => Some(only),
                _ => {
                    let origin = origin?;
                    let is_it = |known: &&String| known.as_bytes().eq_ignore_ascii_case(origin);
                    origins.iter().find(is_it).map(String::as_str)
                }
            },
        }
    }

    /// Whether the answer depends on the request's origin.
    pub fn varies(&self) -> bool {
        matches!(self, Cors::Origins(origins) if origins.len() > 1)
    }
}

/// `Vary` with `Origin` in it, beside what is there.
pub fn vary<'a>(present: impl Iterator<Item = &'a [u8]>) -> Cow<'static, str> {
    let mut fields: Vec<String> = Vec::new();
    for value in present {
        for field in String::from_utf8_lossy(value).split(',').map(str::trim) {
            if field == "*" {
                return Cow::Borrowed("*");
            }
            let is_new = fields.iter().all(|known| !known.eq_ignore_ascii_case(field));
            if is_new && !field.is_empty() && !field.eq_ignore_ascii_case("origin") {
                fields.push(field.to_owned());
            }
        }
    }
    if fields.is_empty() {
        return Cow::Borrowed("Origin");
    }
    fields.push("Origin".to_owned());
    Cow::Owned(fields.join(", "))
}

/// `scheme://host` or `scheme://host:port`, as browsers write it. `null` is none: every sandboxed
/// page has it.
fn is_origin(word: &str) -> bool {
    let Some((scheme, authority)) = word.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
        && !host.is_empty()
        && host.bytes().all(|c| {
            c.is_ascii_alphanumeric() || b"-._".contains(&c) || is_ipv6 && b":[]".contains(&c)
        })
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cors, usize> {
        Cors::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn nobody_everybody_or_a_list() {
        assert_eq!(parse(&["off"]), Ok(Cors::Off));
        assert_eq!(parse(&["*"]), Ok(Cors::Any));
        assert_eq!(
            parse(&["https://TV.example.com", "http://[::1]:8080", "capacitor://localhost"]),
            Ok(Cors::Origins(vec![
                "https://tv.example.com".to_owned(),
                "http://[::1]:8080".to_owned(),
                "capacitor://localhost".to_owned()
            ]))
        );
    }

    #[test]
    fn what_no_browser_would_send_is_a_mistake() {
        for word in [
            "null",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/path",
            "https://user@example.com",
            "https://*.example.com",
            "https://example.com:0",
            "https://example.com:port",
            "https://exa mple.com",
            "://example.com",
            "",
        ] {
            assert_eq!(parse(&["https://a.example", word]), Err(1), "{word}");
        }
        assert_eq!(parse(&["*", "https://a.example"]), Err(0));
        assert_eq!(parse(&["https://a.example", "off"]), Err(1));
    }

    #[test]
    fn one_origin_is_told_to_everybody_and_several_to_themselves() {
        let one = parse(&["https://a.example"]).unwrap();
        assert_eq!(one.allowed(None), Some("https://a.example"));
        assert_eq!(one.allowed(Some(b"https://b.example")), Some("https://a.example"));
        assert!(!one.varies());
        let two = parse(&["https://a.example", "https://b.example"]).unwrap();
        assert_eq!(two.allowed(Some(b"https://b.example")), Some("https://b.example"));
        assert_eq!(two.allowed(Some(b"https://c.example")), None);
        assert_eq!(two.allowed(None), None);
        assert!(two.varies());
    }

    #[test]
    fn vary_keeps_what_is_there_and_names_origin_once() {
        let vary = |values: &[&str]| vary(values.iter().map(|value| value.as_bytes()));
        assert_eq!(vary(&[]), "Origin");
        assert_eq!(vary(&["Accept-Encoding"]), "Accept-Encoding, Origin");
        assert_eq!(vary(&["origin, Accept", "X-A"]), "Accept, X-A, Origin");
        assert_eq!(vary(&["Accept", "accept"]), "Accept, Origin");
        assert_eq!(vary(&["Accept", "*"]), "*");
    }
}
