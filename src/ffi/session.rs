//! An RTMP session of nginx-rtmp, and what can be asked of it.

mod ahead;
mod dash;
pub mod input;
mod media;
mod naming;
mod pushing;
mod receiving;
mod sending;
mod socket;
mod writing;

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use nginx_sys::{ngx_chain_t, ngx_connection_t, ngx_module_t, ngx_pool_cleanup_add, ngx_str_t};

use super::guard::guard;
use super::log::Log;
use super::module::{ERROR, OK};
use super::rtmp::{
    NGX_RTMP_DEFAULT_CHUNK_SIZE, ngx_rtmp_close_stream_t, ngx_rtmp_publish_t, ngx_rtmp_session_t,
};
use super::symbols::symbols;

pub use dash::Dash;
pub use receiving::Watch;
pub use writing::{SetAside, Writer};

/// The mark of what a module has attached: a bit of its address, which is even.
const MARK: usize = 1;

/// A session. It lives until its connection's pool is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session(NonNull<ngx_rtmp_session_t>);

impl Session {
    /// # Safety
    ///
    /// `session` is the one that nginx-rtmp handed to the running callback, and the value is not
    /// used once the session's connection is gone.
    pub unsafe fn from_raw(session: *mut ngx_rtmp_session_t) -> Session {
        // SAFETY: nginx-rtmp never hands over a null session.
        Session(unsafe { NonNull::new_unchecked(session) })
    }

    /// nginx-rtmp's own structure.
    pub fn as_ptr(self) -> *mut ngx_rtmp_session_t {
        self.0.as_ptr()
    }

    fn raw<'a>(self) -> &'a ngx_rtmp_session_t {
        // SAFETY: valid as long as the value may be used.
        unsafe { &*self.0.as_ptr() }
    }

    fn connection<'a>(self) -> &'a ngx_connection_t {
        // SAFETY: set when the session is made, and valid as long as it is.
        unsafe { &*self.raw().connection }
    }

    /// Whether the fields that this module was built to find are where it looks for them. Meant for
    /// a session that nginx-rtmp has just made: then its signature is still 0, it is not connected
    /// yet, its chunk size is RTMP's first one, and it and its connection point at each other.
    pub fn has_known_layout(self) -> bool {
        let raw = self.raw();
        let connection = raw.connection;
        raw.signature == 0
            && raw.connected == 0
            && raw.in_chunk_size == NGX_RTMP_DEFAULT_CHUNK_SIZE as usize
            && !connection.is_null()
            && connection.is_aligned()
            // SAFETY: it looks like the address of a structure, behind fields that are as a
            // session has them.
            && unsafe { (*connection).data == self.as_ptr().cast() }
    }

    /// Whether there is memory for what the client sends: its pool could be made.
    pub fn has_input_buffers(self) -> bool {
        !self.raw().in_pool.is_null()
    }

    /// The log that adds client and server to a line.
    pub fn log(self) -> Log {
        // SAFETY: the connection's log lives as long as it.
        unsafe { Log::from_raw(self.connection().log) }
    }

    /// Another worker of this server sends this stream here (rtmp_auto_push).
    ///
    /// nginx-rtmp says so of every session that comes over a Unix socket, also over one that the
    /// configuration listens on. Its own are known by the address they give themselves
    /// (ngx_rtmp_auto_push_module.c, ngx_rtmp_auto_push_init_process), which no `listen` can have;
    /// only the workers' user can connect to them.
    pub fn is_auto_pushed(self) -> bool {
        // SAFETY: the listening socket of a connection lives as long as the worker's cycle; a
        // connection that this server made has none.
        let listening = unsafe { self.connection().listening.as_ref() };
        self.raw().auto_pushed() != 0
            && listening.is_some_and(|listening| listening.addr_text.as_bytes() == b"worker_socket")
    }

    /// This server is the client (relay push or pull).
    pub fn is_relay(self) -> bool {
        self.raw().relay() != 0
    }

