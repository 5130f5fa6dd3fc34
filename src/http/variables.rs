//! `$stagedoor_stream` and `$stagedoor_live`.

use std::ffi::CStr;

use stagedoor_core::registry::Presence;

use super::hls_conf;
use super::stream::Requested;
use crate::ffi::request::Request;
use crate::ffi::variables::Variable;

/// The stream that a request is for.
pub(super) struct Stream;

impl Variable for Stream {
    const NAME: &'static CStr = c"stagedoor_stream";

    fn value<'a>(request: Request) -> Option<&'a [u8]> {
        let requested = Requested::of(request, hls_conf(request)?)?;
        requested.name().map(str::as_bytes)
    }
}

/// Whether it is live at this moment: `1` or `0`.
pub(super) struct Live;

impl Variable for Live {
    const NAME: &'static CStr = c"stagedoor_live";

    fn value<'a>(request: Request) -> Option<&'a [u8]> {
        let requested = Requested::of(request, hls_conf(request)?)?;
        requested.name()?;
        Some(if requested.presence() == Presence::Live { b"1" } else { b"0" })
    }
}
