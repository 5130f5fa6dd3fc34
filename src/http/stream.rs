//! Whose stream a request is for, and whether it is live: found once a request, by whoever asks
//! first, so that all who ask are told the same.

use std::cell::OnceCell;
use std::ptr;

use stagedoor_core::hls::path;
use stagedoor_core::registry::Presence;

use super::conf::HlsConf;
use super::ngx_stagedoor_http_module;
use crate::core::CoreConf;
use crate::ffi::request::Request;
use crate::live;

/// The stream of a request.
#[derive(Debug)]
pub(super) struct RequestedStream {
    /// What the name was made of: a rewrite changes the path, and may change the location.
    path: *const [u8],
    conf: *const HlsConf,
    name: Option<String>,
    presence: OnceCell<Presence>,
}

impl RequestedStream {
    /// The stream of `request`, whose location has this configuration; `None` if there is no memory.
    pub(super) fn of<'a>(request: Request, conf: &HlsConf) -> Option<&'a RequestedStream> {
        // SAFETY: this module attaches nothing else.
        let known: Option<&RequestedStream> =
            unsafe { request.attached(&raw const ngx_stagedoor_http_module) };
        if let Some(known) = known.filter(|known| known.is_of(request, conf)) {
            return Some(known);
        }
        let stream = RequestedStream {
            path: request.path(),
            conf,
            name: name(request, conf),
            presence: OnceCell::new(),
        };
        // SAFETY: as above.
        unsafe { request.attach(&raw const ngx_stagedoor_http_module, stream) }
    }

    /// Its name; `None` if the path or `stagedoor_hls_stream` has none.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What the registry knows of it. Without a registry nothing is known of any.
    pub(super) fn presence(&self) -> Presence {
        *self.presence.get_or_init(|| {
            match (CoreConf::current().and_then(CoreConf::zone), self.name()) {
                (Some(zone), Some(name)) => live::presence(zone, name),
                _ => Presence::Unknown,
            }
        })
    }

    fn is_of(&self, request: Request, conf: &HlsConf) -> bool {
        ptr::eq(self.path, request.path()) && ptr::eq(self.conf, conf)
    }
}

fn name(request: Request, conf: &HlsConf) -> Option<String> {
    let name = match conf.stream() {
        Some(value) => std::str::from_utf8(value.evaluate(request)?).ok()?,
        None => {
            let format = path::classify(request.path())?;
            path::stream(request.path(), conf.prefix()?, format.kind)?
        }
    };
    // The variable may end up in a header or a log.
    (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
}