    /// Somebody connected to this server, which is not the client itself; known from the beginning.
    pub fn is_incoming(self) -> bool {
        !self.connection().listening.is_null()
    }

    /// Its end has begun: nginx-rtmp will close it from a posted event.
    pub fn is_closing(self) -> bool {
        self.connection().destroyed() != 0
    }

    /// Whether it is connected to an application, or is this server's connection to another, which
    /// belongs to one from the start.
    pub fn has_application(self) -> bool {
        !self.raw().app_conf.is_null()
    }

    /// The name of the application it is connected to.
    pub fn app<'a>(self) -> &'a str {
        text(&self.raw().app)
    }

    /// The publisher's address as text, as nginx-rtmp knows it (PROXY protocol respected).
    pub fn client_addr<'a>(self) -> &'a str {
        text(&self.connection().addr_text)
    }

    /// A module's application configuration; `None` before `connect`.
    ///
    /// # Safety
    ///
    /// `module` is an RTMP module whose `create_app_conf` made a `T`.
    pub unsafe fn app_conf<'a, T>(self, module: *const ngx_module_t) -> Option<&'a T> {
        let confs = self.raw().app_conf;
        if confs.is_null() {
            return None;
        }
        // SAFETY: nginx-rtmp keeps one configuration for each module's index.
        unsafe { confs.add((*module).ctx_index).read().cast::<T>().as_ref() }
    }

    /// What [`Session::attach`] has put there for a module.
    ///
    /// # Safety
    ///
    /// `T` is the type that was attached for this module.
    pub unsafe fn attached<T>(self, module: *const ngx_module_t) -> Option<Rc<T>> {
        // SAFETY: nginx-rtmp keeps a place for each module's index; what is there came out of
        // `Rc::into_raw`, and the session still holds that count.
        unsafe {
            let value = self.place(module).read().map_addr(|addr| addr & !MARK);
            let value = value.cast::<T>().cast_const();
            if value.is_null() {
                return None;
            }
            Rc::increment_strong_count(value);
            Some(Rc::from_raw(value))
        }
    }

    /// Whether the value is marked. Unlike the value itself this needs no memory but the session's own,
    /// which every module looks at: cheap enough for each message.
    ///
    /// # Safety
    ///
    /// Every use of this module's place is by these functions.
    pub unsafe fn is_marked(self, module: *const ngx_module_t) -> bool {
        // SAFETY: as above.
        unsafe { self.place(module).read().addr() & MARK != 0 }
    }

    /// Marks the value, or takes the mark away.
    ///
    /// # Safety
    ///
    /// As above, and there is a value.
    pub unsafe fn mark(self, module: *const ngx_module_t, is_marked: bool) {
        let place = self.place(module);
        // SAFETY: as above. The value's address is even, see `attach`.
        unsafe { place.write(place.read().map_addr(|addr| addr & !MARK | usize::from(is_marked))) }
    }

    /// Has the session hold a value for a module until its connection is gone, and then call
    /// [`Attachment::detached`]. Returns whether there was memory for it.
    ///
    /// # Safety
    ///
    /// Every use of this module's place has this type; nothing is attached there yet.
    pub unsafe fn attach<T: Attachment>(self, module: *const ngx_module_t, value: &Rc<T>) -> bool {
        const { assert!(align_of::<T>() > MARK) };
        // SAFETY: the pool is the connection's own. The cleanup runs when it is destroyed, which
        // happens however the session ends, and takes back the count that the place holds.
        unsafe {
            let cleanup = ngx_pool_cleanup_add(self.connection().pool, 0);
            if cleanup.is_null() {
                return false;
            }
            let place = Rc::into_raw(Rc::clone(value)).cast_mut().cast::<c_void>();
            (*cleanup).handler = Some(detach::<T>);
            (*cleanup).data = place;
            self.place(module).write(place);
        }
        true
    }

