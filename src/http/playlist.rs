//! Playlists that are answered from memory, before nginx's static module would open the file: those of
//! a stream that is live, because all of its viewers ask for the same one, and those of a stream that has
//! ended, which go out closed, so that players end as well.
//!
//! Everything behind, from conditional requests and ranges to gzip, works as on any answer. What this
//! module does not answer, and why something cannot be, is the static module's.

use std::cell::RefCell;
use std::rc::Rc;

use stagedoor_core::hls::cache::Cache;
use stagedoor_core::hls::endlist;
use stagedoor_core::hls::path::{Format, Kind};
use stagedoor_core::registry::Presence;

use super::hls_conf;
use super::stream::Requested;
use crate::ffi::phases::{Handler, Outcome};
use crate::ffi::request::{Method, Request};

/// A longer playlist stays open. One of a day in segments of a second has about 4 MB.
const MAX_CLOSED: usize = 16 << 20;

/// A longer one is not kept in memory. One of half an hour in segments of two seconds has about 32 KB.
const MAX_KEPT: usize = 32 << 10;

/// Answers for playlists.
pub(super) struct Playlists;

impl Handler for Playlists {
    const WHAT: &'static str = "a playlist";
    const FALLBACK: Outcome = Outcome::GoOn;

    fn handle(request: Request) -> Outcome {
        answer(request).unwrap_or(Outcome::GoOn)
    }
}

fn answer(request: Request) -> Option<Outcome> {
    let conf = hls_conf(request)?;
    let requested = Requested::of(request, conf)?;
    let format = requested.format().filter(|format| format.kind == Kind::Playlist)?;
    if !request.is_main() || request.method() != Method::Read {
        return None;
    }
    match requested.presence() {
        Presence::Live => live(request, format),
        Presence::Ended { .. } if format.is_hls_playlist => closed(request, format),
        Presence::Ended { .. } | Presence::Unknown => None,
    }
}

/// The file as it is at this moment.
fn live(request: Request, format: Format) -> Option<Outcome> {
    thread_local! {
        static CACHE: RefCell<Cache> = const { RefCell::new(Cache::new()) };
    }
    let path = request.file_path()?;
    let version = path.version()?;
    if let Some(bytes) = CACHE.with_borrow(|cache| cache.get(path.as_bytes(), &version)) {
        let (modified, _) = version.modified;
        return Some(Outcome::Answered(request.send_file(format.mime, modified, bytes)));
    }
    if version.len == 0 || version.len > MAX_KEPT as u64 {
        return None;
    }
    let file = path.read(MAX_KEPT).filter(|file| !file.bytes.is_empty())?; // cut off since
    let bytes = Rc::new(file.bytes);
    if file.is_settled {
        CACHE.with_borrow_mut(|cache| cache.put(path.as_bytes(), file.version, Rc::clone(&bytes)));
    }
    let (modified, _) = file.version.modified;
    Some(Outcome::Answered(request.send_file(format.mime, modified, bytes)))
}

/// The closed playlist is another entity than the file: longer, and with a tag of its own. The file
/// stays as it is.
fn closed(request: Request, format: Format) -> Option<Outcome> {
    let mut file = request.file_path()?.read(MAX_CLOSED)?;
    let end = endlist::closing(&file.bytes)?;
    let (modified, _) = file.version.modified;
    let etag = endlist::etag(modified, file.bytes.len());
    file.bytes.try_reserve_exact(end.len()).ok()?;
    file.bytes.extend_from_slice(end.as_bytes());
    Some(Outcome::Answered(request.send(format.mime, &etag, file.bytes)))
}
