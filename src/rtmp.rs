//! The RTMP side: `stagedoor`, `stagedoor_duplicate`, `stagedoor_auth_delay` and
//! `stagedoor_auth_limit` ([`limit`]), and where the module stands in nginx-rtmp.
//!
//! Publishes are taken at the AMF command, before nginx-rtmp has logged the name or any module of
//! its publish chain has seen it: the key never gets further than [`publish`].

mod chain;
mod close;
mod files;
mod guard;
mod latency;
mod limit;
mod main_conf;
mod publish;
mod wiping;

use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::ptr;
use std::time::Duration;

use nginx_sys::{NGX_CONF_TAKE1, ngx_chain_t, ngx_command_t, ngx_conf_t, ngx_int_t, ngx_module_t};
use stagedoor_core::limit::Limit;
use stagedoor_core::policy::Refusal;
use thiserror::Error;

use crate::core::CoreConf;
use crate::ffi::conf::{Conf, Directive, Mistake, command, once};
use crate::ffi::events::{Events, NoMemory};
use crate::ffi::guard::guard;
use crate::ffi::locks;
use crate::ffi::log::Log;
use crate::ffi::module::{CONF_ERROR, CONF_OK, ERROR, NO_COMMAND, OK, module};
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{
    NGX_RTMP_APP_CONF, NGX_RTMP_CONNECT, NGX_RTMP_HANDSHAKE_DONE, NGX_RTMP_MAIN_CONF,
    NGX_RTMP_MODULE, NGX_RTMP_MSG_ACK_SIZE, NGX_RTMP_MSG_AMF_CMD, NGX_RTMP_MSG_CHUNK_SIZE,
    NGX_RTMP_SRV_CONF, ngx_rtmp_conf_ctx_t, ngx_rtmp_handler_pt, ngx_rtmp_header_t,
    ngx_rtmp_module_t, ngx_rtmp_session_t,
};
use crate::ffi::session::Session;
use crate::ffi::symbols::{self, MissingSymbol, Symbols};
use crate::live;
use crate::rtmp::main_conf::{BUILT_FOR, Guardian};
use crate::worker::{self, Duplicate, Flood};

const DEFAULT_AUTH_DELAY: Duration = Duration::from_secs(1);
const ANYWHERE: u32 = NGX_RTMP_MAIN_CONF | NGX_RTMP_SRV_CONF | NGX_RTMP_APP_CONF;
const APP_CONF: usize = std::mem::offset_of!(ngx_rtmp_conf_ctx_t, app_conf);

/// The configuration of an application.
#[derive(Debug, Default)]
struct AppConf {
    enable: Option<bool>,
    duplicate: Option<Duplicate>,
    auth_delay: Option<Duration>,
    auth_limit: Option<Option<Limit>>,
}

impl AppConf {
    /// The configuration of a session's application; `None` before `connect`.
    fn of<'a>(session: Session) -> Option<&'a AppConf> {
        // SAFETY: `create_app_conf` made it.
        unsafe { session.app_conf(&raw const ngx_stagedoor_rtmp_module) }
    }

    /// Whether publishing to the application needs a key.
    fn is_enabled(&self) -> bool {
        self.enable.unwrap_or(false)
    }

    /// What becomes of a publish whose streamer is live already.
    fn duplicate(&self) -> Duplicate {
        self.duplicate.unwrap_or_default()
    }

    /// How long the answer to a wrong key is held back.
    fn auth_delay(&self) -> Duration {
        self.auth_delay.unwrap_or(DEFAULT_AUTH_DELAY)
    }

    /// How often an address may fail, if there is a limit.
    fn auth_limit(&self) -> Option<Limit> {
        self.auth_limit.unwrap_or_else(|| Some(Limit::default()))
    }
}

/// The RTMP module, known to nginx by this name.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_stagedoor_rtmp_module: ngx_module_t =
    module(NGX_RTMP_MODULE, (&raw mut CONTEXT).cast(), (&raw mut COMMANDS).cast());

static mut CONTEXT: ngx_rtmp_module_t = ngx_rtmp_module_t {
    preconfiguration: None,
    postconfiguration: Some(postconfiguration),
    create_main_conf: Some(create_main_conf),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_app_conf: Some(create_app_conf),
    merge_app_conf: Some(merge_app_conf),
};

