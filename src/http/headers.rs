//! The header lines of every answer: how long it is fresh, what it is, and which pages may read it.
//!
//! Runs behind nginx's own headers filter, whose `expires` and `add_header` lines it replaces.

use std::borrow::Cow;

use stagedoor_core::hls::cors::{self, Cors};
use stagedoor_core::hls::freshness::{CacheHeaders, Expires};

use super::hls_conf;
use super::stream::Requested;
use crate::ffi::answer::http_date;
use crate::ffi::phases::HeaderFilter;
use crate::ffi::request::{Method, NoMemory, Request};

const METHODS: &[u8] = b"GET, HEAD, OPTIONS";

/// The headers of a location that serves HLS.
pub(super) struct HlsHeaders;

impl HeaderFilter for HlsHeaders {
    fn edit(request: Request) -> Result<(), NoMemory> {
        let Some(conf) = hls_conf(request).filter(|_| request.is_main()) else { return Ok(()) };
        let format = Requested::of(request, conf).ok_or(NoMemory)?.format();
        let status = request.status();
        let is_file = request.method() == Method::Read && !request.is_substitute();
        let kind = format.map(|format| format.kind);
        let headers = conf.caching().and_then(|caching| caching.headers(status, kind, is_file));
        if let Some(headers) = headers {
            set_freshness(request, headers)?;
        }
        if let (200 | 206, Some(format)) = (status, format)
            && !request.is_multipart()
        {
            request.set_content_type(format.mime);
        }
        let is_preflight = request.method() == Method::Options && status == 204;
        if is_preflight || status == 405 {
            request.set_static_header(c"Allow", METHODS)?;
        }
        set_cors(request, conf.cors(), is_preflight)
    }
}

fn set_freshness(request: Request, headers: &CacheHeaders) -> Result<(), NoMemory> {
    request.set_cache_control(headers.cache_control.as_bytes())?;
    match headers.expires {
        Expires::Absent => {
            request.remove_expires();
            Ok(())
        }
        Expires::At(date) => request.set_expires(date.as_bytes()),
        Expires::In(seconds) => request.set_expires(&http_date(seconds)),
    }
}

fn set_cors(request: Request, cors: &Cors, is_preflight: bool) -> Result<(), NoMemory> {
    if *cors == Cors::Off {
        return Ok(());
    }
    if cors.varies() {
        match cors::vary(request.answer_header(c"Vary")) {
            Cow::Borrowed(value) => request.set_static_header(c"Vary", value.as_bytes())?,
            Cow::Owned(value) => request.set_header(c"Vary", value.as_bytes())?,
        }
    }
    let Some(origin) = cors.allowed(request.header(c"Origin")) else {
        request.remove_header(c"Access-Control-Allow-Origin");
        return Ok(());
    };
    request.set_header(c"Access-Control-Allow-Origin", origin.as_bytes())?;
    if is_preflight {
        request.set_static_header(c"Access-Control-Allow-Methods", METHODS)?;
        let allowed = cors::ALLOWED_HEADERS.as_bytes();
        request.set_static_header(c"Access-Control-Allow-Headers", allowed)?;
        request.set_static_header(c"Access-Control-Max-Age", cors::PREFLIGHT_MAX_AGE.as_bytes())
    } else {
        let exposed = cors::EXPOSED_HEADERS.as_bytes();
        request.set_static_header(c"Access-Control-Expose-Headers", exposed)
    }
}
