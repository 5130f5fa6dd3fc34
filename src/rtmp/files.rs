//! Who writes the HLS and DASH files of a name: one session, over all workers and applications.
//!
//! nginx-rtmp opens them for every session that publishes the name, in each worker: the playlists and
//! segments of one are replaced by those of the other, and with DASH a worker may read on for good at
//! the end of a file that the other one has made anew (ngx_rtmp_dash_module.c,
//! ngx_rtmp_dash_close_fragment). With `stagedoor on` a name has one publisher; here it is what others
//! publish, or pull from elsewhere in each worker. They go on, and write when the name is free.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nginx_sys::{ngx_chain_t, ngx_int_t};
use stagedoor_core::hls::writer::parts;
use stagedoor_core::throttle::Telling;

use super::publish::Publisher;
use crate::ffi::events::{Events, NoMemory};
use crate::ffi::guard::guard;
use crate::ffi::locks::Byte;
use crate::ffi::module::{ERROR, OK};
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{
    NGX_RTMP_MSG_AUDIO, NGX_RTMP_MSG_VIDEO, ngx_rtmp_handler_pt, ngx_rtmp_header_t,
    ngx_rtmp_session_t,
};
use crate::ffi::session::{Dash, Session, SetAside, Writer};
use crate::ffi::symbols::Symbols;

/// How long after it was refused a name is asked for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The DASH module's handlers.
static DASH_AUDIO: Previous<ngx_rtmp_handler_pt> = Previous::new();
static DASH_VIDEO: Previous<ngx_rtmp_handler_pt> = Previous::new();

/// Stands in for the DASH module, which is the last of nginx-rtmp's to get media
/// (nginx-rtmp's file `config`). Called before handlers of our own are added.
pub(super) fn install(events: &Events, symbols: &Symbols) -> Result<(), NoMemory> {
    events.take_last(NGX_RTMP_MSG_AUDIO, audio, &DASH_AUDIO, symbols);
    events.take_last(NGX_RTMP_MSG_VIDEO, video, &DASH_VIDEO, symbols);
    events.add_behind_each(NGX_RTMP_MSG_AUDIO, recorded)?;
    events.add_behind_each(NGX_RTMP_MSG_VIDEO, recorded)
}

thread_local! {
    static WRITTEN: RefCell<HashSet<Byte>> = RefCell::default();
    static FAILED: RefCell<Telling> = const { RefCell::new(Telling::new()) };
}

/// A playlist that nobody else writes, until the value is dropped.
#[derive(Debug)]
struct Claim(Byte);

impl Claim {
    fn take(byte: Byte) -> Option<Claim> {
        let is_free = WRITTEN.with_borrow(|written| !written.contains(&byte));
        (is_free && byte.lock()).then(|| {
            WRITTEN.with_borrow_mut(|written| written.insert(byte));
            Claim(byte)
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.unlock();
        let _ = WRITTEN.try_with(|written| written.borrow_mut().remove(&self.0));
    }
}

/// Whether a session writes a module's files.
#[derive(Debug, Default)]
enum Hold {
    /// It is not known of the playlist that the module has, if it has one.
    #[default]
    Unknown,
    /// It does, into the playlist whose path is there in memory.
    Writes { path: *const u8, _claim: Claim },
    /// Somebody else does.
    Waits { kept: SetAside, byte: Byte, since: Instant },
}

/// The files of a session.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that DASH has open are not as long as they should be: it is tried again with each message.
    are_short: Cell<bool>,
    holds: [RefCell<Hold>; Writer::ALL.len()],
}

impl Files {
    /// Media has come, which nginx-rtmp's modules have not seen yet. Says whether nothing is to be done
    /// for what comes next, until a stream ends or begins: their playlists are known by the first media,
    /// as the two modules are the first behind us in the publish chain.
    pub(super) fn before_media(&self, session: Session) -> bool {
        for (writer, hold) in Writer::ALL.into_iter().zip(&self.holds) {
            hold.replace(next(session, writer, hold.take()));
        }
        let waits = self.holds.iter().any(|hold| matches!(*hold.borrow(), Hold::Waits { .. }));
        !waits && !self.are_short.get()
    }

    /// The modules are going to close what they have open.
    pub(super) fn before_close(&self, session: Session) {
        for (writer, hold) in Writer::ALL.into_iter().zip(&self.holds) {
            match hold.take() {
                Hold::Waits { kept, .. } => session.put_back(writer, kept),
                other => drop(hold.replace(other)),
            }
        }
    }

