//! Who gets an answer: files of streams only, by GET, HEAD and OPTIONS, and, where it is asked for,
//! only of streams that are live.

use stagedoor_core::hls::{self, path};

use super::hls_conf;
use super::stream::Requested;
use crate::ffi::phases::{Handler, Outcome};
use crate::ffi::request::{Method, Request};
use crate::live;

const NO_CONTENT: u16 = 204;
const NOT_FOUND: u16 = 404;
const NOT_ALLOWED: u16 = 405;
const INTERNAL_SERVER_ERROR: u16 = 500;

/// What the path and the method decide, before nginx's own access modules are asked: a preflight
/// has no password (Fetch standard, "CORS-preflight fetch"), and they need not be asked about what
/// is not served to anybody.
pub(super) struct Paths;

impl Handler for Paths {
    const WHAT: &'static str = "a path's check";
    const FALLBACK: Outcome = Outcome::Status(INTERNAL_SERVER_ERROR);

    fn handle(request: Request) -> Outcome {
        let Some(conf) = hls_conf(request) else { return Outcome::GoOn };
        let Some(requested) = Requested::of(request, conf) else { return Self::FALLBACK };
        let escapes = |prefix| path::escapes(request.path(), prefix);
        if requested.format().is_none() || conf.prefix().is_some_and(escapes) {
            return Outcome::Status(NOT_FOUND);
        }
        match request.method() {
            // Not "allowed": with "satisfy any" that would let everybody in.
            Method::Read => Outcome::GoOn,
            Method::Options => Outcome::Status(NO_CONTENT),
            Method::Other => Outcome::Status(NOT_ALLOWED),
        }
    }
}

/// What the registry decides, for `stagedoor_hls_require_live`: after the access modules, so that
/// only who may watch is told who is live.
pub(super) struct LiveOnly;

impl Handler for LiveOnly {
    const WHAT: &'static str = "a live stream's check";
    const FALLBACK: Outcome = Outcome::Status(INTERNAL_SERVER_ERROR);

    fn handle(request: Request) -> Outcome {
        let Some(conf) = hls_conf(request).filter(|conf| conf.requires_live()) else {
            return Outcome::GoOn;
        };
        let Some(requested) = Requested::of(request, conf) else { return Self::FALLBACK };
        if hls::is_served(requested.presence(), conf.linger(), live::microseconds_since_1970) {
            return Outcome::GoOn;
        }
        let name = requested.name().unwrap_or_default();
        request.log().info(format_args!("stagedoor: no live stream \"{}\"", name.escape_debug()));
        Outcome::Status(NOT_FOUND)
    }
}
