//! The playlist of a stream that has ended goes out closed, so that players end as well.
//!
//! The closed playlist is another entity than the file: longer, and with a tag of its own. It is
//! answered from memory, before nginx's static module would open the file; everything behind, from
//! conditional requests and ranges to gzip, then works as on any answer. The file stays as it is.

use stagedoor_core::hls::endlist;
use stagedoor_core::registry::Presence;

use super::hls_conf;
use super::stream::Requested;
use crate::ffi::phases::{Handler, Outcome};
use crate::ffi::request::{Method, Request};

/// A longer playlist stays open. One of a day in segments of a second has about 4 MB.
const MAX_PLAYLIST: usize = 16 << 20;

/// Answers for the playlist of a stream that has ended.
pub(super) struct ClosedPlaylist;

impl Handler for ClosedPlaylist {
    const WHAT: &'static str = "a playlist's end";
    const FALLBACK: Outcome = Outcome::GoOn;

    fn handle(request: Request) -> Outcome {
        closed(request).unwrap_or(Outcome::GoOn)
    }
}

fn closed(request: Request) -> Option<Outcome> {
    let conf = hls_conf(request)?;
    let requested = Requested::of(request, conf)?;
    let format = requested.format().filter(|format| format.is_hls_playlist)?;
    if !request.is_main() || request.method() != Method::Read {
        return None;
    }
    let Presence::Ended { .. } = requested.presence() else { return None };
    let mut file = request.read_file(MAX_PLAYLIST)?;
    let end = endlist::closing(&file.bytes)?;
    let etag = endlist::etag(file.modified, file.bytes.len());
    file.bytes.extend_from_slice(end.as_bytes());
    Some(Outcome::Answered(request.send(format.mime, &etag, file.bytes)))
}
