//! How long an answer may be used without asking again, and the header lines that say so.

use super::path::Kind;

/// What a directive says about freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As long as nginx's `expires max`.
    Max,
    /// That many seconds.
    Seconds(u32),
    /// Kept, but not used without asking.
    Off,
}

/// The `Expires` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// There is none.
    Absent,
    /// This date.
    At(&'static str),
    /// So many seconds from now.
    In(i64),
}

/// `Cache-Control` and `Expires` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheHeaders {
    /// The value of `Cache-Control`.
    pub cache_control: String,
    /// The value of `Expires`, for caches that know HTTP/1.0 only.
    pub expires: Expires,
}

/// nginx's `expires max`: ten years, and the last moment but a few hours of a 32-bit clock
/// (ngx_http_headers_filter_module.c).
const MAX_AGE: u32 = 315_360_000;
const MAX_EXPIRES: &str = "Thu, 31 Dec 2037 23:55:55 GMT";

/// nginx's `expires -1d`.
const PAST: i64 = -86_400;

/// The header lines of all answers of a location, made once when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caching {
    segment: CacheHeaders,
    manifest: CacheHeaders,
    error: CacheHeaders,
    key: CacheHeaders,
    failure: CacheHeaders,
}

impl Caching {
    /// What `stagedoor_hls_segment_cache`, `…_manifest_cache` and `…_error_cache` ask for.
    pub fn new(segment: Freshness, manifest: Freshness, error: Freshness) -> Caching {
        Caching {
            segment: CacheHeaders::new(segment, "public, ", ", immutable"),
            manifest: CacheHeaders::new(manifest, "", ""),
            error: CacheHeaders::new(error, "", ""),
            key: CacheHeaders::never("private, no-store"),
            failure: CacheHeaders::never("no-store"),
        }
    }

    /// The lines of an answer with this status, for what the path is; `None` leaves an answer as it
    /// is. A status other than 200, 206 and 304 never gets the freshness of the file, nor does an
    /// answer that is not the file, by `error_page` or to another method; 204 answers OPTIONS.
    pub fn headers(&self, status: u16, kind: Option<Kind>, is_file: bool) -> Option<&CacheHeaders> {
        match (status, kind) {
            (200 | 206 | 304, Some(_)) if !is_file => Some(&self.failure),
            (200 | 206 | 304, Some(Kind::Segment)) => Some(&self.segment),
            (200 | 206 | 304, Some(Kind::Playlist | Kind::Reused)) => Some(&self.manifest),
            (200 | 206 | 304, Some(Kind::Key)) => Some(&self.key),
            (403 | 404 | 410, _) => Some(&self.error),
            (204 | 400..=599, _) => Some(&self.failure),
            _ => None,
        }
    }
}

impl CacheHeaders {
    fn new(freshness: Freshness, before: &str, behind: &str) -> CacheHeaders {
        let (seconds, expires) = match freshness {
            Freshness::Max => (MAX_AGE, Expires::At(MAX_EXPIRES)),
            Freshness::Seconds(seconds @ 1..) => (seconds, Expires::In(i64::from(seconds))),
            Freshness::Seconds(0) | Freshness::Off => {
                let cache_control = "no-cache".to_owned();
                return CacheHeaders { cache_control, expires: Expires::In(PAST) };
            }
        };
        CacheHeaders { cache_control: format!("{before}max-age={seconds}{behind}"), expires }
    }

    fn never(cache_control: &str) -> CacheHeaders {
        CacheHeaders { cache_control: cache_control.to_owned(), expires: Expires::Absent }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn defaults() -> Caching {
        Caching::new(Freshness::Max, Freshness::Off, Freshness::Seconds(1))
    }

    fn lines(caching: &Caching, status: u16, kind: Kind) -> Option<(&str, Expires)> {
        let headers = caching.headers(status, Some(kind), true)?;
        Some((headers.cache_control.as_str(), headers.expires))
    }

    #[test]
    fn a_segment_is_fresh_for_as_long_as_expires_max() {
        let expected =
            ("public, max-age=315360000, immutable", Expires::At("Thu, 31 Dec 2037 23:55:55 GMT"));
        for status in [200, 206, 304] {
            assert_eq!(lines(&defaults(), status, Kind::Segment), Some(expected));
        }
    }

    #[test]
    fn a_playlist_and_a_name_that_comes_again_are_asked_for_each_time() {
        for kind in [Kind::Playlist, Kind::Reused] {
            assert_eq!(lines(&defaults(), 200, kind), Some(("no-cache", Expires::In(-86_400))));
        }
    }

    #[test]
    fn times_of_directives_become_max_age() {
        let caching =
            Caching::new(Freshness::Seconds(60), Freshness::Seconds(2), Freshness::Seconds(5));
        assert_eq!(
            lines(&caching, 200, Kind::Segment),
            Some(("public, max-age=60, immutable", Expires::In(60)))
        );
        assert_eq!(lines(&caching, 206, Kind::Playlist), Some(("max-age=2", Expires::In(2))));
        assert_eq!(lines(&caching, 404, Kind::Segment), Some(("max-age=5", Expires::In(5))));
    }

    #[test]
    fn no_time_at_all_is_off() {
        let zero = Freshness::Seconds(0);
        assert_eq!(
            Caching::new(zero, zero, zero),
            Caching::new(Freshness::Off, Freshness::Off, Freshness::Off)
        );
    }

    #[test]
    fn a_key_is_never_stored() {
        assert_eq!(
            lines(&defaults(), 200, Kind::Key),
            Some(("private, no-store", Expires::Absent))
        );
    }

    #[test]
    fn an_answer_to_options_is_not_stored_and_a_redirect_stays_as_it_is() {
        assert_eq!(lines(&defaults(), 204, Kind::Segment), Some(("no-store", Expires::Absent)));
        assert_eq!(lines(&defaults(), 302, Kind::Segment), None);
        assert_eq!(defaults().headers(200, None, true), None);
    }

    proptest! {
        #[test]
        fn no_error_is_fresher_than_the_error_cache(
            segment in any::<u32>(), error in 0..100_u32, status in 400..600_u16, kind in 0..5_usize,
        ) {
            let kind = [Some(Kind::Segment), Some(Kind::Playlist), Some(Kind::Reused),
                Some(Kind::Key), None][kind];
            let caching =
                Caching::new(Freshness::Seconds(segment), Freshness::Max, Freshness::Seconds(error));
            let headers = caching.headers(status, kind, true).unwrap();
            let age = headers.cache_control.strip_prefix("max-age=");
            match age {
                Some(age) => prop_assert_eq!(age.parse::<u32>().unwrap(), error),
                None => prop_assert!(headers.cache_control.starts_with("no-")),
            }
        }
    }

    #[test]
    fn what_is_not_the_file_is_never_kept_as_the_file() {
        let caching = defaults();
        for kind in [Kind::Segment, Kind::Playlist, Kind::Reused, Kind::Key] {
            let headers = caching.headers(200, Some(kind), false).unwrap();
            assert_eq!(headers.cache_control, "no-store");
        }
        assert_eq!(caching.headers(404, Some(Kind::Segment), false), Some(&caching.error));
    }
}
