//! `stagedoor_status`: what the server is doing, for its operator.

use std::ffi::CStr;
use std::sync::LazyLock;

use nginx_sys::ngx_command_t;
use nginx_sys::{NGX_CONF_NOARGS, NGX_CONF_TAKE12, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET};
use stagedoor_core::status::{self, Format, PlaylistUrl};

use super::LocationConf;
use crate::core::CoreConf;
use crate::ffi::conf::{Conf, Directive, Mistake, command, once};
use crate::ffi::location::answer_with;
use crate::ffi::phases::{Handler, Outcome};
use crate::ffi::request::{Method, NoMemory, Request};
use crate::live;

const BAD_REQUEST: u16 = 400;
const NOT_ALLOWED: u16 = 405;
const INTERNAL_SERVER_ERROR: u16 = 500;

/// The directive, for nginx's table.
pub(super) const COMMAND: ngx_command_t = command::<Status>(NGX_HTTP_LOC_CONF_OFFSET);

/// How a location answers.
#[derive(Debug)]
pub(super) struct StatusConf {
    format: Format,
    playlists: PlaylistUrl,
}

struct Status;

impl Directive for Status {
    type Conf = LocationConf;
    const NAME: &'static CStr = c"stagedoor_status";
    const KIND: u32 = NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS | NGX_CONF_TAKE12;

    fn set(cf: &Conf<'_>, conf: &mut LocationConf) -> Result<(), Mistake> {
        let (mut format, mut playlists) = (None, None);
        for index in 1..cf.words() {
            let word = cf.word(index);
            match word.strip_prefix("playlist=") {
                Some(url) if playlists.is_none() => {
                    let url = PlaylistUrl::parse(url);
                    let url = url
                        .map_err(|error| cf.value(index, &format!("behind \"playlist=\" {error}")));
                    playlists = Some(url?);
                }
                None if index == 1 => {
                    format =
                        Some(Format::parse(word.as_bytes()).ok_or_else(|| expected(cf, index))?);
                }
                _ => return Err(expected(cf, index)),
            }
        }
        let status = StatusConf {
            format: format.unwrap_or_default(),
            playlists: playlists.unwrap_or_default(),
        };
        once(&mut conf.status, status)?;
        let place = cf.place();
        CoreConf::need_registry(cf, || format!("\"stagedoor_status\" in {place}"));
        answer_with::<Answer>(cf);
        Ok(())
    }
}

fn expected(cf: &Conf<'_>, index: usize) -> Mistake {
    cf.value(index, "\"html\", \"json\" or \"prometheus\", and then \"playlist=URL\"")
}

/// Answers every request to the location. Who may ask is for nginx's own access modules to say.
struct Answer;

impl Handler for Answer {
    const WHAT: &'static str = "a status";
    const FALLBACK: Outcome = Outcome::Status(INTERNAL_SERVER_ERROR);

    fn handle(request: Request) -> Outcome {
        if request.method() != Method::Read {
            return Outcome::Status(NOT_ALLOWED);
        }
        let conf = super::location_conf(request).and_then(|conf| conf.status.as_ref());
        let (Some(conf), Some(zone)) = (conf, CoreConf::current().and_then(CoreConf::zone)) else {
            return Self::FALLBACK;
        };
        let format = match request.argument(c"format") {
            None => conf.format,
            Some(name) => match Format::parse(name) {
                Some(format) => format,
                None => return Outcome::Status(BAD_REQUEST),
            },
        };
        let body = live::status(zone).and_then(|status| format.write(&status, &conf.playlists));
        let Some(body) = body.map(String::into_bytes) else { return Self::FALLBACK };
        match set_headers(request, format) {
            Ok(mime) => Outcome::Answered(request.send_fresh(mime, body)),
            Err(NoMemory) => Self::FALLBACK,
        }
    }
}

/// The headers that the format needs; returns its media type.
fn set_headers(request: Request, format: Format) -> Result<&'static CStr, NoMemory> {
    static POLICY: LazyLock<String> = LazyLock::new(status::policy);

    request.set_header(c"X-Content-Type-Options", b"nosniff")?;
    match format {
        Format::Html => {
            request.set_header(c"Content-Security-Policy", POLICY.as_bytes())?;
            request.set_header(c"Referrer-Policy", b"no-referrer")?;
            Ok(c"text/html; charset=utf-8")
        }
        Format::Json => Ok(c"application/json"),
        Format::Prometheus => Ok(c"text/plain; version=0.0.4; charset=utf-8"),
    }
}