static mut COMMANDS: [ngx_command_t; 5] = [
    command::<Enable>(APP_CONF),
    command::<OnDuplicate>(APP_CONF),
    command::<AuthDelay>(APP_CONF),
    command::<limit::AuthLimit>(APP_CONF),
    NO_COMMAND,
];

struct Enable;

impl Directive for Enable {
    type Conf = AppConf;
    const NAME: &'static CStr = c"stagedoor";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut AppConf) -> Result<(), Mistake> {
        let enable = cf.flag()?;
        once(&mut conf.enable, enable)?;
        if enable { CoreConf::need(cf) } else { Ok(()) }
    }
}

struct OnDuplicate;

impl Directive for OnDuplicate {
    type Conf = AppConf;
    const NAME: &'static CStr = c"stagedoor_duplicate";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut AppConf) -> Result<(), Mistake> {
        let duplicate = match cf.word(1).as_str() {
            "reject" => Duplicate::Reject,
            "takeover" => Duplicate::Takeover,
            _ => return Err(cf.value(1, "\"reject\" or \"takeover\"")),
        };
        once(&mut conf.duplicate, duplicate)
    }
}

struct AuthDelay;

impl Directive for AuthDelay {
    type Conf = AppConf;
    const NAME: &'static CStr = c"stagedoor_auth_delay";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut AppConf) -> Result<(), Mistake> {
        once(&mut conf.auth_delay, cf.time("a time such as \"1s\" or \"500ms\", or 0")?)
    }
}

unsafe extern "C" fn create_main_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guard("the RTMP configuration", ptr::null_mut(), || {
        // SAFETY: nginx-rtmp's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        cf.allocate(Guardian::new(&cf)).cast::<c_void>()
    })
}

unsafe extern "C" fn create_app_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guard("an application's configuration", ptr::null_mut(), || {
        // SAFETY: nginx-rtmp's own, valid for the call.
        unsafe { Conf::from_raw(cf) }.allocate(AppConf::default()).cast::<c_void>()
    })
}

unsafe extern "C" fn merge_app_conf(
    _cf: *mut ngx_conf_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_char {
    guard("an application's configuration", CONF_ERROR, || {
        // SAFETY: both are of `create_app_conf`, and two of them.
        let (outer, inner) = unsafe { (&*outer.cast::<AppConf>(), &mut *inner.cast::<AppConf>()) };
        inner.enable = inner.enable.or(outer.enable);
        inner.duplicate = inner.duplicate.or(outer.duplicate);
        inner.auth_delay = inner.auth_delay.or(outer.auth_delay);
        inner.auth_limit = inner.auth_limit.or(outer.auth_limit);
        CONF_OK
    })
}

/// Why the module cannot take its place in nginx-rtmp.
#[derive(Debug, Error)]
enum InstallError {
    #[error(
        "ngx_stagedoor_module.so is loaded before ngx_rtmp_module.so; put its load_module line \
         behind the one of ngx_rtmp_module.so"
    )]
    Order,
    #[error(transparent)]
    Symbol(#[from] MissingSymbol),
    #[error(
        "ngx_rtmp_module.so is not the nginx-rtmp that ngx_stagedoor_module.so was built for \
         ({BUILT_FOR}); build ngx_stagedoor_module.so against the source of the one you load"
    )]
    Layout,
    #[error("nginx-rtmp has no \"publish\" command to take; expected nginx-rtmp 1.2")]
    NoPublish,
    #[error(transparent)]
    Memory(#[from] NoMemory),
    #[error("a file in memory for locks cannot be made: {0}")]
    Locks(io::Error),
}

/// The handler of `publish` that was there: it serves applications with `stagedoor off`.
static STOCK_PUBLISH: Previous<ngx_rtmp_handler_pt> = Previous::new();

/// Whether publishing needs a key anywhere; where not, sessions are guarded and otherwise left alone.
fn is_needed() -> bool {
    CoreConf::current().is_some_and(CoreConf::is_needed)
}

unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard("the RTMP module's installation", ERROR, || {
        // SAFETY: nginx-rtmp's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        match install(&cf) {
            Ok(()) => OK,
            Err(error) => {
                cf.emerg(&format!("stagedoor: {error}"));
                ERROR
            }
        }
    })
}