    /// They have closed it.
    pub(super) fn release(&self) {
        self.holds.iter().for_each(|hold| drop(hold.take()));
    }
}

fn next(session: Session, writer: Writer, hold: Hold) -> Hold {
    match (hold, session.playlist(writer)) {
        (Hold::Waits { kept, byte, since }, None) => {
            if since.elapsed() < PATIENCE {
                return Hold::Waits { kept, byte, since };
            }
            match Claim::take(byte) {
                Some(claim) => {
                    session.put_back(writer, kept);
                    session.log().notice(format_args!(
                        "stagedoor: {writer} is written from here on, as the other stream of that name has \
                         ended, app: \"{}\"",
                        session.app()
                    ));
                    let path = session.playlist(writer).map_or(std::ptr::null(), <[u8]>::as_ptr);
                    Hold::Writes { path, _claim: claim }
                }
                None => Hold::Waits { kept, byte, since: Instant::now() },
            }
        }
        (Hold::Writes { path, _claim }, Some(playlist)) if path == playlist.as_ptr() => {
            Hold::Writes { path, _claim }
        }
        (former, Some(playlist)) => {
            drop(former);
            let Some(byte) = Byte::of(parts(playlist)) else { return Hold::Unknown };
            if let Some(claim) = Claim::take(byte) {
                return Hold::Writes { path: playlist.as_ptr(), _claim: claim };
            }
            let Some(kept) = session.set_aside(writer) else { return Hold::Unknown };
            session.log().warn(format_args!(
                "stagedoor: {writer} is not written: another stream writes the files of that name, app: \
                 \"{}\"",
                session.app()
            ));
            Hold::Waits { kept, byte, since: Instant::now() }
        }
        (_, None) => Hold::Unknown,
    }
}

unsafe extern "C" fn audio(
    session: *mut ngx_rtmp_session_t,
    header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: as nginx-rtmp called this.
    unsafe { dash(&DASH_AUDIO, session, header, message) }
}

unsafe extern "C" fn video(
    session: *mut ngx_rtmp_session_t,
    header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: as nginx-rtmp called this.
    unsafe { dash(&DASH_VIDEO, session, header, message) }
}

/// # Safety
///
/// The arguments are those of a handler that nginx-rtmp has called.
#[inline]
unsafe fn dash(
    handler: &Previous<ngx_rtmp_handler_pt>,
    session: *mut ngx_rtmp_session_t,
    header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: nginx-rtmp's own, valid while the session is.
    let view = unsafe { Session::from_raw(session) };
    // SAFETY: the very call that nginx-rtmp would have made.
    let stock =
        move || handler.get().map_or(OK, |stock| unsafe { stock(session, header, message) });
    let result = match view.dash() {
        Some(dash) => around(view, dash, stock),
        None => stock(),
    };
    if result == ERROR { goes_on(view) } else { result }
}

/// A fragment is opened by a message, and read when it is closed: by a later one, or at the end of the
/// stream. So its files are seen to behind the message that opens it; what it needs before that, while
/// none is open.
#[inline(never)]
fn around(session: Session, dash: Dash, stock: impl FnOnce() -> ngx_int_t) -> ngx_int_t {
    let before = dash.fragment();
    if before.is_none() {
        guard("a directory for DASH", (), || {
            dash.renew_directory().unwrap_or_else(|error| warn_of(session, &error));
        });
    }
    let result = stock();
    let is_new = dash.fragment() != before;
    if is_new || !Publisher::is_settled(session) {
        guard("a fragment of DASH", (), || lengthen(session, dash, is_new));
    }
    result
}

#[cold]
fn lengthen(session: Session, dash: Dash, is_new: bool) {
    let Some(publisher) = Publisher::find(session) else { return };
    let are_short = &publisher.files.are_short;
    if !is_new && !are_short.get() {
        return;
    }
    // in front of what may fail
    are_short.set(true);
    publisher.settle(false);
    are_short.set(!dash.lengthen_tracks().unwrap_or_else(|error| {
        warn_of(session, &error);
        false
    }));
}

fn warn_of(session: Session, error: &io::Error) {
    let app = session.app();
    warn(session, format_args!("stagedoor: DASH cannot be written: {error}, app: \"{app}\""));
}

/// A stream of which no DASH can be written goes on: nginx-rtmp would end it, where it goes on without
/// HLS and recordings.
#[cold]
#[inline(never)]
fn goes_on(session: Session) -> ngx_int_t {
    guard("media that is not written", OK, || {
        let app = session.app();
        warn(session, format_args!("stagedoor: DASH cannot be written, app: \"{app}\""));
        OK
    })
}

/// Behind each module, as the next one may open a file.
unsafe extern "C" fn recorded(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    _message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: nginx-rtmp's own, valid while the session is.
    let session = unsafe { Session::from_raw(session) };
    if session.has_recordings() { look_at_recordings(session) } else { OK }
}

#[inline(never)] // what it needs on the stack is for those that record
fn look_at_recordings(session: Session) -> ngx_int_t {
    guard("a recording", OK, || {
        if session.forget_closed_recordings() {
            let app = session.app();
            session.log().warn(format_args!(
                "stagedoor: a recording ends, as it cannot be written, app: \"{app}\""
            ));
        }
        OK
    })
}

fn warn(session: Session, line: std::fmt::Arguments<'_>) {
    FAILED.with_borrow_mut(|lines| {
        lines.tell(Instant::now(), line, |line| session.log().warn(line));
    });
}