    fn place(self, module: *const ngx_module_t) -> *mut *mut c_void {
        // SAFETY: `ctx` has a place for every RTMP module.
        unsafe { self.raw().ctx.add((*module).ctx_index) }
    }

    /// Runs nginx-rtmp's publish chain as if the encoder had sent this name, without arguments.
    /// Returns whether every module in it agreed.
    pub fn publish(self, name: &str, kind: &str) -> bool {
        let Some(symbols) = symbols() else { return false };
        // SAFETY: plain bytes and numbers.
        let mut command: ngx_rtmp_publish_t = unsafe { std::mem::zeroed() };
        if name.len() >= command.name.len() || kind.len() >= command.type_.len() {
            return false;
        }
        command.name[..name.len()].copy_from_slice(name.as_bytes());
        command.type_[..kind.len()].copy_from_slice(kind.as_bytes());
        // SAFETY: the head of the chain as it stands now: modules put themselves in front of it
        // until the worker runs. The command lives through the call, which copies what it keeps.
        unsafe {
            match *symbols.publish {
                Some(chain) => chain(self.as_ptr(), &raw mut command) == OK,
                None => false,
            }
        }
    }

    /// Runs nginx-rtmp's close chain as if the encoder had closed its stream.
    pub fn close_stream(self) {
        let Some(symbols) = symbols() else { return };
        let mut command = ngx_rtmp_close_stream_t { stream: 0.0 };
        // SAFETY: the head of the chain as it stands now; the command lives through the call.
        unsafe {
            if let Some(chain) = *symbols.close_stream {
                chain(self.as_ptr(), &raw mut command);
            }
        }
    }

    /// Sends `onStatus` with level `error`.
    pub fn send_error(self, code: &CStr, description: &CStr) {
        let Some(symbols) = symbols() else { return };
        // SAFETY: the function copies the texts into a message.
        let rc = unsafe {
            (symbols.send_status)(
                self.as_ptr(),
                code.as_ptr(),
                c"error".as_ptr(),
                description.as_ptr(),
            )
        };
        if rc == ERROR {
            self.log().info(format_args!("the refusal could not be sent"));
        }
    }

    /// Closes the session, from an event of its own.
    pub fn finalize(self) {
        if let Some(symbols) = symbols() {
            // SAFETY: safe to call more than once; nginx-rtmp checks.
            unsafe { (symbols.finalize_session)(self.as_ptr()) };
        }
    }
}

/// A value that a session holds.
pub trait Attachment: 'static {
    /// The session's connection is being destroyed: the session must not be used any more.
    fn detached(&self);
}

unsafe extern "C" fn detach<T: Attachment>(place: *mut c_void) {
    // SAFETY: `attach` put it there; a cleanup runs once.
    let value = unsafe { Rc::from_raw(place.cast::<T>().cast_const()) };
    guard("a connection's end", (), || value.detached());
}

/// The bytes of a message, buffer by buffer.
///
/// # Safety
///
/// `chain` is null or a chain that stays as it is while the iterator is used.
pub unsafe fn chunks<'a>(chain: *mut ngx_chain_t) -> impl Iterator<Item = &'a [u8]> {
    let mut link = chain;
    std::iter::from_fn(move || {
        // SAFETY: as promised by the caller; `pos..last` are the buffer's bytes.
        unsafe {
            let here = link.as_ref()?;
            link = here.next;
            let buf = &*here.buf;
            let len = buf.last.offset_from_unsigned(buf.pos);
            Some(if len == 0 { &[][..] } else { std::slice::from_raw_parts(buf.pos, len) })
        }
    })
}

fn text<'a>(value: &ngx_str_t) -> &'a str {
    if value.data.is_null() {
        return "";
    }
    // SAFETY: the strings of a session and its connection live in the connection's pool.
    let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(&*value.data), value.len) };
    std::str::from_utf8(bytes).unwrap_or("?")
}
