//! Where a stream's playlist is to be had.

use std::fmt::Write;

use thiserror::Error;

/// A playlist's URL, in which `$app` and `$username` stand for those of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaylistUrl {
    /// There is none to link to.
    Off,
    /// It is made of these parts.
    Of(Vec<Part>),
}

/// A part of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The application's name.
    App,
    /// The streamer's.
    Username,
}

/// What is wrong with a URL; completes a sentence that begins with "expected".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PlaylistUrlError {
    /// It could be anything, a script for one.
    #[error("\"off\" or a URL that begins with \"/\", \"http://\" or \"https://\"")]
    Start,
    /// There are no others.
    #[error("no other variables than \"$app\" and \"$username\"")]
    Variable,
}

impl Default for PlaylistUrl {
    /// `/$app/$username/index.m3u8`: nginx-rtmp's `hls_nested on`, below a location that is named as
    /// the application.
    fn default() -> PlaylistUrl {
        let text = |text: &str| Part::Text(text.to_owned());
        PlaylistUrl::Of(vec![text("/"), Part::App, text("/"), Part::Username, text("/index.m3u8")])
    }
}

impl PlaylistUrl {
    /// Reads it as the directive has it.
    ///
    /// # Errors
    ///
    /// [`PlaylistUrlError`].
    pub fn parse(value: &str) -> Result<PlaylistUrl, PlaylistUrlError> {
        if value == "off" {
            return Ok(PlaylistUrl::Off);
        }
        // "//host" is another server's, by whatever scheme: allowed, and no script.
        if !["/", "http://", "https://"].iter().any(|start| value.starts_with(start)) {
            return Err(PlaylistUrlError::Start);
        }
        let mut words = value.split('$');
        let first = words.next().unwrap_or_default();
        let mut parts = vec![Part::Text(first.to_owned())];
        for word in words {
            let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let (name, rest) = word.split_at(end.unwrap_or(word.len()));
            parts.push(match name {
                "app" => Part::App,
                "username" => Part::Username,
                _ => return Err(PlaylistUrlError::Variable),
            });
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(PlaylistUrl::Of(parts))
    }

    /// The URL of a stream's playlist.
    pub fn of(&self, app: &str, username: &str) -> Option<String> {
        let PlaylistUrl::Of(parts) = self else { return None };
        let mut url = String::new();
        for part in parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::App => push_escaped(&mut url, app),
                Part::Username => push_escaped(&mut url, username),
            }
        }
        Some(url)
    }
}

/// Appends a text as one segment of a path (RFC 3986, sections 2.3 and 3.3): unreserved characters,
/// and `@` and `+`, which usernames hold, as they are.
fn push_escaped(url: &mut String, text: &str) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@+".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}"); // a String takes everything
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_is_the_nested_layout_below_the_applications_name() {
        let url = PlaylistUrl::default();
        assert_eq!(url.of("live", "benw").as_deref(), Some("/live/benw/index.m3u8"));
        assert_eq!(
            PlaylistUrl::parse("/$app/$username/index.m3u8").unwrap().of("a", "b"),
            url.of("a", "b")
        );
    }

    #[test]
    fn app_and_username_stand_anywhere_and_any_number_of_times() {
        let url = |value: &str| PlaylistUrl::parse(value).unwrap().of("live", "benw").unwrap();
        assert_eq!(
            url("https://cdn.example.com/$username-$app.m3u8?u=$username"),
            "https://cdn.example.com/benw-live.m3u8?u=benw"
        );
        assert_eq!(url("/watch"), "/watch");
        assert_eq!(PlaylistUrl::parse("off").unwrap().of("live", "benw"), None);
    }

    #[test]
    fn what_is_no_url_or_has_other_variables_is_refused() {
        for value in ["", "live", "javascript:alert(1)", "$app/x", "HTTPS://x"] {
            assert_eq!(PlaylistUrl::parse(value), Err(PlaylistUrlError::Start), "{value}");
        }
        for value in ["/$", "/$ap/x", "/$apps", "/$username_", "/${app}"] {
            assert_eq!(PlaylistUrl::parse(value), Err(PlaylistUrlError::Variable), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_application_is_called_it_is_one_segment(app in "\\PC{0,40}|[/?#%\"'<>\\\\.]{1,8}") {
            let url = PlaylistUrl::default().of(&app, "benw").unwrap();
            prop_assert_eq!(url.matches('/').count(), 3);
            prop_assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"/%-._~@+".contains(&b)));
        }
    }
}
