//! What a request is for: which file, whose stream, and whether that is live. Found once a request, by
//! whoever asks first, so that all who ask are told the same.

use std::cell::Cell;
use std::ptr;

use stagedoor_core::hls::path::{self, Format};
use stagedoor_core::registry::Presence;

use super::conf::HlsConf;
use super::ngx_stagedoor_http_module;
use crate::core::CoreConf;
use crate::ffi::request::Request;
use crate::live;

/// The file and the stream of a request. Nothing in it has to be dropped, and its texts are the
/// request's.
#[derive(Debug)]
pub(super) struct Requested<'a> {
    request: Request,
    /// What the name is made of: a rewrite changes the path, and may change the location.
    path: &'a [u8],
    conf: &'a HlsConf,
    format: Option<Format>,
    name: Cell<Name<'a>>,
    presence: Cell<Option<Presence>>,
}

/// The name of a request's stream.
#[derive(Clone, Copy, Debug)]
enum Name<'a> {
    Unknown,
    /// It is being found out: a value that asks for it while it is made has none to go by.
    Asked,
    Known(Option<&'a str>),
}

impl<'a> Requested<'a> {
    /// What `request` is for, whose location has this configuration; `None` if there is no memory.
    pub(super) fn of(request: Request, conf: &'a HlsConf) -> Option<&'a Requested<'a>> {
        // SAFETY: this module attaches nothing else.
        let known: Option<&Requested<'a>> =
            unsafe { request.attached(&raw const ngx_stagedoor_http_module) };
        if let Some(known) = known.filter(|known| known.is_of(request, conf)) {
            return Some(known);
        }
        let path = request.path();
        let requested = Requested {
            request,
            path,
            conf,
            format: path::classify(path),
            name: Cell::new(Name::Unknown),
            presence: Cell::new(None),
        };
        // SAFETY: as above.
        unsafe { request.attach(&raw const ngx_stagedoor_http_module, requested) }
    }

    /// What the file is; `None` if it is no part of a stream.
    pub(super) fn format(&self) -> Option<Format> {
        self.format
    }

    /// The stream's name; `None` if the path or `stagedoor_hls_stream` has none.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self.name.replace(Name::Asked) {
            Name::Known(name) => {
                self.name.set(Name::Known(name));
                name
            }
            Name::Asked => None,
            Name::Unknown => {
                let name = self.find_name();
                self.name.set(Name::Known(name));
                name
            }
        }
    }

    fn find_name(&self) -> Option<&'a str> {
        let name = match self.conf.stream() {
            Some(value) => std::str::from_utf8(value.evaluate(self.request)?).ok()?,
            None => path::stream(self.path, self.conf.prefix()?, self.format?.kind)?,
        };
        // The variable may end up in a header or a log.
        (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
    }

    /// What the registry knows of it. Without a registry nothing is known of any.
    pub(super) fn presence(&self) -> Presence {
        if let Some(presence) = self.presence.get() {
            return presence;
        }
        let presence = match (CoreConf::current().and_then(CoreConf::zone), self.name()) {
            (Some(zone), Some(name)) => live::presence(zone, name),
            _ => Presence::Unknown,
        };
        if !matches!(self.name.get(), Name::Asked) {
            self.presence.set(Some(presence));
        }
        presence
    }

    fn is_of(&self, request: Request, conf: &HlsConf) -> bool {
        ptr::eq(self.path, request.path()) && ptr::eq(self.conf, conf)
    }
}
