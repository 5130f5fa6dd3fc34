//! The configuration of a location that serves HLS.

use std::ffi::CStr;
use std::time::Duration;

use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_TAKE1, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET,
    NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, ngx_command_t,
};
use stagedoor_core::hls::cors::{self, Cors};
use stagedoor_core::hls::freshness::{Caching, Freshness};
use thiserror::Error;

use super::{LocationConf, status};
use crate::core::CoreConf;
use crate::ffi::conf::{Conf, Directive, Mistake, command, once};
use crate::ffi::location::Place;
use crate::ffi::module::NO_COMMAND;
use crate::ffi::variables::ComplexValue;

const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;
const LOC_CONF: usize = NGX_HTTP_LOC_CONF_OFFSET;

const DEFAULT_SEGMENT_CACHE: Freshness = Freshness::Max;
const DEFAULT_MANIFEST_CACHE: Freshness = Freshness::Off;
const DEFAULT_ERROR_CACHE: Freshness = Freshness::Seconds(1);
const DEFAULT_LINGER: Duration = Duration::from_secs(30);

/// The directives, for nginx's table.
pub(super) const COMMANDS: [ngx_command_t; 10] = [
    command::<Enable>(LOC_CONF),
    command::<Stream>(LOC_CONF),
    command::<SegmentCache>(LOC_CONF),
    command::<ManifestCache>(LOC_CONF),
    command::<ErrorCache>(LOC_CONF),
    command::<CorsOrigins>(LOC_CONF),
    command::<RequireLive>(LOC_CONF),
    command::<Linger>(LOC_CONF),
    status::COMMAND,
    NO_COMMAND,
];

/// What is configured, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct HlsConf {
    enable: Option<bool>,
    stream: Option<ComplexValue>,
    segment_cache: Option<Freshness>,
    manifest_cache: Option<Freshness>,
    error_cache: Option<Freshness>,
    cors: Option<Cors>,
    /// With the place where it stands.
    require_live: Option<(bool, String)>,
    linger: Option<Duration>,
    prefix: Prefix,
    /// Made of the three above once they are merged, where the location is enabled.
    caching: Option<Caching>,
}

/// What the paths of a location begin with.
#[derive(Clone, Debug, Default)]
enum Prefix {
    /// No location was found for the request: it is the server's.
    #[default]
    Server,
    Location(Vec<u8>),
    Unknown,
}

/// A location is configured for what it cannot do.
#[derive(Debug, Error)]
#[error(
    "\"stagedoor_hls_require_live on\" in {0} needs \"stagedoor_hls_stream\" in each location that \
     is a regular expression, an exact path or a name: their paths do not say whose stream a file \
     is; where none is served, say \"stagedoor_hls off\""
)]
pub(super) struct NoStream(String);

impl HlsConf {
    pub(super) fn is_enabled(&self) -> bool {
        self.caching.is_some()
    }

    /// The value of `stagedoor_hls_stream`.
    pub(super) fn stream(&self) -> Option<&ComplexValue> {
        self.stream.as_ref()
    }

    /// What the location's paths begin with, if that is known.
    pub(super) fn prefix(&self) -> Option<&[u8]> {
        match &self.prefix {
            Prefix::Server => Some(b"/"),
            Prefix::Location(prefix) => Some(prefix),
            Prefix::Unknown => None,
        }
    }

    pub(super) fn caching(&self) -> Option<&Caching> {
        self.caching.as_ref()
    }

    pub(super) fn cors(&self) -> &Cors {
        self.cors.as_ref().unwrap_or(&Cors::Off)
    }

    /// Whether only streams that are live, or were a moment ago, are served.
    pub(super) fn requires_live(&self) -> bool {
        matches!(self.require_live, Some((true, _)))
    }

    pub(super) fn linger(&self) -> Duration {
        self.linger.unwrap_or(DEFAULT_LINGER)
    }