fn install(cf: &Conf<'_>) -> Result<(), InstallError> {
    let symbols = symbols::resolve()?;
    // SAFETY: both modules have their indexes by now; they follow the order of loading.
    if unsafe { ngx_stagedoor_rtmp_module.ctx_index < (*symbols.core_module).ctx_index } {
        return Err(InstallError::Order);
    }
    // SAFETY: this is the module's postconfiguration.
    let events = unsafe { Events::of(cf, symbols) };
    // SAFETY: it is that of the nginx-rtmp that is there.
    if !unsafe { main_conf::has_known_layout(events.main_conf(), cf) } {
        return Err(InstallError::Layout);
    }
    if !events.take_command("publish", on_publish, &STOCK_PUBLISH) {
        return Err(InstallError::NoPublish);
    }
    locks::create().map_err(InstallError::Locks)?;
    files::install(&events, symbols)?;
    wiping::install(&events)?;
    events.add(NGX_RTMP_CONNECT, connected)?;
    events.add(NGX_RTMP_HANDSHAKE_DONE, handshake_done)?;
    for message in [NGX_RTMP_MSG_CHUNK_SIZE, NGX_RTMP_MSG_ACK_SIZE, NGX_RTMP_MSG_AMF_CMD] {
        events.add(message, set_up_message)?;
    }
    close::install_for_media(&events)?;
    guard::install(&events)?;
    install_in_chains(symbols);
    Ok(())
}

fn install_in_chains(symbols: &Symbols) {
    // SAFETY: the heads are nginx-rtmp's variables, and nothing else runs while modules are set up.
    unsafe {
        close::install(symbols.close_stream, symbols.delete_stream);
        latency::install(symbols.play);
        chain::install(symbols.publish);
    }
}

/// Whether a `publish` of this session is for nginx-rtmp's own handler.
fn publishes_by_nginx(session: Session) -> bool {
    match AppConf::of(session) {
        _ if session.is_auto_pushed() => true,
        Some(conf) => !conf.is_enabled(),
        None => !is_needed(),
    }
}

unsafe extern "C" fn on_publish(
    session: *mut ngx_rtmp_session_t,
    header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a publish", ERROR, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let view = unsafe { Session::from_raw(session) };
        if !view.is_incoming() && !view.is_auto_pushed() {
            let line = format_args!("stagedoor: publish refused: it came from a server of a relay");
            worker::warn(Flood::Relayed, view.log(), line);
            live::count(|counters| counters.refused(Refusal::InvalidKey));
            return ERROR;
        }
        if publishes_by_nginx(view) {
            publish::passed_on(view);
            // SAFETY: the very call that nginx-rtmp would have made.
            return STOCK_PUBLISH
                .get()
                .map_or(ERROR, |stock| unsafe { stock(session, header, message) });
        }
        let Some(conf) = AppConf::of(view) else {
            let line = format_args!("stagedoor: publish refused: it came before connect");
            worker::warn(Flood::Unconnected, view.log(), line);
            live::count(|counters| counters.refused(Refusal::InvalidKey));
            return ERROR;
        };
        publish::received(view, conf, message);
        // SAFETY: it has been read, and no other module is to read the key.
        unsafe { wiping::wipe(view, message) };
        OK
    })
}

/// A connection has become a session: the one moment when all that is known about a fresh session
/// can be compared with where this module looks for it.
unsafe extern "C" fn connected(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    _message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a connection", ERROR, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        if session.has_known_layout() {
            guard::connected(session);
            if is_needed() {
                latency::connected(session);
            }
            return input_buffers(session);
        }
        Log::cycle().error(format_args!("stagedoor: connection refused: {}", InstallError::Layout));
        ERROR
    })
}

unsafe extern "C" fn handshake_done(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    _message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a handshake", OK, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        if is_needed() && !session.is_auto_pushed() && !session.is_relay() {
            latency::handshake_done(session);
        }
        OK
    })
}

unsafe extern "C" fn set_up_message(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    _message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a message", OK, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        latency::message(session);
        input_buffers(session)
    })
}

/// nginx-rtmp does not look whether there was memory for them (ngx_rtmp_set_chunk_size).
fn input_buffers(session: Session) -> ngx_int_t {
    if session.has_input_buffers() { OK } else { ERROR }
}