    /// Takes over what the place around this one says.
    pub(super) fn merge(&mut self, cf: &Conf<'_>, outer: &HlsConf) -> Result<(), NoStream> {
        self.enable = self.enable.or(outer.enable);
        self.stream = self.stream.or(outer.stream);
        self.segment_cache = self.segment_cache.or(outer.segment_cache);
        self.manifest_cache = self.manifest_cache.or(outer.manifest_cache);
        self.error_cache = self.error_cache.or(outer.error_cache);
        self.cors = self.cors.take().or_else(|| outer.cors.clone());
        self.require_live = self.require_live.take().or_else(|| outer.require_live.clone());
        self.linger = self.linger.or(outer.linger);
        self.prefix = match (Place::of(cf), &outer.prefix) {
            (Place::Outside, _) => Prefix::Server,
            (Place::Prefix(prefix), _) => Prefix::Location(prefix),
            (Place::Other, Prefix::Server) => Prefix::Unknown,
            (Place::Other | Place::Inner, around) => around.clone(),
        };
        if self.enable != Some(true) {
            return Ok(());
        }
        self.caching = Some(Caching::new(
            self.segment_cache.unwrap_or(DEFAULT_SEGMENT_CACHE),
            self.manifest_cache.unwrap_or(DEFAULT_MANIFEST_CACHE),
            self.error_cache.unwrap_or(DEFAULT_ERROR_CACHE),
        ));
        if let Some((true, place)) = &self.require_live {
            CoreConf::need_registry(cf, || format!("\"stagedoor_hls_require_live on\" in {place}"));
            if self.prefix().is_none() && self.stream.is_none() {
                return Err(NoStream(place.clone()));
            }
        }
        Ok(())
    }
}

struct Enable;

impl Directive for Enable {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        once(&mut conf.hls.enable, cf.flag()?)
    }
}

struct Stream;

impl Directive for Stream {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_stream";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        if cf.word(1).is_empty() {
            return Err(cf.value(1, "a name with variables in it, such as \"$1\""));
        }
        once(&mut conf.hls.stream, ComplexValue::first_argument(cf)?)
    }
}

struct SegmentCache;

impl Directive for SegmentCache {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_segment_cache";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        let freshness = freshness(cf, "max", Freshness::Max)?;
        once(&mut conf.hls.segment_cache, freshness)
    }
}

struct ManifestCache;

impl Directive for ManifestCache {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_manifest_cache";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        let freshness = freshness(cf, "off", Freshness::Off)?;
        once(&mut conf.hls.manifest_cache, freshness)
    }
}

struct ErrorCache;

impl Directive for ErrorCache {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_error_cache";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        let freshness = freshness(cf, "off", Freshness::Off)?;
        once(&mut conf.hls.error_cache, freshness)
    }
}

struct CorsOrigins;

impl Directive for CorsOrigins {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_cors";
    const KIND: u32 = ANYWHERE | NGX_CONF_1MORE;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        let words: Vec<String> = (1..cf.words()).map(|index| cf.word(index)).collect();
        let origins = Cors::parse(&words).map_err(|index| cf.value(index + 1, cors::EXPECTED))?;
        once(&mut conf.hls.cors, origins)
    }
}

struct RequireLive;

impl Directive for RequireLive {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_require_live";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        once(&mut conf.hls.require_live, (cf.flag()?, cf.place()))
    }
}

struct Linger;

impl Directive for Linger {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_hls_linger";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        once(&mut conf.hls.linger, cf.time("a time such as \"30s\", or 0")?)
    }
}

/// A time in whole seconds, as `max-age` counts them, or the `word` that stands for something else.
fn freshness(cf: &Conf<'_>, word: &str, meaning: Freshness) -> Result<Freshness, Mistake> {
    if cf.word(1) == word {
        return Ok(meaning);
    }
    let expected = format!("\"{word}\" or a time in whole seconds such as \"10s\" or \"1h\"");
    cf.seconds(&expected).map(Freshness::Seconds)
}
